//! The aesyncd process: arguments and configuration in, a running daemon, signals and systemd around it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aesync_protocol::endpoint::Scope;
use aesyncd::args::{Args, EXIT_CONFIGURATION, EXIT_USAGE, check, probe};
use aesyncd::config::{Config, Environment, Loaded, make_user_directories, scope_of_this_process};
#[cfg(unix)]
use aesyncd::service::activation;
use aesyncd::service::log::Log;
use aesyncd::service::{Bar, News, Noted, Signal, Signals, Tidying, headline, last_words, notify, turned};
use aesyncd::transfer::{Counts, Exported, export, import};
use aesyncd::{Breakdown, Daemon, Patience, StartError, StartOptions};
use anyhow::Context as _;
use clap::Parser as _;

/// How often systemd is asked for more time while the store is opened, and for how much each time.
const OPENING_TICK: Duration = Duration::from_secs(20);
const OPENING_EXTENSION: Duration = Duration::from_secs(60);
/// An opening that takes longer hangs: systemd's own patience counts from then on. A million records are checked within minutes.
const LONGEST_OPENING: Duration = Duration::from_secs(60 * 60);

fn main() -> ExitCode {
    last_words::of_panics();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() && last_words::are_for_the_journal() => {
            return ExitCode::from(refuse(&error.to_string().trim_end(), EXIT_USAGE, Handed::take()));
        }
        Err(error) => error.exit(),
    };
    #[cfg(windows)]
    if args.service {
        return as_service();
    }
    if args.check {
        return check(&args, &Environment::of_this_process(), scope_of_this_process());
    }
    if let Some(url) = &args.probe {
        return probe(&args, url.as_deref(), &Environment::of_this_process(), scope_of_this_process());
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

/// Everything but `--check` and `--probe`; returns the exit code.
fn run(args: Args) -> u8 {
    // What it keeps is for nobody else, and sled asks for no mode of its own (rule R41). The socket gets its mode explicitly.
    #[cfg(unix)]
    nix::sys::stat::umask(nix::sys::stat::Mode::S_IRWXG | nix::sys::stat::Mode::S_IRWXO);
    let (environment, scope) = (Environment::of_this_process(), scope_of_this_process());
    let handed = Handed::take();
    let loaded = match args.load(&environment, scope) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error, EXIT_CONFIGURATION, handed),
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
    let outcome = runtime.context("starting the runtime").and_then(|runtime| {
        let outcome = runtime.block_on(serve(args, environment, scope, loaded, &handed));
        // What matters was waited for. An opening that a signal ended is left where it is, like one that a kill ends.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            let error_text = format!("{error:#}");
            if error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration) {
                refuse(&error_text, EXIT_CONFIGURATION, handed)
            } else {
                fail(&error_text, 1)
            }
        }
    }
}

/// The socket that systemd handed over, kept for those who wait there should the daemon not start.
struct Handed(#[cfg(unix)] std::io::Result<Option<std::os::fd::OwnedFd>>);

impl Handed {
    /// Once, before anything else is opened.
    fn take() -> Self {
        Self(
            #[cfg(unix)]
            activation::inherited_socket(),
        )
    }

    /// For the daemon.
    #[cfg(unix)]
    fn for_daemon(&self) -> anyhow::Result<Option<std::os::fd::OwnedFd>> {
        match &self.0 {
            Ok(socket) => Ok(socket.as_ref().map(std::os::fd::OwnedFd::try_clone).transpose()?),
            Err(error) => anyhow::bail!("{error}"),
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

async fn serve(args: Args, environment: Environment, scope: Scope, loaded: Loaded, handed: &Handed) -> anyhow::Result<()> {
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
        options.inherited = handed.for_daemon().context("taking over the socket that systemd opened")?;
    }
    #[cfg(not(unix))]
    let _ = handed;
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
    let Some(mut daemon) = open(config, options, &mut signals).await? else { return Ok(()) };
    notify::ready();
    let ended = attend(&mut daemon, &mut signals).await;
    notify::stopping();
    tracing::info!("stopping");
    daemon.stop().await;
    Ok(ended?)
}

/// Starts the daemon, which takes long when a large store has to be checked; systemd is told to wait for it. `None` when a signal ended it.
async fn open(config: Config, options: StartOptions, signals: &mut Signals) -> Result<Option<Daemon>, StartError> {
    let starting = Daemon::start(config, options);
    tokio::pin!(starting);
    notify::status("opening the store");
    let begun = Instant::now();
    let mut extending = tokio::time::interval(OPENING_TICK);
    let mut is_to_reload = false;
    let daemon = loop {
        tokio::select! {
            started = &mut starting => break started?,
            signal = signals.next() => match signal {
                Signal::Stop => {
                    notify::stopping();
                    tracing::info!("stopping, before the store was open; it is checked at the next start");
                    return Ok(None);
                }
                Signal::Reload => is_to_reload = true,
            },
            _ = extending.tick() => if begun.elapsed() < LONGEST_OPENING { notify::extend_timeout(OPENING_EXTENSION) },
        }
    };
    if is_to_reload {
        // What is wrong with it is in the log, and the one of the start goes on.
        let _ = daemon.reload().await;
    }
    Ok(Some(daemon))
}

/// Until the daemon is to stop, or can't go on: signals, the status line of the service, and the watchdog.
async fn attend(daemon: &mut Daemon, signals: &mut Signals) -> Result<(), Breakdown> {
    let mut statuses = daemon.status();
    let mut watchdog = notify::watchdog_interval().map(tokio::time::interval);
    let (mut said, mut milestone, mut noted, mut tidying) = (None, None, Noted::default(), Tidying::default());
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
        for news in noted.news(&status) {
            match news {
                News::Appeared(line) => tracing::warn!("{line}"),
                News::Settled(line) => tracing::info!("{line}"),
            }
        }
        if let Some(line) = turned(milestone.as_deref(), &status) {
            tracing::info!("{line}");
            milestone = Some(status);
        }
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop => return Ok(()),
                Signal::Reload => {
                    notify::reloading();
                    // What is wrong with it is in the log, and the old one goes on.
                    let _ = daemon.reload().await;
                    notify::ready();
                }
            },
            // The loop is gone, and why is about to be known.
            changed = statuses.changed() => if changed.is_err() { return daemon.stopped().await },
            ended = daemon.stopped() => return ended,
            () = tick(&mut watchdog) => if daemon.is_alive(Patience::default()).await { notify::alive() },
        }
    }
}

async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// As [`fail`], for what only a person can correct: who waits at the socket is told, too.
fn refuse(error: &dyn std::fmt::Display, code: u8, handed: Handed) -> u8 {
    fail(error, code);
    #[cfg(unix)]
    if let Ok(Some(socket)) = handed.0 {
        aesyncd::service::turn_away(socket, &error.to_string());
    }
    #[cfg(not(unix))]
    drop(handed);
    code
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> u8 {
    last_words::say(&format!("aesyncd: {error}"));
    code
}
