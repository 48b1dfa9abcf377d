//! aesyncd: the local sync daemon for AdminEngine.
//!
//! One connection to the server, the durable sync state, and a local socket for every application of the machine. `ARCHITECTURE.md`
//! beside the sources is the map; [`Daemon::start`] is the program.

pub mod args;
pub mod config;
pub mod driver;
pub mod engine;
mod injected;
pub mod ipc;
pub mod server;
pub mod service;
mod spelling;

pub mod store;
pub mod transfer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aesync_protocol::response::Reloaded;
use aesync_protocol::{Error, Status, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use config::Config;
use driver::{Control, Driver, DriverError, Parts, Reload, Saved, Upstream};
use store::Store;

/// The size of the store's files from which on they are rewritten when they hold less than half of it, in bytes.
const REWRITE_FLOOR: u64 = 64 * 1024 * 1024;

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration names something that can't be used.
    #[error("{0}")]
    Config(String),
    /// The state directory.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The local socket.
    #[error(transparent)]
    Bind(#[from] ipc::BindError),
    /// The state.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Waiting for the disk.
    #[error("opening the store: its thread stopped; this is a defect, please report it")]
    Opening,
}

impl StartError {
    /// Whether it is the configuration that has to be corrected (exit code 78).
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_))
    }
}

/// A part of the daemon ended that never ends by itself. Only a new start helps: the state on disk is whole, and is checked by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breakdown {
    /// The loop, or whoever answers for it.
    #[error("running the daemon: its loop ended unasked, by a defect; start it again, and report what the log says before this")]
    Loop,
    /// The local socket.
    #[error(
        "serving the local socket: it ended unasked, by a defect; start the daemon again, and report what the log says before this"
    )]
    Socket,
    /// The store's thread: nothing can be kept any more.
    #[error(
        "writing to the store: its thread ended unasked, by a defect; start the daemon again, and report what the log says before this"
    )]
    Store,
}

/// How long the parts of a daemon may take to show that they are alive.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the loop to take a message and answer it. It never waits, so that this is for a machine that is busy.
    pub turn: Duration,
    /// For the store's thread to be done with one group of changes. A disk may be slow: a kernel tries for minutes before it gives a request
    /// up. Beyond that nothing is written any more, though reads may go on.
    pub store: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { turn: Duration::from_secs(5), store: Duration::from_secs(300) }
    }
}

/// What a daemon is started with beside its configuration.
pub struct StartOptions {
    /// Where the state is kept.
    pub state_dir: PathBuf,
    /// Where local applications connect.
    pub socket: PathBuf,
    /// A listening socket that was handed over; `socket` then only names it.
    #[cfg(unix)]
    pub inherited: Option<std::os::fd::OwnedFd>,
    /// Whom the pipe lets in.
    #[cfg(windows)]
    pub audience: ipc::Audience,
    /// The instance's name.
    pub instance: String,
    /// Reads the configuration again.
    pub reload: Reload,
    /// Puts another log filter in force.
    pub log_filter: Box<dyn Fn(&str) + Send + Sync>,
}

impl StartOptions {
    /// A daemon whose configuration never changes.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>, socket: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            socket: socket.into(),
            #[cfg(unix)]
            inherited: None,
            #[cfg(windows)]
            audience: ipc::Audience::Own,
            instance: "default".to_owned(),
            reload: Box::new(|| Err("this daemon was started without a configuration file".to_owned())),
            log_filter: Box::new(|_| {}),
        }
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    socket: PathBuf,
    stop: Arc<watch::Sender<bool>>,
    controls: mpsc::Sender<Control>,
    status: watch::Receiver<Arc<Status>>,
    driver: JoinHandle<Result<(), driver::StoreLost>>,
    ipc: JoinHandle<()>,
}

