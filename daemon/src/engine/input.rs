//! What happens to the engine.

use std::time::Duration;

use aesync_protocol::request::PushWait;
use aesync_protocol::status::Attention;
use aesync_protocol::{Record, Timestamp};
use serde_json::Value;

use super::effect::CallId;
use super::settings::Settings;
use super::transact::{Outcome, Txn};

/// What happens to the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A session reports.
    Session(SessionId, SessionEvent),
    /// A request reports.
    Rest(RequestId, RestEvent),
    /// A transaction is on disk.
    Committed(Box<Outcome>),
    /// A transaction could not be carried out; nothing of it was written.
    TxnFailed(Box<Txn>, StoreFailure),
    /// There is a token to work with: at start, after a login, or set by somebody.
    SignedIn(TokenFacts),
    /// There is no token any more.
    SignedOut,
    /// [`Effect::Login`](super::Effect::Login) brought no token.
    LoginFailed(LoginFailure),
    /// Whether there are credentials to get a token with.
    Credentials(bool),
    /// An application calls.
    Call(CallId, Call),
    /// An application that waited for an answer is gone.
    HungUp(CallId),
    /// The deadline that [`Engine::deadline`](super::Engine::deadline) named has come.
    Woke,
    /// The machine was suspended, or the network came back (rule R37).
    Resumed,
    /// The configuration changed. Types need a restart, and the server changes with a sign-in alone, so only numbers differ.
    Configured(Box<Settings>),
    /// The host found something wrong that a person should know; it is so until the next start, or until somebody acknowledges it.
    Finding(Attention),
    /// Something happened that a person should know, which stays until somebody acknowledges it (rule R44).
    Notice {
        /// Its code.
        code: String,
        /// One sentence.
        message: String,
    },
    /// The store can't vouch for what it keeps of these types: full listings bring it back (rules R28, R44). That they are owed stands
    /// in the cursors already.
    Distrust(Vec<String>),
}

/// What is known of a token; the token itself never enters the engine (rule R41).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// The server that it is from, in normal form; the one in force when absent.
    pub server: Option<String>,
    /// `companyId` or `customerId`, in lower case.
    pub tenant: Option<String>,
    /// Who it is for.
    pub user: String,
    /// When it expires, by the server's clock.
    pub expires_at: Option<Timestamp>,
    /// The id of a feed that is to be started, should the identity be new.
    pub log: String,
}

/// Why a login brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// There are no credentials.
    NoCredentials,
    /// The server refused them: trying again is pointless.
    Refused(String),
    /// The server could not be asked: try again.
    Passing(String),
}

/// A write that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFailure {
    /// The disk is full or read-only (rule R45): it may recover.
    pub full: bool,
    /// One sentence.
    pub detail: String,
}

/// What applications ask of the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `push`
    Push {
        /// The entities by type.
        changes: Vec<(String, Vec<Value>)>,
        /// Makes it idempotent.
        request_id: Option<String>,
        /// When to answer.
        wait: PushWait,
        /// How long to wait at most.
        timeout: Duration,
    },
    /// `pull`
    Pull {
        /// The types; all when absent.
        entity_types: Option<Vec<String>>,
        /// Ask for everything.
        full: bool,
    },
    /// `pullPending`
    PullPending {
        /// The types; all when absent.
        entity_types: Option<Vec<String>>,
    },
    /// `sync`
    Sync,
    /// `reconcile`
    Reconcile {
        /// The types; all when absent.
        entity_types: Option<Vec<String>>,
        /// Carry out what the brakes held.
        accept: bool,
    },
    /// `outbox.retry`
    Retry(Option<Vec<u64>>),
    /// `outbox.discard`
    Discard(Option<Vec<u64>>),
    /// `outbox.edit`
    Edit(u64, Record),
    /// `conflicts.resolve`
    Resolve {
        /// Which.
        entry: u64,
        /// Send the local change once more.
        keep_local: bool,
    },
    /// `attention.acknowledge`
    Acknowledge(Option<Vec<String>>),
    /// `pause`
    Pause,
    /// `resume`
    Resume,
}

