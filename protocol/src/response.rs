//! What the methods answer.

mod clients;
mod store;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::entity::Record;
use crate::event::Change;
use crate::status::Status;
use crate::time::Timestamp;

pub use clients::{ClientSubscription, ConnectedClient, ConnectedClients};
pub use store::{CheckedSlice, DamagedValue, Remedy, StoreFigures, StorePart};

/// An answer that says no more than that it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Empty {}

/// `hello`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// The daemon.
    pub server: ServerName,
    /// The version that this connection speaks.
    pub protocol: u32,
    /// All versions that the daemon speaks.
    pub protocols: Vec<u32>,
    /// What this daemon can do beyond version 1's core, as stable names.
    pub capabilities: Vec<String>,
    /// The connection's role.
    pub role: Role,
    /// The instance's name.
    pub instance: String,
    /// The identity of the change feed.
    pub log: String,
}

/// The daemon's name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerName {
    /// `aesyncd`
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What a connection may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Status and hints.
    Observer,
    /// All sync and record methods.
    Operator,
    /// Sign-in, configuration, pause and shutdown too.
    Admin,
}

impl Role {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observer => "observer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `ping`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pong {
    /// This machine's time.
    pub time: Timestamp,
}

/// `wait`: a time-out is an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Waited {
    /// Whether it came to be so.
    pub reached: bool,
    /// The status at the end.
    pub status: Status,
}

/// `subscribe`: where the live events begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Position {
    /// The feed.
    pub log: String,
    /// Its last position.
    pub seq: u64,
}

/// `push`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pushed {
    /// One for each entity, in the order of the request.
    pub entries: Vec<PushedEntry>,
}

/// How far one pushed entity has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PushedEntry {
    /// The outbox entry that carries it; entities that were coalesced share one (rule R5).
    pub entry: u64,
    /// Its type.
    pub entity_type: String,
    /// Its id: the application's in lower case, or the minted one (rule R3).
    pub id: String,
    /// The entry's state.
    pub state: EntryState,
    /// What the server made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the application should know, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The state of an outbox entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum EntryState {
    /// Never sent, or to be sent again.
    Pending,
    /// In a request that is under way.
    Sent,
    /// Sent, with an outcome that is not known yet.
    InDoubt,
    /// Accepted, not yet seen in a pull.
    Acked,
    /// Seen in a pull; no longer in the outbox.
    Confirmed,
    /// Refused by the server for a reason of its own.
    Quarantined,
    /// Waiting for a quarantined entry that it depends on.
    Blocked,
    /// Overruled by the server.
    Conflict,
    /// Given up by a person, or cancelled by a deletion before it was ever sent; no longer in the outbox.
    Discarded,
}

impl EntryState {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::InDoubt => "inDoubt",
            Self::Acked => "acked",
            Self::Confirmed => "confirmed",
            Self::Quarantined => "quarantined",
            Self::Blocked => "blocked",
            Self::Conflict => "conflict",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for EntryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the server made of a change (rule R15).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Verdict {
    /// Stored as sent.
    Accepted,
    /// Dropped: the server kept its own row.
    Overwritten {
        /// The server's row, without secret fields.
        server: Record,
    },
    /// Stored, without these fields.
    #[serde(rename_all = "camelCase")]
    FieldsDropped {
        /// The fields that the server does not have.
        fields: Vec<String>,
    },
}

/// An outbox entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number; later entries have higher ones.
    pub entry: u64,
    /// The entity's type.
    pub entity_type: String,
    /// The entity's id.
    pub id: String,
    /// What it does.
    pub op: EntryOp,
    /// Its state.
    pub state: EntryState,
    /// What is sent.
    pub data: Record,
    /// Its size as JSON, in bytes.
    pub bytes: u64,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was last sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// What the server made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What went wrong the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<EntryError>,
    /// True for an entry of another sign-in: kept, never sent under this one (rule R38).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
}

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EntryOp {
    /// The replica did not know the entity.
    Create,
    /// The replica knew it.
    Update,
    /// `is_deleted` is set.
    Delete,
}

