//! The only writer: a thread that runs transactions one after the other, and makes a group of them durable at a time.

use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::engine::input::StoreFailure;
use crate::engine::settings::Settings;
use crate::engine::transact::{Outcome, Txn, run};
use crate::store::{Reader, Store, StoreError};

/// Transactions that share one flush at most: enough to keep the disk busy, few enough to answer soon.
const GROUP: usize = 256;
/// Transactions that may wait. The driver stops taking calls long before.
pub(super) const QUEUE: usize = 8_192;

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Report {
    /// It is on disk.
    Committed(Box<Outcome>),
    /// Nothing of it was written.
    Failed(Box<Txn>, StoreFailure),
}

/// The thread.
#[derive(Debug)]
pub(super) struct Transactor {
    queue: Option<sync_mpsc::SyncSender<(Box<Txn>, Arc<Settings>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Transactor {
    /// Starts it. Reports come in the order of the transactions.
    pub(super) fn start(store: Store, reports: mpsc::Sender<Vec<Report>>) -> std::io::Result<Self> {
        let (queue, transactions) = sync_mpsc::sync_channel(QUEUE);
        let thread =
            std::thread::Builder::new().name("aesync-store".to_owned()).spawn(move || work(store, &transactions, &reports))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a transaction; gives it back when there is no room, or no thread any more.
    pub(super) fn submit(&self, txn: Box<Txn>, settings: Arc<Settings>) -> Result<(), Box<Txn>> {
        let Some(queue) = &self.queue else { return Err(txn) };
        queue.try_send((txn, settings)).map_err(|error| match error {
            sync_mpsc::TrySendError::Full((txn, _)) | sync_mpsc::TrySendError::Disconnected((txn, _)) => txn,
        })
    }

    /// Finishes what is queued, closes the store and ends the thread. Blocks.
    pub(super) fn stop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread had panicked; the store is checked at the next start");
        }
    }
}

fn work(mut store: Store, transactions: &sync_mpsc::Receiver<(Box<Txn>, Arc<Settings>)>, reports: &mpsc::Sender<Vec<Report>>) {
    let reader = store.reader();
    while let Ok(first) = transactions.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = transactions.try_recv()
        {
            group.push(next);
        }
        if reports.blocking_send(commit(&mut store, &reader, group)).is_err() {
            break;
        }
    }
    if let Err(error) = store.close() {
        tracing::warn!(%error, "closing the store");
    }
}

/// A transaction, and what it came to before the flush.
type Run = (Box<Txn>, Result<Box<Outcome>, StoreFailure>);

/// Runs a group. If it can't be made durable, none of it counts.
fn commit(store: &mut Store, reader: &Reader, group: Vec<(Box<Txn>, Arc<Settings>)>) -> Vec<Report> {
    let mut done: Vec<Run> = Vec::with_capacity(group.len());
    let mut group = group.into_iter();
    let mut wrote = false;
    let mut broken: Option<StoreFailure> = None;
    for (txn, settings) in group.by_ref() {
        match run(&txn, &settings, reader) {
            Err(error) => done.push((txn, Err(StoreFailure { full: false, detail: error.to_string() }))),
            Ok((write_set, outcome)) => {
                wrote |= !write_set.is_empty();
                match store.apply(&write_set) {
                    Ok(()) => done.push((txn, Ok(Box::new(outcome)))),
                    Err(error) => {
                        let failure = failure_of(&error);
                        done.push((txn, Err(failure.clone())));
                        broken = Some(failure);
                        break;
                    }
                }
            }
        }
    }
    if broken.is_none() && wrote {
        broken = store.sync().err().map(|error| failure_of(&error));
    }
    let Some(failure) = broken else {
        return done
            .into_iter()
            .map(|(txn, result)| match result {
                Ok(outcome) => Report::Committed(outcome),
                Err(failure) => Report::Failed(txn, failure),
            })
            .collect();
    };
    done.into_iter()
        .map(|(txn, _)| txn)
        .chain(group.map(|(txn, _)| txn))
        .map(|txn| Report::Failed(txn, failure.clone()))
        .collect()
}

fn failure_of(error: &StoreError) -> StoreFailure {
    let full = matches!(error, StoreError::Full { .. } | StoreError::ReadOnly { .. });
    StoreFailure { full, detail: error.to_string() }
}
