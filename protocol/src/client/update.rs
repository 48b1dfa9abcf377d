//! What a subscription tells that outlives its connections.

use super::ClientError;
use crate::event::{Change, Notification, Progress};
use crate::response::{Entry, Position};
use crate::status::Status;

/// What [`Updates`](super::Updates) yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum Update {
    /// One entry of the change feed: each once and in order, whatever became of the connections in between.
    Change(Change),
    /// The whole status; the first one after [`Connected`](Self::Connected) is a snapshot.
    Status(Box<Status>),
    /// The server's hint that a pull may be worth while. The daemon has begun one already.
    Notification(Notification),
    /// An entry of the outbox in its new state.
    Outbox(Box<Entry>),
    /// How far a long operation has come.
    Progress(Progress),
    /// This application was too slow for that many notifications and outbox entries. Changes are never among them.
    Lagged {
        /// How many.
        dropped: u64,
    },
    /// The daemon is there, and this is where its feed stands. Changes go on where they stopped; of the notifications and outbox
    /// entries some may have been missed.
    Connected(Position),
    /// The daemon is away. Said once for each loss; the subscription goes on trying.
    Disconnected(ClientError),
    /// The feed can't be followed from the position any more: forget what was folded, list the records, and say
    /// [`loaded`](super::Updates::loaded) with the listing's `seq`.
    ///
    /// Changes go on after `position`, so that a listing made after this update misses nothing.
    Reset {
        /// Why.
        reason: ResetReason,
        /// Where changes go on.
        position: Position,
    },
}

/// Why a position can't be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// The position is older than what the feed keeps.
    Trimmed,
    /// The feed started anew: a fresh store, or another server, tenant or user.
    LogChanged,
}

impl ResetReason {
    /// The reason as it stands in the error `gone`. One that this client does not know is as good as a new feed.
    pub(super) fn from_wire(reason: Option<&str>) -> Self {
        if reason == Some("trimmed") { Self::Trimmed } else { Self::LogChanged }
    }
}
