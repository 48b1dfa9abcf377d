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
mod tests;
