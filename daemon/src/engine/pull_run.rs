//! A pull on its way: what it asks for, what came, and who waits for it (rules R20, R21, R29).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::response::{Pulled, Reconciled, Synced, TypePulled, TypeReconciled};
use aesync_protocol::{Error, Record, Timestamp};

use super::apply::{row_id, row_stamp};
use super::durable::Cursor;
use super::effect::{CallId, Reply};
use super::input::RequestId;
use super::reconcile::{Compared, Listed};
use super::transact::{Tally, TypeEnd};

/// Why a pull is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For what is new.
    Incremental,
    /// For everything.
    Full,
    /// A full listing, to find what is gone.
    Reconcile {
        /// Carry out what the brakes held.
        accept: bool,
    },
}

/// How a call that waits for a pull is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As `pull`.
    Pull(CallId),
    /// As `sync`, with the entries that were pushed before.
    Sync(CallId, u64),
    /// As `reconcile`.
    Reconcile(CallId),
}

/// A pull on its way: one or more requests, one after the other.
#[derive(Clone, Debug)]
pub struct PullRun {
    /// Why.
    pub purpose: Purpose,
    /// The request that is under way.
    pub request: RequestId,
    /// The types that it asks for.
    pub types: Vec<String>,
    /// The connect that it was begun under; a later one wants pulls of its own.
    pub connect: u64,
    /// Who waits for it.
    pub answers: Vec<Answer>,
    /// The types that still have to be asked for.
    pub rest: VecDeque<(Timestamp, Vec<String>)>,
    /// When the last progress was told.
    pub told_at: Option<Duration>,
    tallies: BTreeMap<String, Tally>,
    canaries: BTreeMap<String, Option<String>>,
    listed: BTreeMap<String, Listed>,
    pulled: BTreeMap<String, TypePulled>,
    reconciled: BTreeMap<String, TypeReconciled>,
    sync_timestamp: Timestamp,
    /// Reconciliation: the types whose rows are still to be swept, and what the present sweep found.
    sweeps: VecDeque<String>,
    /// The listing that the present sweep goes by: made once, since it may have a million ids.
    sweeping: Option<Arc<Listed>>,
    /// Rows that it lacks, as far as was looked.
    missing: u64,
}

impl PullRun {
    /// A run that has not yet sent anything.
    #[must_use]
    pub fn new(purpose: Purpose, rest: VecDeque<(Timestamp, Vec<String>)>, connect: u64, answers: Vec<Answer>) -> Self {
        Self {
            purpose,
            request: RequestId(0),
            types: Vec::new(),
            connect,
            answers,
            rest,
            told_at: None,
            tallies: BTreeMap::new(),
            canaries: BTreeMap::new(),
            listed: BTreeMap::new(),
            pulled: BTreeMap::new(),
            reconciled: BTreeMap::new(),
            sync_timestamp: Timestamp::EPOCH,
            sweeps: VecDeque::new(),
            sweeping: None,
            missing: 0,
        }
    }

    /// The next request begins.
    pub fn begin(&mut self, request: RequestId, types: Vec<String>, cursors: &BTreeMap<String, Cursor>) {
        self.request = request;
        self.tallies.clear();
        self.canaries.clear();
        for name in &types {
            let canary = cursors.get(name).and_then(|cursor| cursor.canary.clone());
            self.tallies.insert(name.clone(), Tally { canary_seen: canary.is_none(), ..Tally::default() });
            self.canaries.insert(name.clone(), canary);
            self.pulled.entry(name.clone()).or_default();
        }
        self.types = types;
    }

    /// Counts a page in.
    pub fn count(&mut self, entity_type: &str, rows: &[Record]) {
        let Some(tally) = self.tallies.get_mut(entity_type) else { return };
        let canary = self.canaries.get(entity_type).and_then(Option::as_deref);
        let keep_ids = matches!(self.purpose, Purpose::Reconcile { .. });
        for row in rows {
            tally.received += 1;
            let (Some(id), stamp) = (row_id(row), row_stamp(row)) else { continue };
            if canary == Some(id.as_str()) {
                tally.canary_seen = true;
            }
            if keep_ids {
                self.listed.entry(entity_type.to_owned()).or_default().add(&id);
            }
            if stamp > tally.newest {
                tally.newest = stamp;
                tally.newest_id = Some(id);
            }
        }
        if let Some(pulled) = self.pulled.get_mut(entity_type) {
            pulled.received += rows.len() as u64;
        }
    }

