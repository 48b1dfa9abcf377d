//! What one step writes: all of it, or nothing (rules R1, R23).

use aesync_protocol::codec::EncodedChange;

use super::durable::{Cursor, Entry, EpochId, Ledger, Overlay, Registry, Row, StoredAnswer};
use super::notices::Notices;

/// The writes of one atomic step, in order. Later writes to the same key win.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteSet {
    /// The writes.
    pub writes: Vec<Write>,
}

/// One write. `None` removes.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// What holds for the whole store.
    Registry(Registry),
    /// What happened and nobody has acknowledged.
    Notices(Notices),
    /// An epoch's counters.
    Ledger(EpochId, Ledger),
    /// A base row.
    Row {
        /// Whose.
        epoch: EpochId,
        /// Its type.
        entity_type: String,
        /// Its id.
        id: String,
        /// The row.
        row: Option<Row>,
    },
    /// What applications see of an entity with local changes.
    Overlay {
        /// Whose.
        epoch: EpochId,
        /// Its type.
        entity_type: String,
        /// Its id.
        id: String,
        /// The overlay.
        overlay: Option<Overlay>,
    },
    /// An outbox entry. The store also keeps the index by state that [`View::entries_in`](super::view::View::entries_in) reads.
    Entry(Entry),
    /// The same, of a number that no entry ever had, so that there is none to look for.
    NewEntry(Entry),
    /// Removes an outbox entry, and its place in the index.
    RemoveEntry(EpochId, u64),
    /// A cursor.
    Cursor(EpochId, String, Cursor),
    /// One entry of the change feed, under its `seq`.
    Change(EpochId, EncodedChange),
    /// Removes the changes with `from <= seq < to`.
    TrimChanges {
        /// Whose.
        epoch: EpochId,
        /// The first that goes.
        from: u64,
        /// The first that stays.
        to: u64,
    },
    /// The first answer to a push with a request id.
    Answer(EpochId, String, StoredAnswer),
    /// Forgets the answer to a push with a request id.
    RemoveAnswer(EpochId, String),
}

impl WriteSet {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}
