//! A tour of aesync: the development server and the daemon in one process, on temporary state, seen through the eyes of an app.
//!
//! `cargo run --example quickstart` takes the tour and then stays up for `aectl`; with `-- --once` it ends after the tour, with exit
//! code 0 if all of it happened.

mod backend;
mod follow;
mod tour;
mod voice;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aesyncd::config::Config;
use aesyncd::{Daemon, StartOptions};
use anyhow::Context as _;
use clap::Parser;

use backend::Backend;
use voice::Voice;

/// A tour of aesync on temporary state: a development server and a daemon in one process.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
struct Args {
    /// End after the tour; the exit code is 0 if all of it happened
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut voice = Voice::new();
    match run(&args, &mut voice) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            voice.failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, voice: &mut Voice) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("build a runtime")?;
    // Dropped last: the daemon has closed its store by then.
    let dir = tempfile::Builder::new().prefix("aesync-").tempdir().context("make a directory for the state")?;
    runtime.block_on(show(args, voice, dir.path()))
}

async fn show(args: &Args, voice: &mut Voice, dir: &Path) -> anyhow::Result<()> {
    let backend = Backend::start()?;
    let config = configure(&backend, dir)?;
    let mut daemon =
        Daemon::start(config, StartOptions::new(dir.join("state"), socket(dir))).await.context("start the daemon")?;
    voice.welcome(&backend.url(), daemon.socket());

    let mut guide = voice.clone();
    let path = daemon.socket().to_owned();
    let tour = tokio::task::spawn_blocking(move || tour::take(backend, &path, &mut guide).with_context(|| guide.whereabouts()));
    let outcome = tokio::select! {
        toured = tour => toured.context("the tour panicked")?.map(Some),
        interrupted = interrupted() => interrupted.map(|()| None),
    };
    if let Ok(Some(backend)) = &outcome
        && !args.once
    {
        voice.invite(daemon.socket(), &backend.url(), backend.tenant());
        tokio::select! {
            interrupted = interrupted() => interrupted?,
            ended = daemon.stopped() => ended?,
        }
    }
    daemon.stop().await;
    voice.goodbye(args.once);
    match outcome? {
        None if args.once => anyhow::bail!("the tour was interrupted"),
        _ => Ok(()),
    }
}

/// As an administrator would write it into `aesyncd.toml`; only that the tour does not wait a second after the server's death.
fn configure(backend: &Backend, dir: &Path) -> anyhow::Result<Config> {
    let password_file = dir.join("password");
    std::fs::write(&password_file, backend::PASSWORD).context("write the password file")?;
    let mut config = Config::default();
    config.server.url = Some(backend.url());
    config.auth.email = Some(backend::EMAIL.to_owned());
    config.auth.password_file = Some(password_file);
    config.tuning.backoff_min = Duration::from_millis(250);
    config.tuning.backoff_max = Duration::from_secs(1);
    Ok(config)
}

fn socket(dir: &Path) -> PathBuf {
    if cfg!(windows) {
        PathBuf::from(format!(r"\\.\pipe\aesyncd-quickstart-{}", std::process::id()))
    } else {
        dir.join("aesyncd.sock")
    }
}

#[cfg(unix)]
async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn interrupted() -> anyhow::Result<()> {
    tokio::signal::ctrl_c().await.context("listen for Ctrl-C")
}
