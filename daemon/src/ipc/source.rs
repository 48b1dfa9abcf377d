//! What the local interface needs from the rest of the daemon. The driver implements it.

use std::sync::Arc;

use aesync_protocol::request::OutboxList;
use aesync_protocol::response::{ChangePage, CheckedSlice, Conflicts, EntryPage, RecordFound, RecordPage, Role, StoreFigures};
use aesync_protocol::{Error, Request, Status};
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};

/// Reads that are answered from shared snapshots and from the store, without a trip through the engine.
///
/// `status` and `record` are called on the connections' threads and must be quick. The others may block; they are called on threads for
/// that purpose, a few at a time.
pub trait Source: Send + Sync + 'static {
    /// The present status.
    fn status(&self) -> Arc<Status>;

    /// The present status and those to come.
    fn watch_status(&self) -> watch::Receiver<Arc<Status>>;

    /// One record of the replica.
    ///
    /// # Errors
    /// `not_found`, and what the store may run into.
    fn record(&self, entity_type: &str, id: &str) -> Result<RecordFound<Box<RawValue>>, Error>;

    /// Records ordered by id, from the first id greater than `after`; `limit` is 1 to 1,000. What exceeds 4 MiB is left to the next page.
    ///
    /// # Errors
    /// `not_found` for a type that is not configured, and what the store may run into.
    fn records(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<RecordPage, Error>;

    /// The durable feed, from the first position greater than `since`; `limit` is 1 to 1,000. It ends before `bytes` bytes of JSON are
    /// exceeded, with one change at least.
    ///
    /// # Errors
    /// `gone` when the feed no longer holds what follows `since`, and what the store may run into.
    fn changes(&self, since: u64, limit: usize, bytes: u64) -> Result<ChangePage, Error>;

    /// Outbox entries, oldest first; `limit` is 1 to 1,000 and stands for the one in `filter`. What exceeds 4 MiB is left to the next page.
    ///
    /// # Errors
    /// What the store may run into.
    fn entries(&self, filter: &OutboxList, limit: usize) -> Result<EntryPage, Error>;

    /// What the store takes up.
    ///
    /// # Errors
    /// `storage_failed` when its files can't be listed.
    fn store_figures(&self) -> Result<StoreFigures, Error>;

    /// A slice of a check of all checksums, which begins where the slice before said.
    ///
    /// # Errors
    /// `-32602` when `after` is no place where one ends, and what the store may run into.
    fn check_store(&self, after: Option<&str>) -> Result<CheckedSlice, Error>;

    /// The changes that the server overruled, oldest first.
    ///
    /// # Errors
    /// What the store may run into.
    fn conflicts(&self) -> Result<Conflicts, Error>;
}

/// A call that goes to the driver: everything that is not answered from a [`Source`].
#[derive(Debug)]
pub struct Call {
    /// What is wanted. The caller's role allows it.
    pub request: Request,
    /// The caller's role.
    pub role: Role,
    /// Takes the result as JSON. It is closed when the caller has gone.
    pub reply: oneshot::Sender<Result<Vec<u8>, Error>>,
}

/// A result as JSON, checked to be some.
pub(super) fn checked_json(bytes: Vec<u8>) -> Result<Box<RawValue>, Error> {
    let text = String::from_utf8(bytes).map_err(|error| defect("the result is not UTF-8", &error))?;
    RawValue::from_string(text).map_err(|error| defect("the result is no JSON", &error))
}

/// A defect of the daemon, logged with its cause.
pub(super) fn defect(what: &str, cause: &dyn std::error::Error) -> Error {
    tracing::error!(what, %cause, "a defect of the local interface");
    Error::protocol(
        aesync_protocol::error::rpc::INTERNAL_ERROR,
        format!("{what}: {cause}; this is a defect of the daemon, please report it"),
    )
}
