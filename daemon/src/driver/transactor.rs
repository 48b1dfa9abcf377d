//! The only writer: a thread that runs transactions one after the other, and makes a group of them durable at a time.

use std::collections::VecDeque;
use std::sync::mpsc::{self as sync_mpsc, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::engine::input::StoreFailure;
use crate::engine::settings::Settings;
use crate::engine::transact::{Done, Outcome, Txn, run};
use crate::injected::{self, Break};
use crate::store::{Mended, Reader, Store, StoreError};

/// Transactions that share one flush at most: enough to keep the disk busy, few enough to answer soon.
const GROUP: usize = 256;
/// So few are one group.
const FEW: usize = 8;
/// Transactions that are looked at to find how many wait.
const AHEAD: usize = 2 * GROUP;
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
    let mut waiting: VecDeque<Asked> = VecDeque::new();
    let mut stops = false;
    while !stops || !waiting.is_empty() {
        busy.set(None);
        let job = if waiting.is_empty() { wait(jobs, quiet).map(Some) } else { Ok(None) };
        busy.set(Some(Instant::now()));
        let mut first = match job {
            Ok(first) => first,
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
        while !stops
            && waiting.len() < AHEAD
            && let Some(job) = first.take().or_else(|| jobs.try_recv().ok())
        {
            match job {
                Job::Run(txn, settings) => waiting.push_back((txn, settings)),
                // It comes before every group.
                Job::Mend => {}
                Job::Stop => stops = true,
            }
        }
        let group = group_of(waiting.len());
        let (done, unfinished) = commit(&mut store, &view, std::iter::from_fn(|| waiting.pop_front()).take(group));
        if let Some(asked) = unfinished {
            waiting.push_front(asked);
        }
        if !done.is_empty() && reports.blocking_send(done).is_err() {
            break;
        }
        // Nobody waits for it.
        store.settle_when_due();
    }
    if let Err(error) = store.close() {
        tracing::warn!(%error, "closing the store");
    }
}

/// How many of those that wait make a group. Half of many: those who are answered ask anew while the others become durable, so that
/// neither this thread nor the rest of the daemon stands still for the other one.
fn group_of(waiting: usize) -> usize {
    waiting.div_ceil(2).clamp(FEW, GROUP)
}

/// Waits for the next transaction, for ever if there is nothing else to do.
fn wait<T>(queue: &sync_mpsc::Receiver<T>, quiet: Option<Duration>) -> Result<T, RecvTimeoutError> {
    match quiet {
        Some(quiet) => queue.recv_timeout(quiet),
        None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// A transaction that waits, by these settings.
type Asked = (Box<Txn>, Arc<Settings>);

/// What was run, and what it came to before the flush.
enum Run {
    /// A transaction.
    Whole(Box<Txn>, Result<Box<Outcome>, StoreFailure>),
    /// What had to be done before one.
    Before(Box<Outcome>),
}

/// What became of a group, and the transaction that the next one begins with.
type Committed = (Vec<Report>, Option<Asked>);

/// Runs a group: as many as there are, up to its bounds. If it can't be made durable, none of it counts.
fn commit(store: &mut Store, view: &Reader, transactions: impl Iterator<Item = Asked>) -> Committed {
    let mut done: Vec<Run> = Vec::new();
    let (mut mended, mut next) = (None, None);
    let mut broken = match store.ready().and_then(|()| store.mend()) {
        Ok(found) => {
            mended = found;
            None
        }
        Err(error) => Some(failure_of(&error)),
    };
    for asked in transactions {
        if let Some(failure) = &broken {
            done.push(Run::Whole(asked.0, Err(failure.clone())));
            break;
        }
        match run_one(store, view, asked, &mut done) {
            Ok(unfinished) => next = unfinished,
            Err(failure) => broken = Some(failure),
        }
        let is_full = done.len() >= GROUP || store.staged() >= GROUP_WRITES || store.staged_bytes() >= GROUP_BYTES;
        if broken.is_some() || next.is_some() || is_full {
            break;
        }
    }
    if broken.is_none() {
        broken = store.sync().err().map(|error| failure_of(&error));
    }
    if let Some(failure) = &broken
        && let Some((txn, _)) = next.take()
    {
        done.push(Run::Whole(txn, Err(failure.clone())));
    }
    let reports = done.into_iter().filter_map(|run| match (&broken, run) {
        (Some(failure), Run::Whole(txn, _)) => Some(Report::Failed(txn, failure.clone())),
        (Some(_), Run::Before(_)) => None,
        (None, Run::Whole(_, Ok(outcome)) | Run::Before(outcome)) => Some(Report::Committed(outcome)),
        (None, Run::Whole(txn, Err(failure))) => Some(Report::Failed(txn, failure)),
    });
    (reports.chain(mended.map(Report::Mended)).collect(), next)
}

/// Runs a transaction, and before it what has to be done first; gives it back when the group is full before its turn has come.
fn run_one(store: &mut Store, view: &Reader, asked: Asked, done: &mut Vec<Run>) -> Result<Option<Asked>, StoreFailure> {
    let (txn, settings) = asked;
    loop {
        let (write_set, outcome) = match run(&txn, &settings, view) {
            Ok(ran) => ran,
            Err(error) => {
                done.push(Run::Whole(txn, Err(StoreFailure { full: false, detail: error.to_string() })));
                return Ok(None);
            }
        };
        let outcome = Box::new(outcome);
        if let Err(error) = store.apply(&write_set) {
            let failure = failure_of(&error);
            done.push(Run::Whole(txn, Err(failure.clone())));
            return Err(failure);
        }
        if outcome.done != Done::Rebuilding {
            done.push(Run::Whole(txn, Ok(outcome)));
            return Ok(None);
        }
        done.push(Run::Before(outcome));
        if store.staged() >= GROUP_WRITES || done.len() >= GROUP {
            return Ok(Some((txn, settings)));
        }
    }
}

fn failure_of(error: &StoreError) -> StoreFailure {
    let full = matches!(error, StoreError::Full { .. } | StoreError::ReadOnly { .. });
    StoreFailure { full, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aesync_protocol::Timestamp;
    use aesync_protocol::response::EntryOp;
    use aesync_protocol::status::OutboxStatus;
    use serde_json::json;

    use super::*;
    use crate::engine::Now;
    use crate::engine::durable::{Entry, EpochId, Ledger, Row};
    use crate::engine::effect::CallId;
    use crate::engine::transact::Step;
    use crate::engine::view::View as _;
    use crate::engine::write_set::{Write, WriteSet};
    use crate::store::Options;

    const EPOCH: EpochId = EpochId(1);

    fn options() -> Options {
        let now = Timestamp::from_millis(0);
        Options { cache_bytes: 1 << 20, rewrite_floor: u64::MAX, overlap: Duration::ZERO, now }
    }

    #[test]
    fn what_a_reader_finds_damaged_is_mended_though_nobody_writes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path(), options()).expect("the store opens");
        let record = json!({"id": "a"}).as_object().cloned().expect("an object");
        let row = Row { record: record.into(), hash: 1, updated_at: None, deleted_at: None, missing_since: None };
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
        let (mut store, _) = Store::open(dir.path(), options()).expect("the store opens");
        let view = store.view();
        let settings = Arc::new(Settings::new("http://127.0.0.1", None, &["user"]));
        let page = |number: u32| {
            let row = json!({"id": number.to_string(), "body": "x".repeat(1 << 20)}).as_object().cloned().expect("an object");
            let step = Step::Rows { entity_type: "user".to_owned(), rows: vec![row.into()] };
            (Box::new(Txn { epoch: EPOCH, at: Timestamp::from_millis(0), step }), Arc::clone(&settings))
        };
        let mut pages = (0..20).map(page);
        let groups: Vec<usize> = std::iter::from_fn(|| {
            let (done, next) = commit(&mut store, &view, pages.by_ref());
            assert!(next.is_none(), "nothing is made in pieces");
            Some(done).filter(|done| !done.is_empty()).map(|done| {
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

    #[test]
    fn half_of_many_that_wait_make_a_group() {
        let groups = [0, 1, FEW, FEW + 1, 2 * FEW, 64, 2 * GROUP, 100 * GROUP].map(group_of);
        assert_eq!(groups, [FEW, FEW, FEW, FEW, FEW, 32, GROUP, GROUP]);
    }

    #[test]
    fn all_that_waits_at_a_stop_is_done_in_its_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, _) = Store::open(dir.path(), options()).expect("the store opens");
        let (reports, mut told) = mpsc::channel(64);
        let mut transactor = Transactor::start(store, reports).expect("a thread");
        let settings = Arc::new(Settings::new("http://127.0.0.1", None, &["interactions"]));
        for call in 0..100 {
            let id = format!("00000000-0000-4000-8000-{call:012}");
            let entity = json!({"id": id, "type": "call", "title": "t", "description": "d", "date": "2026-01-31T12:00:00.000Z"});
            let seed = Now { wall: Timestamp::from_millis(0), mono: Duration::ZERO, dice: u128::from(call) };
            let changes = vec![("interactions".to_owned(), vec![entity])];
            let step = Step::Enqueue { call: CallId(call), changes, request_id: None, seed };
            let txn = Box::new(Txn { epoch: EPOCH, at: Timestamp::from_millis(0), step });
            transactor.submit(txn, Arc::clone(&settings)).expect("there is room");
        }
        let told = std::thread::spawn(move || std::iter::from_fn(|| told.blocking_recv()).flatten().collect::<Vec<_>>());
        transactor.stop();
        let calls: Vec<_> = told
            .join()
            .expect("told")
            .into_iter()
            .map(|report| match report {
                Report::Committed(outcome) => match outcome.done {
                    Done::Enqueued { call, .. } => call.0,
                    done => panic!("{done:?}"),
                },
                report => panic!("{report:?}"),
            })
            .collect();
        assert_eq!(calls, (0..100).collect::<Vec<u64>>());
    }

    fn entry(number: u64) -> Entry {
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let fields = json!({"id": id, "title": number}).as_object().cloned().expect("an object");
        Entry {
            bytes: 60,
            ..Entry::new(EPOCH, number, ("interactions", &id), EntryOp::Create, fields, Timestamp::from_millis(0))
        }
    }

    #[test]
    fn an_outbox_without_overlays_gets_them_in_pieces_before_anything_else_is_done() {
        const ENTRIES: u64 = 1_234;
        let dir = tempfile::tempdir().expect("a directory");
        let (mut store, _) = Store::open(dir.path(), options()).expect("the store opens");
        let outbox = OutboxStatus { pending: ENTRIES, bytes: 60 * ENTRIES, ..OutboxStatus::default() };
        let ledger = Ledger { log: "log".into(), first_seq: 1, rebuild: Some(0), outbox, ..Ledger::default() };
        let mut writes = vec![Write::Ledger(EPOCH, ledger)];
        writes.extend((1..=ENTRIES).map(|number| Write::Entry(entry(number))));
        store.apply(&WriteSet { writes }).expect("applied");
        store.sync().expect("durable");
        let reader = store.reader();
        let (reports, mut told) = mpsc::channel(64);
        let mut transactor = Transactor::start(store, reports).expect("a thread");
        let step = Step::Take { after: 0, count: 1, except: BTreeSet::new() };
        let settings = Settings::new("http://127.0.0.1", None, &["interactions"]);
        let txn = Box::new(Txn { epoch: EPOCH, at: Timestamp::from_millis(0), step });
        transactor.submit(txn, Arc::new(settings)).expect("there is room");
        let (mut groups, mut changes) = (0, 0);
        let taken = loop {
            let group = told.blocking_recv().expect("the thread runs");
            groups += 1;
            let last = group.into_iter().fold(None, |_, report| {
                let Report::Committed(outcome) = report else { panic!("{report:?}") };
                changes += outcome.written.changes.len() as u64;
                Some(outcome.done)
            });
            match last.expect("a report") {
                Done::Rebuilding => {
                    assert!(reader.ledger(EPOCH).expect("readable").rebuild.is_some(), "it is known how far it came")
                }
                done => break done,
            }
        };
        let Done::Taken { entries, .. } = taken else { panic!("{taken:?}") };
        assert_eq!(entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1]);
        assert!(groups > 1, "one group holds only so much");
        assert_eq!((changes, reader.ledger(EPOCH).expect("readable").rebuild), (ENTRIES, None));
        let seen = reader.overlays(EPOCH, "interactions", "", 5_000).expect("readable");
        assert_eq!(seen.len() as u64, ENTRIES);
        transactor.stop();
    }
}
