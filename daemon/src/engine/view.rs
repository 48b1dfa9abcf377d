//! How the engine reads the durable state.

use std::fmt;

use aesync_protocol::response::EntryState;
use aesync_protocol::{Change, Timestamp};
use serde_json::value::RawValue;

use super::durable::{Cursor, Entry, EpochId, Ledger, Overlay, Registry, Row, StoredAnswer};
use super::notices::Notices;

/// A read that failed. The daemon reports it and goes on: what was damaged is fetched again (rule R44).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading {what}: {detail}")]
pub struct ReadError {
    /// What was being read.
    pub what: String,
    /// What went wrong.
    pub detail: String,
}

impl ReadError {
    /// For `map_err`: `what` was read, and can't be written as JSON.
    pub fn unwritable(what: impl fmt::Display) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| Self { what: format!("{what}, to be written as JSON"), detail: error.to_string() }
    }
}

/// What a read gives.
pub type Read<T> = Result<T, ReadError>;

/// What the retention of a change goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged {
    /// Its seq.
    pub seq: u64,
    /// When it happened, by this machine's clock.
    pub at: Timestamp,
    /// Its length as JSON, in bytes.
    pub bytes: u64,
}

/// The durable state as it is at one moment. The store implements it on sled, the model test on maps.
///
/// Whoever writes, reads what was written before: the transactor is the only writer and calls these between its own commits. Its pages end
/// at their limits only; those that [`Query`](super::query::Query) reads may end before, by their bytes, and only an empty one is the last.
pub trait View {
    /// What holds for the whole store; the default when it is fresh.
    fn registry(&self) -> Read<Registry>;
    /// What happened and nobody has acknowledged.
    fn notices(&self) -> Read<Notices>;
    /// An epoch's counters; the default when there are none.
    fn ledger(&self, epoch: EpochId) -> Read<Ledger>;
    /// A base row, tombstones included.
    fn row(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Row>>;
    /// The record of a base row that is no tombstone, as JSON: what is only passed on is not made up of its fields first.
    fn record(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Box<RawValue>>>;
    /// Base rows ordered by id, from the first id greater than `after`, at most `limit`; tombstones included.
    fn rows(&self, epoch: EpochId, entity_type: &str, after: &str, limit: usize) -> Read<Vec<(String, Row)>>;
    /// What applications see of an entity with local changes.
    fn overlay(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Overlay>>;
    /// Overlays ordered by id, from the first id greater than `after`, at most `limit`.
    fn overlays(&self, epoch: EpochId, entity_type: &str, after: &str, limit: usize) -> Read<Vec<(String, Overlay)>>;
    /// An outbox entry.
    fn entry(&self, epoch: EpochId, number: u64) -> Read<Option<Entry>>;
    /// Outbox entries ordered by number, from the first greater than `after`, at most `limit`.
    fn entries(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Entry>>;
    /// The same, only those in `state`, without reading the others.
    fn entries_in(&self, epoch: EpochId, state: EntryState, after: u64, limit: usize) -> Read<Vec<Entry>>;
    /// A type's cursor; the default when it was never pulled.
    fn cursor(&self, epoch: EpochId, entity_type: &str) -> Read<Cursor>;
    /// Changes ordered by seq, from the first greater than `after`, at most `limit`.
    fn changes(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Change>>;
    /// Of the same changes, only what their retention goes by.
    fn ages(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Aged>>;
    /// The answer that a push with this request id got.
    fn answer(&self, epoch: EpochId, request_id: &str) -> Read<Option<StoredAnswer>>;
    /// Such answers ordered by request id, from the first greater than `after`, at most `limit`.
    fn answers(&self, epoch: EpochId, after: &str, limit: usize) -> Read<Vec<(String, StoredAnswer)>>;
}