impl Daemon {
    /// Opens the store, binds the socket and starts to work; once this returns, applications can connect.
    ///
    /// # Errors
    /// When the state directory, the socket or what the configuration names can't be used.
    pub async fn start(config: Config, options: StartOptions) -> Result<Self, StartError> {
        // Before anything is opened: what is wrong with the configuration is said first.
        let configured = Upstream::at_start(&config, None).map_err(StartError::Config)?;
        let dir = options.state_dir.clone();
        let store_options = store_options(&config);
        let opened = tokio::task::spawn_blocking(move || {
            injected::may(injected::Break::Opening);
            Store::open(&dir, store_options)
        })
        .await;
        let (store, findings) = opened.map_err(|_| StartError::Opening)??;
        let upstream = match configured {
            Some(upstream) => Some(upstream),
            None => Upstream::at_start(&config, remembered_server(&options.state_dir)).map_err(StartError::Config)?,
        };

        let mut bind = ipc::BindOptions::new(&options.socket);
        #[cfg(unix)]
        {
            bind.inherited = options.inherited;
        }
        #[cfg(windows)]
        {
            bind.audience = options.audience;
        }
        bind.access = config.access_lists();
        bind.limits.connections = config.ipc.max_connections;
        bind.limits.message = config.ipc.max_message;
        let listener = ipc::bind(bind).await?;

        let stop = Arc::new(watch::channel(false).0);
        let parts = Parts {
            config,
            instance: options.instance,
            reload: options.reload,
            log_filter: options.log_filter,
            access: listener.access(),
            store,
            findings,
            upstream,
            stop: Arc::clone(&stop),
        };
        let (driver, handles) = Driver::new(parts, &options.state_dir)?;
        let ipc = tokio::spawn(ipc::serve(listener, handles.source, handles.calls, handles.fanout, stop.subscribe()));
        let driver = tokio::spawn(driver.run());
        Ok(Self { socket: options.socket, stop, controls: handles.controls, status: handles.status, driver, ipc })
    }

    /// Where applications connect.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The status now, and those to come.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// Whether the loop takes a message and answers it, and the store's thread gets done with its work: what the watchdog is fed by.
    pub async fn is_alive(&self, patience: Patience) -> bool {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.controls.send(Control::Alive(answer)).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(patience.turn, asked).await {
            Ok(Some(busy)) if busy <= patience.store => true,
            Ok(Some(busy)) => {
                tracing::error!(
                    "the store's thread has been at one thing for {busy:?}: the disk does not answer; look at the disk"
                );
                false
            }
            Ok(None) => false,
            Err(_) => {
                tracing::error!("the loop did not turn for {:?}; this is a defect, please report it", patience.turn);
                false
            }
        }
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// When it is wrong; the old one stays in force.
    pub async fn reload(&self) -> Result<Reloaded, Error> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Error::new(aesync_protocol::ErrorCode::Busy, "the daemon is stopping");
        self.controls.send(Control::Reload(answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    /// Waits until an application stopped it.
    ///
    /// # Errors
    /// When a part of it ended that never ends by itself.
    pub async fn stopped(&mut self) -> Result<(), Breakdown> {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            // The parts end when it is to stop, and the loop when nobody is left at the socket.
            biased;
            Ok(_) = stop.wait_for(|stop| *stop) => Ok(()),
            _ = &mut self.ipc => Err(Breakdown::Socket),
            ended = &mut self.driver => Err(if matches!(ended, Ok(Err(driver::StoreLost))) { Breakdown::Store } else { Breakdown::Loop }),
        }
    }

    /// Stops: pending answers are written, what is queued stays queued, the store is closed.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if !self.ipc.is_finished() && self.ipc.await.is_err() {
            tracing::error!("the local socket had panicked");
        }
        if !self.driver.is_finished() && self.driver.await.is_err() {
            tracing::error!("the driver had panicked");
        }
    }
}

/// The server of the last sign-in. One that can't be read is as good as none: somebody has to sign in again, and is told why.
fn remembered_server(state_dir: &Path) -> Option<server::ServerUrl> {
    Saved::new(state_dir).server().unwrap_or_else(|problem| {
        tracing::warn!("{problem}");
        None
    })
}

/// How the store is opened.
#[must_use]
pub fn store_options(config: &Config) -> store::Options {
    store::Options { cache_bytes: config.state.cache, rewrite_floor: REWRITE_FLOOR, overlap: config.sync.overlap, now: wall() }
}

fn wall() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