/// What went wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EntryError {
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The server's text.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// `pull`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// What each type brought.
    pub types: BTreeMap<String, TypePulled>,
    /// The change feed's last position.
    pub seq: u64,
    /// The server's own stamp of the answer.
    pub sync_timestamp: Timestamp,
}

/// What a pull brought for one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TypePulled {
    /// Rows in the answer.
    pub received: u64,
    /// Records that are new or different.
    pub changed: u64,
    /// Records that are gone.
    pub deleted: u64,
}

/// `pullPending`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingPulled {
    /// The server's rows, without secret fields.
    pub data: BTreeMap<String, Vec<Record>>,
    /// The server's own stamp of the answer.
    pub sync_timestamp: Timestamp,
}

/// `sync`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Synced {
    /// Entries that left for the server.
    pub pushed: u64,
    /// What each type brought.
    pub types: BTreeMap<String, TypePulled>,
    /// The change feed's last position.
    pub seq: u64,
}

/// `records.get`
// What is written as a record need not be a `Record`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RecordFound"))]
pub struct RecordFound<R = Record> {
    /// The record as applications see it: base and pending changes (rule R26).
    pub record: R,
    /// True while it holds local changes that the server has not confirmed.
    pub pending: bool,
    /// The server's row, while it differs from `record` for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<R>,
    /// The change feed's last position at that moment.
    pub seq: u64,
}

/// `records.list`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordPage {
    /// The records.
    pub records: Vec<ListedRecord>,
    /// Where the next page starts (as `after`); absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The change feed's last position when the page was read: subscribe from the first page's.
    pub seq: u64,
}

/// A record in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListedRecord {
    /// The record.
    pub record: Record,
    /// True while it holds local changes that the server has not confirmed.
    pub pending: bool,
}

/// `changes`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChangePage {
    /// The feed.
    pub log: String,
    /// The changes.
    pub changes: Vec<Change>,
    /// The position after this page, filtered changes included: the next `since`.
    pub next: u64,
    /// The feed's last position.
    pub last_seq: u64,
}

/// `outbox.list`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page starts (as `after`); absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// How many it concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Count {
    /// How many.
    pub count: u64,
}

/// `conflicts.list`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Conflicts {
    /// The conflicts, oldest first.
    pub conflicts: Vec<Conflict>,
}

/// A change that the server overruled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The entry.
    pub entry: u64,
    /// The entity's type.
    pub entity_type: String,
    /// The entity's id.
    pub id: String,
    /// What was sent.
    pub sent: Record,
    /// What the server has, without secret fields.
    pub server: Record,
    /// When it was found.
    pub at: Timestamp,
}

/// `reconcile`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reconciled {
    /// What each type brought.
    pub types: BTreeMap<String, TypeReconciled>,
}

/// What a full listing brought for one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TypeReconciled {
    /// Rows in the listing.
    pub listed: u64,
    /// Rows that the replica lacked or had differently.
    pub added: u64,
    /// Records deleted locally.
    pub deleted: u64,
    /// Records that are missing on the server, held back by the brakes (rule R29).
    pub held: u64,
}

/// `auth.login`, `auth.setToken`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignedIn {
    /// The tenant, in lower case.
    pub tenant_id: String,
    /// When the token expires; absent when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `config.reload`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// Keys that changed and are in force.
    pub changed: Vec<String>,
    /// Keys that changed and need a restart.
    pub restart_needed: Vec<String>,
}

/// `metrics`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricsText {
    /// Prometheus text format.
    pub text: String,
}

/// A whole answer: JSON-RPC's envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Response {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// The request's id; null when it could not be read.
    pub id: Value,
    /// The result of a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The error otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<crate::error::Error>,
}
