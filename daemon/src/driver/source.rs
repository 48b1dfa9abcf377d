//! Reads of local applications, answered from snapshots and the store without a trip through the engine.

use std::sync::{Arc, PoisonError, RwLock};

use aesync_protocol::request::OutboxList;
use aesync_protocol::response::{ChangePage, Conflicts, EntryPage, RecordFound, RecordPage};
use aesync_protocol::{Error, Status};
use tokio::sync::watch;

use crate::engine::durable::EpochId;
use crate::engine::query::Query;
use crate::engine::settings::Settings;
use crate::ipc::{Fanout, Source};
use crate::store::Reader;

/// What is served: whose state, by which settings.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) epoch: Option<EpochId>,
    pub(super) settings: Arc<Settings>,
}

/// The reading side, shared with every connection.
pub(super) struct Reads {
    pub(super) reader: Reader,
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

    fn record(&self, entity_type: &str, id: &str) -> Result<RecordFound, Error> {
        self.query(|query| query.record(entity_type, id))
    }

    fn records(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<RecordPage, Error> {
        self.query(|query| query.records(entity_type, after, limit))
    }

    fn changes(&self, since: u64, limit: usize) -> Result<ChangePage, Error> {
        self.query(|query| query.changes(since, limit))
    }

    fn entries(&self, filter: &OutboxList, limit: usize) -> Result<EntryPage, Error> {
        self.query(|query| query.entries(filter, limit))
    }

    fn conflicts(&self) -> Result<Conflicts, Error> {
        self.query(|query| query.conflicts())
    }
}
