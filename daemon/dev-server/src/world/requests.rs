//! What was asked of the server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::faults::Route;

/// The log keeps this many requests; older ones are dropped.
pub(crate) const KEPT_REQUESTS: usize = 10_000;

/// One HTTP request, the control surface and `/socket.io` excepted.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Counts from 1 and never repeats.
    pub seq: u64,
    /// What it was for.
    pub route: Route,
    /// The tenant of its token, if that was valid.
    pub tenant: Option<String>,
    /// When it had been read.
    pub started: Instant,
    /// When its work was done; `None` while it lasts.
    pub ended: Option<Instant>,
    /// `None` while it lasts, and for ever when it was not answered.
    pub status: Option<u16>,
    /// Bytes of its body as received.
    pub bytes: usize,
    /// Rows sent in a push, rows returned by a pull.
    pub rows: usize,
    /// `lastSyncTimestamp` as sent.
    pub last_sync_timestamp: Option<String>,
    /// A pull's `entityTypes`, or the types of a push in the order of the JSON.
    pub entity_types: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    last: u64,
    records: VecDeque<RequestRecord>,
    busy: BTreeMap<String, usize>,
    peak: BTreeMap<String, usize>,
}

impl RequestLog {
    /// Adds a record and gives it its number.
    pub(crate) fn begin(&self, mut record: RequestRecord) -> u64 {
        let mut log = self.lock();
        log.last += 1;
        record.seq = log.last;
        if let Some(tenant) = record.tenant.clone().filter(|_| record.route.is_sync()) {
            let busy = log.busy.entry(tenant.clone()).or_default();
            *busy += 1;
            let busy = *busy;
            let peak = log.peak.entry(tenant).or_default();
            *peak = busy.max(*peak);
        }
        if log.records.len() == KEPT_REQUESTS {
            log.records.pop_front();
        }
        log.records.push_back(record);
        log.last
    }

    /// Marks a request as done. `rows` is given by a pull.
    pub(crate) fn end(&self, seq: u64, tenant: Option<&str>, status: Option<u16>, rows: Option<usize>) {
        let mut log = self.lock();
        if let Some(busy) = tenant.and_then(|tenant| log.busy.get_mut(tenant)) {
            *busy = busy.saturating_sub(1);
        }
        if let Some(record) = log.records.iter_mut().rev().find(|record| record.seq == seq) {
            record.ended = Some(Instant::now());
            record.status = status;
            record.rows = rows.unwrap_or(record.rows);
        }
    }

    pub(crate) fn since(&self, seq: u64) -> Vec<RequestRecord> {
        self.lock().records.iter().filter(|record| record.seq > seq).cloned().collect()
    }

    pub(crate) fn peak(&self, tenant: &str) -> usize {
        self.lock().peak.get(tenant).copied().unwrap_or_default()
    }

    /// A stopped server leaves requests behind that will never end.
    pub(crate) fn forget_unfinished(&self) {
        self.lock().busy.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
