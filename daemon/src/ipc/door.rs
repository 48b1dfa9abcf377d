//! Who gets in, and as what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aesync_protocol::Error;
use aesync_protocol::codec::Id;
use aesync_protocol::error::ErrorCode;
use aesync_protocol::response::Role;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::access::Rules;
use super::dispatch::Server;
use super::later::error_line;
use super::platform::{self, Connection, Peer};
use super::refusal::refuse;
use super::session::Session;

/// Peers whose first request is awaited at a time, to be answered with why they can't come in. Those beyond are told at once.
const REFUSALS: usize = 32;

/// How long the system's user database may take.
const GROUPS: Duration = Duration::from_secs(5);

/// How long a user's groups are believed.
const GROUPS_KEPT: Duration = Duration::from_secs(60);

/// The most users whose groups are kept.
const MAX_KEPT_USERS: usize = 1024;

/// What every new connection passes.
pub(super) struct Door {
    rules: RwLock<Arc<Rules>>,
    server: Arc<Server>,
    refusals: Arc<Semaphore>,
    guests: Mutex<Guests>,
    /// The groups of users, with the group that their process had.
    groups: Mutex<HashMap<(u32, u32), Known>>,
}

struct Known {
    at: Instant,
    groups: Arc<[u32]>,
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
    pub(super) fn new(rules: Rules, server: Server) -> Self {
        Self {
            rules: RwLock::new(Arc::new(rules)),
            server: Arc::new(server),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            guests: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Serves the connection in a task of its own, or tells the peer why not.
    pub(super) fn let_in(
        self: &Arc<Self>,
        stream: Connection,
        peer: Peer,
        stop: &watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) {
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
            let attendance = door.server.roster.enter(peer, role);
            // Rules that changed while the role was found out have not seen this connection.
            if door.role(peer).await != Some(role) {
                attendance.seat.dismiss();
            }
            let session = Session::new(stream, Arc::clone(&door.server), attendance);
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
        let is_bounded = peer.user != 0 && peer.user != self.rules().own_user;
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
        } else {
            platform::say_and_close(stream, &error_line(Some(&Id::NULL), &error));
        }
    }

    /// Puts other rules in force, and dismisses the connections whose role they change.
    pub(super) fn change_rules(self: Arc<Self>, rules: Rules) -> impl Future<Output = ()> + Send + 'static {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        // Whoever is added to a group is added to it and the daemon told to reload.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).clear();
        async move {
            for seat in self.server.roster.seats() {
                if self.role(seat.peer).await != Some(seat.role) {
                    seat.dismiss();
                }
            }
        }
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn role(&self, peer: Peer) -> Option<Role> {
        let rules = self.rules();
        if rules.is_decided_by_user(peer.user) {
            return rules.role(peer.user, &[]);
        }
        rules.role(peer.user, &self.groups(peer).await)
    }

    async fn groups(&self, peer: Peer) -> Arc<[u32]> {
        let key = (peer.user, peer.group);
        if let Some(known) = self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && known.at.elapsed() < GROUPS_KEPT
        {
            return Arc::clone(&known.groups);
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
        kept.insert(key, Known { at: Instant::now(), groups: Arc::clone(&groups) });
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