/// One connection attempt; events of an earlier one are stale and dropped (rule R25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One HTTP request; there is at most one in flight (rule R8), and answers to an earlier one are stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a session reports.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEvent {
    /// The namespace is joined; `authenticate` is on its way.
    Connected,
    /// The server answered `authenticated`. This proves nothing about the token: only HTTP does.
    Authenticated,
    /// A ping was answered.
    Pong {
        /// The round trip.
        rtt: Duration,
    },
    /// A `sync_notification`.
    Notification(Hint),
    /// Another client's `sync_status_update`.
    PeerStatus {
        /// Its status word, cut to a sane length.
        status: String,
        /// The type that it concerns.
        entity_type: Option<String>,
    },
    /// A notification of a shape that is not known; counted and passed over (rule R34).
    Unknown {
        /// The event's name.
        event: String,
    },
    /// Notifications were dropped because they came too fast: everything may be stale.
    Overflow,
    /// The connection is over; nothing more comes from it.
    Ended(SessionEnd),
}

/// A `sync_notification`, as a hint (rule R34): its `data` stays behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// `data_available`, `sync_complete`, `sync_error`, `conflict_detected` or one that is not known yet.
    pub kind: String,
    /// The entity type, or `batch`.
    pub entity_type: String,
    /// The entity.
    pub entity_id: Option<String>,
    /// The server's text, cut to a sane length.
    pub message: String,
    /// The server's time, where it is one.
    pub timestamp: Option<Timestamp>,
    /// With `batch`: the types that `data.entityTypes` names; empty when it names none.
    pub batch_types: Vec<String>,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// The kind, on which the engine acts.
    pub kind: SessionEndKind,
    /// One sentence for people, without secrets.
    pub detail: String,
}

/// Kinds of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionEndKind {
    /// No TCP or TLS connection came about, or no answer in time.
    Unreachable,
    /// The certificate was not accepted.
    Untrusted,
    /// Something answered that is no socket.io server, or refused the websocket: HTTP may still work.
    NoWebsocket,
    /// The server refused the namespace or the credentials.
    Refused,
    /// The connection was there and broke, fell silent, or was closed by the server.
    Lost,
    /// The engine asked for it.
    Closed,
}

/// What a request reports.
#[derive(Clone, Debug, PartialEq)]
pub enum RestEvent {
    /// Rows of a pull, of one type, in the server's order, without secret fields. The next page comes after [`Effect::NextPage`](super::effect::Effect::NextPage).
    Rows {
        /// Their type.
        entity_type: String,
        /// The rows.
        rows: Vec<Record>,
    },
    /// A pull came to its end whole.
    PullDone {
        /// The server's stamp.
        sync_timestamp: Timestamp,
        /// The types that the answer had a list for, empty ones included.
        listed: Vec<String>,
    },
    /// A push was answered with 200.
    Pushed {
        /// The rows, flat and in request order, without secret fields; `Null` where one was no object.
        rows: Vec<serde_json::Value>,
    },
    /// A pull-pending was answered with 200.
    Pending(aesync_protocol::response::PendingPulled),
    /// It failed.
    Failed(Failure),
}

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, on which [`classify`](super::classify) acts.
    pub kind: FailureKind,
    /// One sentence for people, without secrets.
    pub detail: String,
}

/// Kinds of failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection came about: the server did not see the request.
    Unreachable,
    /// The certificate was not accepted.
    Untrusted,
    /// The connection broke after the request was (perhaps partly) written: the server may have acted on it.
    Broken,
    /// No answer within the deadline: the server may still act on it.
    TimedOut,
    /// An answer with another status than 200.
    Status {
        /// The status.
        status: u16,
        /// `error` or `message` of its JSON body, cut to a sane length; `None` when the body is no such JSON.
        message: Option<String>,
        /// `Retry-After`, when it was there.
        retry_after: Option<Duration>,
    },
    /// An answer with status 200 and a body that is not what the route answers: a captive portal, a proxy, another server.
    NotOurs,
    /// The answer is over the size limit.
    TooLarge,
    /// There is no token to send.
    NoToken,
}
