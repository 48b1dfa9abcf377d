//! What the engine wants done.

use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::{Error, Event, Record, Status, Timestamp};

use super::input::{RequestId, SessionId};
use super::transact::Txn;

/// One local application's call that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What the driver carries out, in order. The engine never waits: what comes of it comes back as an [`Input`](super::Input).
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a connection with the present token; end any other.
    OpenSession(SessionId),
    /// End the connection.
    CloseSession,
    /// Emit a `sync_status_update`.
    Announce {
        /// The status word.
        status: &'static str,
    },
    /// Send a request with the present token.
    Send(RequestId, Request),
    /// Let a pull go on with its next page.
    NextPage(RequestId),
    /// Give a request up; what it still reports is stale.
    Abandon(RequestId),
    /// Get a fresh token with the credentials at hand; comes back as `Input::SignedIn` or `Input::LoginFailed`.
    Login,
    /// The identity of the token is served now; who asked for the sign-in can be told.
    SignedIn {
        /// The tenant.
        tenant: String,
    },
    /// The token does not fit the configuration; who asked for the sign-in is to be told why.
    SignInRefused(Error),
    /// Run a transaction; comes back as `Input::Committed`.
    Transact(Box<Txn>),
    /// Answer a call.
    Reply(CallId, Result<Reply, Error>),
    /// Tell subscribers.
    Publish(Box<Event>),
    /// The status that reads are answered with from now on.
    Snapshot(Arc<Status>),
    /// One line for the log.
    Log(LogLevel, String),
}

/// How much an operator cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something needs a person.
    Error,
    /// Something went wrong and is being retried.
    Warn,
    /// Something that an operator would want to know.
    Info,
    /// For those who look for a fault.
    Debug,
}

/// An HTTP request to the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Push these rows, types in this order.
    Push {
        /// The rows by type.
        changes: Vec<(String, Vec<Record>)>,
    },
    /// Pull the rows of these types that changed after `since`.
    Pull {
        /// The types.
        entity_types: Vec<String>,
        /// Strictly after this server time.
        since: Timestamp,
    },
    /// Pull-pending for these types.
    PullPending {
        /// The types.
        entity_types: Vec<String>,
    },
}

/// What a call is answered with.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// Nothing more than that it was done.
    Empty(aesync_protocol::response::Empty),
    /// `push`
    Pushed(aesync_protocol::response::Pushed),
    /// `pull`
    Pulled(aesync_protocol::response::Pulled),
    /// `pullPending`
    PendingPulled(aesync_protocol::response::PendingPulled),
    /// `sync`
    Synced(aesync_protocol::response::Synced),
    /// `outbox.retry`, `outbox.discard`, `attention.acknowledge`
    Count(aesync_protocol::response::Count),
    /// `outbox.edit`
    Entry(Box<aesync_protocol::response::Entry>),
    /// `reconcile`
    Reconciled(aesync_protocol::response::Reconciled),
}

/// When the engine wants to be woken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// On the monotonic clock of [`Now`](super::Now).
    pub at: Duration,
    /// The reason, for the log.
    pub reason: &'static str,
}