    /// Rows of a type received so far, over all requests.
    #[must_use]
    pub fn received(&self, entity_type: &str) -> u64 {
        self.pulled.get(entity_type).map_or(0, |pulled| pulled.received)
    }

    /// Counts what a stored page changed.
    pub fn stored(&mut self, entity_type: &str, changed: u64, deleted: u64) {
        if let Some(pulled) = self.pulled.get_mut(entity_type) {
            pulled.changed += changed;
            pulled.deleted += deleted;
        }
    }

    /// The answer is whole: what each type brought.
    pub fn done(&mut self, sync_timestamp: Timestamp) -> BTreeMap<String, Tally> {
        self.sync_timestamp = sync_timestamp;
        self.tallies.clone()
    }

    /// After the last request of a reconciliation: which types to sweep.
    pub fn plan_sweeps(&mut self, ends: &BTreeMap<String, TypeEnd>) {
        self.sweeps.extend(ends.keys().cloned());
    }

    /// The type to sweep, and the listing's ids.
    #[must_use]
    pub fn sweep(&mut self) -> Option<(String, Arc<Listed>)> {
        let name = self.sweeps.front()?;
        let listed = &mut self.listed;
        let whole = || Arc::new(listed.remove(name).unwrap_or_default().whole());
        Some((name.clone(), Arc::clone(self.sweeping.get_or_insert_with(whole))))
    }

    /// Rows that a slice found missing.
    pub fn add_missing(&mut self, missing: u64) {
        self.missing += missing;
    }

    /// A sweep is through: what it found.
    #[must_use]
    pub fn compared(&self, entity_type: &str) -> Compared {
        let tally = self.tallies.get(entity_type).cloned().unwrap_or_default();
        let accept = self.purpose == Purpose::Reconcile { accept: true };
        Compared { missing: self.missing, listed: tally.received, newest_id: tally.newest_id, accept }
    }

    /// The types that a reconciliation has not brought to its end.
    pub fn unsettled(&self) -> impl Iterator<Item = &String> {
        let types = self.types.iter().chain(self.rest.iter().flat_map(|(_, types)| types));
        let reconciles = matches!(self.purpose, Purpose::Reconcile { .. });
        types.filter(move |name| reconciles && !self.reconciled.contains_key(*name))
    }

    /// A type is reconciled.
    pub fn reconciled(&mut self, entity_type: &str, result: TypeReconciled) {
        let added = self.pulled.get(entity_type).map_or(0, |pulled| pulled.changed);
        self.reconciled.insert(entity_type.to_owned(), TypeReconciled { added, ..result });
        self.sweeps.retain(|name| name != entity_type);
        (self.sweeping, self.missing) = (None, 0);
    }

    /// What those who wait are told.
    #[must_use]
    pub fn replies(&self, seq: u64) -> Vec<(CallId, Result<Reply, Error>)> {
        let types = &self.pulled;
        let reply = |answer: &Answer| match *answer {
            Answer::Pull(call) => {
                (call, Reply::Pulled(Pulled { types: types.clone(), seq, sync_timestamp: self.sync_timestamp }))
            }
            Answer::Sync(call, pushed) => (call, Reply::Synced(Synced { pushed, types: types.clone(), seq })),
            Answer::Reconcile(call) => (call, Reply::Reconciled(Reconciled { types: self.reconciled.clone() })),
        };
        self.answers.iter().map(reply).map(|(call, reply)| (call, Ok(reply))).collect()
    }
}

impl Answer {
    /// The call that waits.
    #[must_use]
    pub fn call(&self) -> CallId {
        match *self {
            Self::Pull(call) | Self::Sync(call, _) | Self::Reconcile(call) => call,
        }
    }
}
