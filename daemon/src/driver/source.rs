//! Reads of local applications, answered from snapshots and the store without a trip through the engine.

use std::sync::{Arc, PoisonError, RwLock};

use aesync_protocol::error::rpc;
use aesync_protocol::request::OutboxList;
use aesync_protocol::response::{ChangePage, CheckedSlice, Conflicts, EntryPage, RecordFound, RecordPage, StoreFigures};
use aesync_protocol::{Error, ErrorCode, Status, Timestamp};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::engine::durable::EpochId;
use crate::engine::query::Query;
use crate::engine::settings::Settings;
use crate::ipc::{Fanout, Source};
use crate::store::{Figures, Reader};

/// How many bytes of the store are read at a time for an answer: what one read more than an answer holds costs.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// What is served: whose state, by which settings.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) epoch: Option<EpochId>,
    pub(super) settings: Arc<Settings>,
}

/// The reading side, shared with every connection.
pub(super) struct Reads {
    pub(super) reader: Reader,
    pub(super) figures: Arc<Figures>,
    pub(super) status: watch::Receiver<Arc<Status>>,
    pub(super) served: Arc<RwLock<Served>>,
    pub(super) fanout: Fanout,
}

impl Reads {
    fn query<T>(&self, ask: impl FnOnce(Query<'_>) -> T) -> T {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (_, last_seq) = self.fanout.position();
        ask(Query { view: &self.reader, settings: &served.settings, epoch: served.epoch, last_seq })
    }
}

impl Source for Reads {
    fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    fn watch_status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    fn record(&self, entity_type: &str, id: &str) -> Result<RecordFound<Box<RawValue>>, Error> {
        self.query(|query| query.record(entity_type, id))
    }

    fn records(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<RecordPage, Error> {
        self.query(|query| query.records(entity_type, after, limit))
    }

    fn changes(&self, since: u64, limit: usize, bytes: u64) -> Result<ChangePage, Error> {
        self.query(|query| query.changes(since, limit, bytes))
    }

    fn entries(&self, filter: &OutboxList, limit: usize) -> Result<EntryPage, Error> {
        self.query(|query| query.entries(filter, limit))
    }

    fn store_figures(&self) -> Result<StoreFigures, Error> {
        let sizes = self.reader.sizes().map_err(|error| {
            Error::new(ErrorCode::StorageFailed, format!("listing the store's files: {error}"))
                .hint("look at the state directory")
        })?;
        Ok(StoreFigures {
            database_bytes: sizes.sled,
            live_bytes: Some(self.figures.live_bytes()).filter(|bytes| *bytes > 0),
            journal_bytes: sizes.journal,
            journal_live_bytes: self.figures.journal_live_bytes(),
            damaged_bytes: sizes.damaged,
            syncs: self.figures.syncs(),
            last_sync_at: Some(self.figures.last_sync()).filter(|at| *at > 0).map(from_seconds),
            slowest_sync_ms: u64::try_from(self.figures.slowest_sync().as_millis()).unwrap_or(u64::MAX),
            rewriting: self.figures.is_rewriting(),
        })
    }

    fn check_store(&self, after: Option<&str>) -> Result<CheckedSlice, Error> {
        let slice = self.reader.check(after).map_err(|error| Error::new(ErrorCode::StorageFailed, error.to_string()))?;
        slice.ok_or_else(|| {
            let message = "invalid params: after is not what the slice before said; leave it out to begin anew";
            Error::protocol(rpc::INVALID_PARAMS, message)
        })
    }

    fn conflicts(&self) -> Result<Conflicts, Error> {
        self.query(|query| query.conflicts())
    }
}

fn from_seconds(since_1970: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(since_1970).unwrap_or(i64::MAX).saturating_mul(1_000))
}
