//! The only writer: a thread that runs transactions one after the other, and makes a group of them durable at a time.

use std::sync::mpsc::{self as sync_mpsc, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::engine::input::StoreFailure;
use crate::engine::settings::Settings;
use crate::engine::transact::{Outcome, Txn, run};
use crate::injected::{self, Break};
use crate::store::{Mended, Reader, Store, StoreError};

/// Transactions that share one flush at most: enough to keep the disk busy, few enough to answer soon.
const GROUP: usize = 256;
/// Writes at which a group is closed.
const GROUP_WRITES: usize = 1_024;
/// Bytes of keys and values at which a group is closed, for the sake of memory: large records come some hundred KB each.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// Transactions that may wait. The driver stops taking calls long before.
pub(super) const QUEUE: usize = 8_192;

/// Without a transaction for so long, the store may tidy up.
const QUIET: Duration = Duration::from_secs(5);
/// How often is looked whether it is done.
const POLL: Duration = Duration::from_secs(1);

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Report {
    /// It is on disk.
    Committed(Box<Outcome>),
    /// Nothing of it was written.
    Failed(Box<Txn>, StoreFailure),
    /// Damaged values were met, and taken out or restored. It is the report of no transaction.
    Mended(Mended),
}

/// What the thread is to do.
enum Job {
    /// Run a transaction.
    Run(Box<Txn>, Arc<Settings>),
    /// Mend what a reader came upon.
    Mend,
    /// Close the store.
    Stop,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Transactor {
    queue: Option<sync_mpsc::SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    busy: Busy,
}

/// Since when the thread has been at one group, or at one piece of tidying up; nothing while it waits for work.
#[derive(Clone, Debug, Default)]
struct Busy(Arc<Mutex<Option<Instant>>>);

impl Busy {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Transactor {
    /// Starts it. Reports come in the order of the transactions.
    pub(super) fn start(store: Store, reports: mpsc::Sender<Vec<Report>>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_mpsc::sync_channel(QUEUE);
        let wake = queue.clone();
        // In a full queue there are transactions, and it is mended before they are run.
        store.when_damaged(move || drop(wake.try_send(Job::Mend)));
        let busy = Busy::default();
        let shown = busy.clone();
        let run = move || work(store, &jobs, &reports, &shown);
        let thread = std::thread::Builder::new().name("aesync-store".to_owned()).spawn(run)?;
        Ok(Self { queue: Some(queue), thread: Some(thread), busy })
    }

    /// How long it has been at one thing; nothing while it waits for work.
    pub(super) fn busy(&self) -> Duration {
        let since = *self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Queues a transaction; gives it back when there is no room, or no thread any more.
    pub(super) fn submit(&self, txn: Box<Txn>, settings: Arc<Settings>) -> Result<(), Box<Txn>> {
        let Some(queue) = &self.queue else { return Err(txn) };
        match queue.try_send(Job::Run(txn, settings)) {
            Err(sync_mpsc::TrySendError::Full(Job::Run(txn, _)) | sync_mpsc::TrySendError::Disconnected(Job::Run(txn, _))) => {
                Err(txn)
            }
            _ => Ok(()),
        }
    }

    /// Finishes what is queued, closes the store and ends the thread. Blocks.
    pub(super) fn stop(&mut self) {
        if let Some(queue) = self.queue.take() {
            // Without a thread that takes it there is nothing to stop.
            let _ = queue.send(Job::Stop);
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread had panicked; the store is checked at the next start");
        }
    }
}

fn work(mut store: Store, jobs: &sync_mpsc::Receiver<Job>, reports: &mpsc::Sender<Vec<Report>>, busy: &Busy) {
    let view = store.view();
    let mut quiet = Some(QUIET);
    let mut mends = false;
    loop {
        busy.set(None);
        let job = if std::mem::take(&mut mends) { Ok(Job::Mend) } else { wait(jobs, quiet) };
        busy.set(Some(Instant::now()));
        let first = match job {
            Ok(Job::Run(txn, settings)) => Some((txn, settings)),
            Ok(Job::Mend) => None,
            Ok(Job::Stop) => break,
            Err(RecvTimeoutError::Timeout) => {
                quiet = store.rest().then_some(POLL);
                if quiet.is_none() {
                    aesync_allocator::give_back();
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        injected::may(Break::Store);
        quiet = Some(QUIET);
        let mut stops = false;
        let more = std::iter::from_fn(|| match jobs.try_recv().ok()? {
            Job::Run(txn, settings) => Some((txn, settings)),
            Job::Mend => {
                mends = true;
                None
            }
            Job::Stop => {
                stops = true;
                None
            }
        });
        let done = commit(&mut store, &view, first.into_iter().chain(more));
        if !done.is_empty() && reports.blocking_send(done).is_err() {
            break;
        }
        // Nobody waits for it.
        store.settle_when_due();
        if stops {
            break;
        }
    }
    if let Err(error) = store.close() {
        tracing::warn!(%error, "closing the store");
    }
}

/// Waits for the next transaction, for ever if there is nothing else to do.
fn wait<T>(queue: &sync_mpsc::Receiver<T>, quiet: Option<Duration>) -> Result<T, RecvTimeoutError> {
    match quiet {
        Some(quiet) => queue.recv_timeout(quiet),
        None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// A transaction, and what it came to before the flush.
type Run = (Box<Txn>, Result<Box<Outcome>, StoreFailure>);

/// Runs a group: as many as there are, up to its bounds. If it can't be made durable, none of it counts.
fn commit(store: &mut Store, view: &Reader, transactions: impl Iterator<Item = (Box<Txn>, Arc<Settings>)>) -> Vec<Report> {
    let mut done: Vec<Run> = Vec::new();
    let mut mended = None;
    let mut broken = match store.ready().and_then(|()| store.mend()) {
        Ok(found) => {
            mended = found;
            None
        }
        Err(error) => Some(failure_of(&error)),
    };
    for (txn, settings) in transactions {
        if let Some(failure) = &broken {
            done.push((txn, Err(failure.clone())));
            break;
        }
        match run(&txn, &settings, view) {
            Err(error) => done.push((txn, Err(StoreFailure { full: false, detail: error.to_string() }))),
            Ok((write_set, outcome)) => match store.apply(&write_set) {
                Ok(()) => done.push((txn, Ok(Box::new(outcome)))),
                Err(error) => {
                    let failure = failure_of(&error);
                    done.push((txn, Err(failure.clone())));
                    broken = Some(failure);
                }
            },
        }
        if broken.is_some() || done.len() >= GROUP || store.staged() >= GROUP_WRITES || store.staged_bytes() >= GROUP_BYTES {
            break;
        }
    }
    if broken.is_none() {
        broken = store.sync().err().map(|error| failure_of(&error));
    }
    done.into_iter()
        .map(|(txn, result)| match (&broken, result) {
            (Some(failure), _) => Report::Failed(txn, failure.clone()),
            (None, Ok(outcome)) => Report::Committed(outcome),
            (None, Err(failure)) => Report::Failed(txn, failure),
        })
        .chain(mended.map(Report::Mended))
        .collect()
}

fn failure_of(error: &StoreError) -> StoreFailure {
    let full = matches!(error, StoreError::Full { .. } | StoreError::ReadOnly { .. });
    StoreFailure { full, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aesync_protocol::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::engine::durable::{EpochId, Row};
    use crate::engine::transact::Step;
    use crate::engine::view::View as _;
    use crate::engine::write_set::{Write, WriteSet};
    use crate::store::Options;

    #[test]
    fn what_a_reader_finds_damaged_is_mended_though_nobody_writes() {
        const EPOCH: EpochId = EpochId(1);
        let dir = tempfile::tempdir().expect("a directory");
        let now = Timestamp::from_millis(0);
        let options = Options { cache_bytes: 1 << 20, rewrite_floor: u64::MAX, overlap: Duration::ZERO, now };
        let (mut store, _) = Store::open(dir.path(), options).expect("the store opens");
        let record = json!({"id": "a"}).as_object().cloned().expect("an object");
        let row = Row { record, hash: 1, updated_at: None, deleted_at: None, missing_since: None };
        let write = Write::Row { epoch: EPOCH, entity_type: "user".into(), id: "a".into(), row: Some(row) };
        store.apply(&WriteSet { writes: vec![write] }).expect("applied");
        store.sync().expect("durable");
        store.settle();
        store.spoil_row(EPOCH, "user", "a");
        let reader = store.reader();
        let (reports, mut told) = mpsc::channel(4);
        let mut transactor = Transactor::start(store, reports).expect("a thread");
        reader.row(EPOCH, "user", "a").expect_err("damaged");
        transactor.stop();
        let groups: Vec<Report> = std::iter::from_fn(|| told.blocking_recv()).flatten().collect();
        let [Report::Mended(mended)] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((mended.values, &mended.types), (1, &BTreeSet::from(["user".to_owned()])));
    }

    #[test]
    fn a_group_is_closed_before_it_takes_much_memory() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = Timestamp::from_millis(0);
        let options = Options { cache_bytes: 1 << 20, rewrite_floor: u64::MAX, overlap: Duration::ZERO, now };
        let (mut store, _) = Store::open(dir.path(), options).expect("the store opens");
        let view = store.view();
        let settings = Arc::new(Settings::new("http://127.0.0.1", None, &["user"]));
        let page = |number: u32| {
            let row = json!({"id": number.to_string(), "body": "x".repeat(1 << 20)}).as_object().cloned().expect("an object");
            let step = Step::Rows { entity_type: "user".to_owned(), rows: vec![row] };
            (Box::new(Txn { epoch: EpochId(1), at: now, step }), Arc::clone(&settings))
        };
        let mut pages = (0..20).map(page);
        let groups: Vec<usize> = std::iter::from_fn(|| {
            Some(commit(&mut store, &view, pages.by_ref())).filter(|done| !done.is_empty()).map(|done| {
                assert!(done.iter().all(|report| matches!(report, Report::Committed(_))), "{done:?}");
                assert_eq!((store.staged(), store.staged_bytes()), (0, 0));
                done.len()
            })
        })
        .collect();
        assert_eq!(groups.iter().sum::<usize>(), 20);
        // A row and its change are some 2 MB.
        assert!(groups.iter().all(|group| *group <= 3), "{groups:?}");
    }
}
