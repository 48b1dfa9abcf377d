//! The listening socket, and who gets in.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aesync_protocol::Error;
use aesync_protocol::error::ErrorCode;
use aesync_protocol::response::Role;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::access::{AccessLists, Rules};
use super::dispatch::Server;
use super::fanout::Fanout;
use super::limits::Limits;
use super::platform::{self, Connection, Peer, Socket};
use super::refusal::refuse;
use super::session::Session;
use super::source::{Call, Source};

/// Peers that are told at a time why they can't come in. Those beyond are closed without a word.
const REFUSALS: usize = 32;

/// How long the daemon waits after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the system's user database may take.
const GROUPS: Duration = Duration::from_secs(5);

/// How long a user's groups are believed.
const GROUPS_KEPT: Duration = Duration::from_secs(60);

/// The most users whose groups are kept.
const MAX_KEPT_USERS: usize = 1024;

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
    /// The path, on Unix.
    pub path: PathBuf,
    /// A listening socket that systemd handed over; `path` then goes unused.
    #[cfg(unix)]
    pub inherited: Option<std::os::fd::OwnedFd>,
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
            access: AccessLists::default(),
            limits: Limits::default(),
        }
    }
}

/// A bound socket. Peers can connect from now on; they are served by [`serve`]. The socket's file goes when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    rules: Rules,
    limits: Limits,
}

/// Binds the socket, in place of one that a killed daemon left behind.
///
/// # Errors
/// See [`BindError`].
pub async fn bind(options: BindOptions) -> Result<Listener, BindError> {
    #[cfg(unix)]
    let socket = match options.inherited {
        Some(inherited) => Socket::inherit(inherited)?,
        None => Socket::bind(&options.path).await?,
    };
    #[cfg(not(unix))]
    let socket = Socket::bind(&options.path).await?;
    let rules = platform::resolve(&options.access, socket.group());
    Ok(Listener { socket, rules, limits: options.limits })
}

impl Listener {
    /// The path that the daemon bound to; none for a socket that was handed over.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.socket.path()
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
    let Listener { socket, rules, limits } = listener;
    let door = Arc::new(Door {
        rules,
        server: Arc::new(Server::new(source, calls, fanout, limits.clone())),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        guests: Mutex::new(Guests::default()),
        groups: Mutex::new(HashMap::new()),
    });
    let mut connections = JoinSet::new();
    let stop_of_sessions = stop.clone();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
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
    drop(socket);
    let all_closed = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.stop + Duration::from_millis(500), all_closed).await.is_err() {
        tracing::warn!("some connections did not close in time and are cut");
    }
}

/// Until the daemon stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

struct Door {
    rules: Rules,
    server: Arc<Server>,
    refusals: Arc<Semaphore>,
    guests: Mutex<Guests>,
    /// Users' groups, and when they were looked up.
    groups: Mutex<HashMap<(u32, u32), (Instant, Arc<[u32]>)>>,
}

#[derive(Default)]
struct Guests {
    all: usize,
    by_user: HashMap<u32, usize>,
}

/// A connection that counts until it is dropped.
struct Guest {
    door: Arc<Door>,
    user: u32,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.door.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.all -= 1;
        if let Some(count) = guests.by_user.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                guests.by_user.remove(&self.user);
            }
        }
    }
}

impl Door {
    fn let_in(self: &Arc<Self>, stream: Connection, peer: Peer, stop: &watch::Receiver<bool>, connections: &mut JoinSet<()>) {
        let guest = match self.count(peer) {
            Ok(guest) => guest,
            Err(error) => return self.turn_away(stream, peer, error, connections),
        };
        let (door, stop) = (Arc::clone(self), stop.clone());
        connections.spawn(async move {
            let Some(role) = Box::pin(door.role(peer)).await else {
                tracing::info!(user = peer.user, process = peer.process, "a user without a role was refused");
                let _turn = door.refusals.acquire().await;
                return Box::pin(refuse(stream, no_role(peer))).await;
            };
            let _guest = guest;
            let session = Session::new(stream, Arc::clone(&door.server), role);
            drop(door);
            if let Err(error) = session.run(stop).await {
                tracing::debug!(%error, user = peer.user, process = peer.process, "a connection broke");
            }
        });
    }

    /// # Errors
    /// `busy` when the house is full.
    fn count(self: &Arc<Self>, peer: Peer) -> Result<Guest, Error> {
        let limits = &self.server.limits;
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = guests.by_user.get(&peer.user).copied().unwrap_or(0);
        if guests.all >= limits.connections {
            return Err(busy(&format!("all {} connections are taken", limits.connections)));
        }
        let is_bounded = peer.user != 0 && peer.user != self.rules.own_user;
        if is_bounded && of_user >= limits.connections_per_user {
            return Err(busy(&format!("all {} connections that one user may have are taken", limits.connections_per_user)));
        }
        guests.all += 1;
        *guests.by_user.entry(peer.user).or_default() += 1;
        Ok(Guest { door: Arc::clone(self), user: peer.user })
    }

    fn turn_away(&self, stream: Connection, peer: Peer, error: Error, connections: &mut JoinSet<()>) {
        tracing::info!(user = peer.user, process = peer.process, %error, "a connection was refused");
        if let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() {
            connections.spawn(async move {
                refuse(stream, error).await;
                drop(turn);
            });
        }
    }

    async fn role(&self, peer: Peer) -> Option<Role> {
        if self.rules.is_decided_by_user(peer.user) {
            return self.rules.role(peer.user, &[]);
        }
        self.rules.role(peer.user, &self.groups(peer).await)
    }

    async fn groups(&self, peer: Peer) -> Arc<[u32]> {
        let key = (peer.user, peer.group);
        let known = self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, groups)) = known
            && at.elapsed() < GROUPS_KEPT
        {
            return groups;
        }
        let lookup = tokio::task::spawn_blocking(move || platform::groups_of(peer));
        let Ok(Ok(groups)) = timeout(GROUPS, lookup).await else {
            tracing::warn!(user = peer.user, "the groups of a user could not be looked up; only the process's own one counts");
            return Arc::new([peer.group]);
        };
        let groups: Arc<[u32]> = groups.into();
        let mut kept = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT_USERS {
            kept.clear();
        }
        kept.insert(key, (Instant::now(), Arc::clone(&groups)));
        groups
    }
}

fn busy(why: &str) -> Error {
    Error::new(ErrorCode::Busy, format!("the daemon can't take this connection: {why}; try again in a moment"))
}

fn no_role(peer: Peer) -> Error {
    Error::new(
        ErrorCode::PermissionDenied,
        format!("the user {} has no role at this daemon, which needs at least the role observer", peer.user),
    )
    .hint("ask the administrator to add you to the socket's group, or to [access] in the daemon's configuration")
    .with("required", Role::Observer.as_str())
}
