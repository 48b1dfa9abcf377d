//! The listening socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::access::{Access, AccessLists, Rules};
use super::dispatch::Server;
use super::door::Door;
use super::fanout::Fanout;
use super::limits::Limits;
use super::platform::{self, Socket};
use super::source::{Call, Source};

/// How long the daemon waits after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the system's user database may take for the names in `[access]`.
const NAMES: Duration = Duration::from_secs(10);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon answers there.
    #[error("a daemon is already running: it answers at {}; stop it, or give this one another socket with --socket", path.display())]
    AlreadyRunning {
        /// The path.
        path: PathBuf,
    },
    /// Something that is no socket has the name.
    #[error("{} is there and is no socket; remove it, or choose another path with --socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The directory is missing.
    #[error("the socket {} can't be created: the directory {} is missing; create it (systemd: RuntimeDirectory=aesyncd), or choose another path with --socket", path.display(), directory.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
    },
    /// The directory can't be written to.
    #[error("the socket {} can't be created: no permission to write to the directory {}; give it to the daemon's user, or choose another path with --socket", path.display(), directory.display())]
    NotWritable {
        /// The path.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel's limit for socket paths.
    #[error("the socket path {} is {length} bytes long, and the system allows {}; choose a shorter one with --socket", path.display(), aesync_protocol::endpoint::MAX_PATH)]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// It can't be told whether a daemon answers there.
    #[error("the socket {} is there, and whether a daemon answers at it can't be found out; stop that daemon, or remove the socket", path.display())]
    Probe {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another failure.
    #[error("the socket {} can't be created; check the path, or choose another one with --socket", path.display())]
    Bind {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What systemd handed over is no listening socket.
    #[error("the socket that was handed over can't be used; check ListenStream= in the socket unit")]
    Inherit {
        /// The system's answer.
        source: io::Error,
    },
}

/// Where to listen, and to whom.
#[derive(Debug)]
pub struct BindOptions {
    /// The socket's path, or the pipe's name.
    pub path: PathBuf,
    /// A listening socket that systemd handed over; `path` then goes unused.
    #[cfg(unix)]
    pub inherited: Option<std::os::fd::OwnedFd>,
    /// Whom the pipe lets in.
    #[cfg(windows)]
    pub audience: super::Audience,
    /// The `[access]` table.
    pub access: AccessLists,
    /// The bounds.
    pub limits: Limits,
}

impl BindOptions {
    /// Listens at `path` with the default bounds; beside root and the own user, the socket's group gets in.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            #[cfg(unix)]
            inherited: None,
            #[cfg(windows)]
            audience: super::Audience::Own,
            access: AccessLists::default(),
            limits: Limits::default(),
        }
    }
}

/// A bound socket. Peers can connect from now on; they are served by [`serve`]. The socket's file goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    access: Access,
    lists: watch::Receiver<AccessLists>,
    limits: Limits,
}

/// Binds the socket, in place of one that a killed daemon left behind. The process may open as many files as it may be allowed to from
/// then on, and no more connections are taken than that leaves room for.
///
/// # Errors
/// See [`BindError`].
pub async fn bind(options: BindOptions) -> Result<Listener, BindError> {
    #[cfg(unix)]
    let socket = match options.inherited {
        Some(inherited) => Socket::inherit(inherited)?,
        None => Socket::bind(&options.path).await?,
    };
    #[cfg(windows)]
    let socket = Socket::bind(&options.path, options.audience).await?;
    let (access, lists) = Access::new(options.access);
    let connections = platform::room_for(options.limits.connections);
    Ok(Listener { socket, access, lists, limits: Limits { connections, ..options.limits } })
}

impl Listener {
    /// The path that the daemon bound to; none for a socket that was handed over.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.socket.path()
    }

    /// Changes who may do what, also once the socket is served.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access.clone()
    }
}

/// Serves connections until `stop` says true or its sender is gone. Then pending answers are written, within the limit for that, all
/// connections are closed and the socket's file is removed.
pub async fn serve(
    listener: Listener,
    source: Arc<dyn Source>,
    calls: mpsc::Sender<Call>,
    fanout: Fanout,
    mut stop: watch::Receiver<bool>,
) {
    let Listener { socket, access, mut lists, limits } = listener;
    let unnamed = || platform::resolve(&AccessLists::default(), socket.group());
    let first = resolve(&mut lists, socket.group()).await.unwrap_or_else(unnamed);
    let door = Arc::new(Door::new(first, Server::new(source, calls, fanout, limits.clone())));
    let mut connections = JoinSet::new();
    let stop_of_sessions = stop.clone();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            // Before anybody else comes in. `access` is held here: its end can't be what wakes this.
            Ok(()) = lists.changed() => {
                if let Some(rules) = resolve(&mut lists, socket.group()).await {
                    let review = Arc::clone(&door).change_rules(rules);
                    connections.spawn(review);
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    door.let_in(stream, peer, &stop_of_sessions, &mut connections);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Who knocked at a socket that goes with the daemon is let in for one answer; with another's, the next daemon will do that.
    if socket.path().is_some() {
        while let Some(Ok((stream, peer))) = socket.accept().now_or_never() {
            door.let_in(stream, peer, &stop_of_sessions, &mut connections);
        }
    }
    drop((socket, access));
    let all_closed = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.stop + Duration::from_millis(500), all_closed).await.is_err() {
        tracing::warn!("some connections did not close in time and are cut");
    }
}

/// Looks the names up; none when the system's user database does not answer, and what was in force stays so.
async fn resolve(lists: &mut watch::Receiver<AccessLists>, socket_group: Option<platform::Group>) -> Option<Rules> {
    let lists = lists.borrow_and_update().clone();
    let lookup = tokio::task::spawn_blocking(move || platform::resolve(&lists, socket_group));
    let resolved = timeout(NAMES, lookup).await.ok().and_then(Result::ok);
    if resolved.is_none() {
        tracing::error!("the names in [access] could not be looked up within {} s; they are not in force", NAMES.as_secs());
    }
    resolved
}

/// Until the daemon stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
