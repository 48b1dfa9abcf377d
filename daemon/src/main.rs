//! The aesyncd process: arguments and configuration in, a running daemon, signals and systemd around it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aesync_protocol::endpoint::Scope;
use aesyncd::args::{Args, EXIT_CONFIGURATION, check};
use aesyncd::config::{Config, Environment, Loaded, make_user_directories, scope_of_this_process};
#[cfg(unix)]
use aesyncd::service::activation;
use aesyncd::service::log::Log;
use aesyncd::service::{Bar, Signal, Signals, Tidying, headline, notify, turned};
use aesyncd::transfer::{Counts, Exported, export, import};
use aesyncd::{Daemon, StartError, StartOptions};
use anyhow::Context as _;
use clap::Parser as _;

/// How long the loop may take to show that it turns. Signals wait as long.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(windows)]
    if args.service {
        return as_service();
    }
    if args.check {
        return check(&args, &Environment::of_this_process(), scope_of_this_process());
    }
    aesync_allocator::keep_little();
    ExitCode::from(run(args))
}

/// Waits for the service control manager to start and stop the daemon.
#[cfg(windows)]
fn as_service() -> ExitCode {
    match aesyncd::service::windows::run(|| run(Args::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(fail(
            &format_args!("starting as a service: {error}; only the service control manager can do that: sc start aesyncd"),
            1,
        )),
    }
}

/// Everything but `--check`; returns the exit code.
fn run(args: Args) -> u8 {
    // What it keeps is for nobody else, and sled asks for no mode of its own (rule R41). The socket gets its mode explicitly.
    #[cfg(unix)]
    nix::sys::stat::umask(nix::sys::stat::Mode::S_IRWXG | nix::sys::stat::Mode::S_IRWXO);
    let (environment, scope) = (Environment::of_this_process(), scope_of_this_process());
    let loaded = match args.load(&environment, scope) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, EXIT_CONFIGURATION),
    };
    if args.export.is_some() || args.import.is_some() {
        return match transfer(&args, &environment, scope, &loaded.config) {
            Ok(()) => 0,
            Err(error) => fail(&format_args!("{error:#}"), 1),
        };
    }
    // One thread for the loop and for the applications, none of which keeps it for long: the store, what is read from it and the session
    // have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.context("starting the runtime").and_then(|runtime| runtime.block_on(serve(args, environment, scope, loaded)));
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            let configuration = error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration);
            fail(&format_args!("{error:#}"), if configuration { EXIT_CONFIGURATION } else { 1 })
        }
    }
}

/// `--export` and `--import`.
fn transfer(args: &Args, environment: &Environment, scope: Scope, config: &Config) -> anyhow::Result<()> {
    use std::io::Write as _;
    let dir = config.state_dir(environment, &args.installation(scope))?;
    let options = aesyncd::store_options(config);
    let (what, counts, file) = match (&args.export, &args.import) {
        (Some(file), _) => {
            let mut bar = Bar::new("exporting");
            let exported = export(&dir, options, file, &mut |done, total| bar.show(done, total))?;
            drop(bar);
            ("exported to", tell(exported)?, file)
        }
        (None, Some(file)) => {
            let mut bar = Bar::new("importing");
            ("imported from", import(&dir, options, &config.settings(), file, &mut |done, total| bar.show(done, total))?, file)
        }
        (None, None) => return Ok(()),
    };
    let Counts { entries, records, .. } = counts;
    let mut out = std::io::stdout();
    let (entry, record) = (if entries == 1 { "entry" } else { "entries" }, if records == 1 { "record" } else { "records" });
    writeln!(out, "{entries} outbox {entry} and {records} {record} were {what} {}", file.display()).context("writing to stdout")
}

/// Says on stderr what an export found.
fn tell(exported: Exported) -> anyhow::Result<Counts> {
    use std::io::Write as _;
    let mut err = std::io::stderr();
    for finding in exported.findings {
        writeln!(err, "aesyncd: {}", finding.message).context("writing to stderr")?;
    }
    if exported.damaged > 0 {
        let (records, were) = if exported.damaged == 1 { ("record", "was") } else { ("records", "were") };
        let damaged = exported.damaged;
        writeln!(
            err,
            "aesyncd: {damaged} damaged {records} {were} left out; start the daemon, which fetches what is damaged again"
        )
        .context("writing to stderr")?;
    }
    Ok(exported.counts)
}

async fn serve(args: Args, environment: Environment, scope: Scope, loaded: Loaded) -> anyhow::Result<()> {
    let Loaded { config, file, warnings, .. } = loaded;
    let log = Log::start(&config.log).context("starting the log")?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let mut signals = Signals::listen().context("listening for signals")?;
    let installation = args.installation(scope);
    let state_dir = config.state_dir(&environment, &installation)?;
    let socket = args.socket_path(&config, &environment, scope)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), state = %state_dir.display(), socket = %socket.display(), configuration = ?file, "starting");
    if scope == Scope::User {
        make_user_directories(&environment, &state_dir, &socket)?;
    }
    let mut options = StartOptions::new(state_dir, socket);
    options.instance = installation.instance;
    #[cfg(unix)]
    {
        options.inherited = activation::inherited_socket().context("taking over the socket that systemd opened")?;
    }
    #[cfg(windows)]
    if args.service {
        options.audience = aesyncd::ipc::Audience::SignedIn;
    }
    options.reload =
        Box::new(move || args.load(&environment, scope).map(|loaded| loaded.config).map_err(|error| error.to_string()));
    let log_of_reload = log.clone();
    options.log_filter = Box::new(move |filter| {
        if let Err(error) = log_of_reload.set_filter(filter) {
            tracing::warn!("the log filter stays as it was: {error}");
        }
    });
    let mut daemon = Daemon::start(config, options).await?;
    notify::ready();
    attend(&mut daemon, &mut signals).await;
    notify::stopping();
    tracing::info!("stopping");
    daemon.stop().await;
    Ok(())
}

/// Until the daemon is to stop: signals, the status line of the service, and the watchdog.
async fn attend(daemon: &mut Daemon, signals: &mut Signals) {
    let mut statuses = daemon.status();
    let mut watchdog = notify::watchdog_interval().map(tokio::time::interval);
    let (mut said, mut milestone, mut tidying) = (None, None, Tidying::default());
    loop {
        let status = Arc::clone(&statuses.borrow_and_update());
        let line = headline(&status);
        if said.as_ref() != Some(&line) {
            notify::status(&line);
            said = Some(line);
        }
        if tidying.is_due(status.status, Instant::now()) {
            // On a thread that may take its time; nobody waits for it.
            drop(tokio::task::spawn_blocking(aesync_allocator::give_back));
        }
        if let Some(line) = turned(milestone.as_deref(), &status) {
            tracing::info!("{line}");
            milestone = Some(status);
        }
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop => return,
                Signal::Reload => {
                    notify::reloading();
                    // What is wrong with it is in the log, and the old one goes on.
                    let _ = daemon.reload().await;
                    notify::ready();
                }
            },
            changed = statuses.changed() => if changed.is_err() { return },
            () = daemon.stopped() => return,
            () = tick(&mut watchdog) => if daemon.is_alive(ALIVE_WITHIN).await { notify::alive() },
        }
    }
}

async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> u8 {
    use std::io::Write as _;
    // Who closed stderr does not want to know.
    let _ = writeln!(std::io::stderr(), "aesyncd: {error}");
    code
}
