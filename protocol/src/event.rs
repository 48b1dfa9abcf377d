//! What subscribers receive: one line an event, the same bytes for everyone.

use serde::{Deserialize, Serialize};

use crate::entity::Record;
use crate::response::{Entry, Role};
use crate::status::Status;
use crate::time::Timestamp;

/// What one can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The whole status, whenever it changed; the first event is its snapshot.
    Status,
    /// The server's notifications, as hints.
    Notification,
    /// The durable change feed.
    Change,
    /// Entries of the outbox, whenever their state changed.
    Outbox,
    /// How far a long operation has come.
    Progress,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Status, Self::Notification, Self::Change, Self::Outbox, Self::Progress];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Notification => "notification",
            Self::Change => "change",
            Self::Outbox => "outbox",
            Self::Progress => "progress",
        }
    }

    /// The least role that may subscribe to it.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Status | Self::Notification | Self::Progress => Role::Observer,
            // They carry records.
            Self::Change | Self::Outbox => Role::Operator,
        }
    }
}

/// An event's params.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Event {
    /// The whole status.
    Status {
        /// The status.
        status: Box<Status>,
    },
    /// A hint from the server; its `data` is never passed on (rule R34).
    Notification {
        /// The notification.
        notification: Notification,
    },
    /// One entry of the change feed.
    Change {
        /// The change.
        change: Change,
    },
    /// An outbox entry whose state changed.
    Outbox {
        /// The entry.
        entry: Box<Entry>,
    },
    /// How far a long operation has come.
    Progress(Progress),
    /// Changes passed a filtered subscriber by: its position is now `seq`.
    Checkpoint {
        /// The position.
        seq: u64,
    },
    /// The subscriber was too slow: this many notifications or outbox events are missing.
    Lagged {
        /// How many.
        dropped: u64,
    },
    /// The changes that would follow can't be given any more, as with the error `gone`. It is the last event: the daemon closes the connection.
    Gone {
        /// `trimmed`, or `log_changed`.
        reason: String,
        /// The feed as it is now.
        log: String,
        /// Its oldest change.
        #[serde(rename = "firstSeq")]
        first_seq: u64,
    },
}

/// A server notification (rule R34: a hint, which says that a pull may be worth while).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// `data_available`, `sync_complete`, `sync_error` or `conflict_detected`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The entity type, or `batch`.
    pub entity_type: String,
    /// The entity, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// The server's text.
    pub message: String,
    /// The server's time, or ours of its arrival when it sent none.
    pub timestamp: Timestamp,
}

/// What a change did to the visible replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChangeOp {
    /// The record is now this one.
    Upsert,
    /// The record is gone.
    Delete,
}

/// Where a change came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A pull.
    Server,
    /// A push by an application of this machine.
    Local,
}

/// One entry of the change feed. Folding all of them, in order, gives the visible replica (invariant I3).
// What is written as a record need not be owned, nor a `Record`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Change"))]
#[serde(rename_all = "camelCase")]
pub struct Change<R = Record> {
    /// The position, counted from 1 without gaps.
    pub seq: u64,
    /// What it did.
    pub op: ChangeOp,
    /// The entity's type.
    pub entity_type: String,
    /// The entity's id, in lower case.
    pub id: String,
    /// The record after an upsert.
    #[serde(default = "Option::<R>::default", skip_serializing_if = "Option::is_none")]
    pub record: Option<R>,
    /// Where it came from.
    pub origin: Origin,
    /// True while the record holds local changes that the server has not confirmed.
    pub pending: bool,
    /// When the daemon stored it, by this machine's clock.
    pub at: Timestamp,
}

/// How far a long operation has come: counts, never a bare percentage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// `push`, `pull`, `reconcile`.
    pub op: String,
    /// The type it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// Rows or entries done.
    pub done: u64,
    /// Of how many, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}
