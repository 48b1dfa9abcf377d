//! Who is connected: one seat for each connection, which it keeps up to date itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aesync_protocol::request::ClientName;
use aesync_protocol::response::{ClientSubscription, ConnectedClient, ConnectedClients, Role};
use aesync_protocol::{Channel, Timestamp};
use tokio::sync::Notify;

use super::clock::now;
use super::fanout::Filter;
use super::platform::Peer;

/// How many characters of a client's own name, and of its version, are kept.
const NAME: usize = 100;

/// All connections, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    last: u64,
    taken: BTreeMap<u64, Arc<Seat>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    pub(super) peer: Peer,
    pub(super) role: Role,
    since: Timestamp,
    requests: AtomicU64,
    in_flight: AtomicU64,
    /// With a subscription to `change`: the last position that has left.
    seq: AtomicU64,
    /// Milliseconds since the epoch; 0 while the socket takes what there is.
    stalled_since: AtomicI64,
    told: Mutex<Told>,
    dismissal: Notify,
}

/// What the client has told of itself.
#[derive(Debug, Default)]
struct Told {
    name: Option<ClientName>,
    filter: Option<Filter>,
}

/// A connection is on the roster until this is dropped.
#[derive(Debug)]
pub(super) struct Attendance {
    roster: Arc<Roster>,
    pub(super) seat: Arc<Seat>,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.roster.lock().taken.remove(&self.seat.number);
    }
}

impl Roster {
    pub(super) fn enter(self: &Arc<Self>, peer: Peer, role: Role) -> Attendance {
        let mut seats = self.lock();
        seats.last += 1;
        let seat = Arc::new(Seat {
            number: seats.last,
            peer,
            role,
            since: now(),
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            seq: AtomicU64::new(0),
            stalled_since: AtomicI64::new(0),
            told: Mutex::default(),
            dismissal: Notify::new(),
        });
        seats.taken.insert(seat.number, Arc::clone(&seat));
        drop(seats);
        Attendance { roster: Arc::clone(self), seat }
    }

    /// All seats, the oldest connection first.
    pub(super) fn seats(&self) -> Vec<Arc<Seat>> {
        self.lock().taken.values().cloned().collect()
    }

    /// What `clients` answers, with the feed ending at `last_seq`.
    pub(super) fn answer(&self, last_seq: u64) -> ConnectedClients {
        ConnectedClients { clients: self.seats().iter().map(|seat| seat.shown(last_seq)).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Counts a request.
    pub(super) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes what the client calls itself.
    pub(super) fn introduce(&self, name: &ClientName) {
        let cut = |text: &str| text.chars().take(NAME).collect();
        self.told().name = Some(ClientName { name: cut(&name.name), version: cut(&name.version) });
    }

    /// Notes what the client is subscribed to.
    pub(super) fn subscribed(&self, filter: Option<Filter>) {
        self.told().filter = filter;
    }

    /// Notes how many requests wait for their answers, and up to where the changes have left.
    pub(super) fn stands(&self, in_flight: usize, seq: Option<u64>) {
        self.in_flight.store(in_flight as u64, Ordering::Relaxed);
        if let Some(seq) = seq {
            self.seq.store(seq, Ordering::Relaxed);
        }
    }

    /// Notes whether the socket takes what there is.
    pub(super) fn stalls(&self, took: bool, blocked: bool) {
        if took || !blocked {
            self.stalled_since.store(0, Ordering::Relaxed);
        }
        if blocked && self.stalled_since.load(Ordering::Relaxed) == 0 {
            self.stalled_since.store(now().as_millis(), Ordering::Relaxed);
        }
    }

    /// Has the connection closed after its pending answers.
    pub(super) fn dismiss(&self) {
        self.dismissal.notify_one();
    }

    /// Until the connection is to close.
    pub(super) async fn dismissed(&self) {
        self.dismissal.notified().await;
    }

    fn shown(&self, last_seq: u64) -> ConnectedClient {
        let told = self.told();
        let stalled_since = Some(self.stalled_since.load(Ordering::Relaxed)).filter(|millis| *millis != 0);
        ConnectedClient {
            connection: self.number,
            client: told.name.clone(),
            uid: self.peer.uid(),
            gid: self.peer.gid(),
            pid: self.peer.pid(),
            role: self.role,
            connected_at: self.since,
            requests: self.requests.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            subscription: told.filter.as_ref().map(|filter| self.shown_subscription(filter, last_seq)),
            stalled_since: stalled_since.map(Timestamp::from_millis),
        }
    }

    fn shown_subscription(&self, filter: &Filter, last_seq: u64) -> ClientSubscription {
        let seq = Some(self.seq.load(Ordering::Relaxed)).filter(|_| filter.wants(Channel::Change));
        ClientSubscription {
            channels: Channel::ALL.into_iter().filter(|channel| filter.wants(*channel)).collect(),
            entity_types: filter.entity_types().map(|names| names.iter().map(|name| name.to_string()).collect()),
            seq,
            behind: seq.map(|seq| last_seq.saturating_sub(seq)),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
