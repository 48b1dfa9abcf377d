//! Applications that wait: for entries they pushed, and for work they asked for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aesync_protocol::request::PushWait;
use aesync_protocol::response::{EntryState, Pushed, PushedEntry};

use super::durable::Entry;
use super::effect::{CallId, Reply};
use super::input::Call;

/// Work that an application asked for; it is done in order, one at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// `pull`
    Pull {
        /// The call to answer.
        call: CallId,
        /// The types.
        types: Vec<String>,
        /// Ask for everything.
        full: bool,
    },
    /// `pullPending`
    PullPending {
        /// The call to answer.
        call: CallId,
        /// The types.
        types: Vec<String>,
    },
    /// `sync`
    Sync {
        /// The call to answer.
        call: CallId,
        /// Entries that left so far.
        pushed: u64,
    },
    /// `reconcile`
    Reconcile {
        /// The call to answer.
        call: CallId,
        /// The types.
        types: Vec<String>,
        /// Carry out what the brakes held.
        accept: bool,
    },
}

impl Job {
    /// The call to answer.
    #[must_use]
    pub fn call(&self) -> CallId {
        match *self {
            Self::Pull { call, .. } | Self::PullPending { call, .. } | Self::Sync { call, .. } | Self::Reconcile { call, .. } => {
                call
            }
        }
    }
}

/// Everybody who waits.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Work to be done.
    pub jobs: VecDeque<Job>,
    /// Asked while an identity was being taken up; bounded as the jobs are.
    pub early: Vec<(CallId, Call)>,
    waiting: BTreeMap<CallId, Waiting>,
    by_entry: BTreeMap<u64, Vec<CallId>>,
    /// Pushes that are being enqueued: how they want to be answered.
    enqueuing: BTreeMap<CallId, (PushWait, Duration)>,
}

#[derive(Clone, Debug)]
struct Waiting {
    entries: Vec<PushedEntry>,
    wait: PushWait,
    deadline: Duration,
}

impl Calls {
    /// How many pushes wait for their entries.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A push is being enqueued; it is to be answered then, or at `deadline` at the latest.
    pub fn enqueuing(&mut self, call: CallId, wait: PushWait, deadline: Duration) {
        self.enqueuing.insert(call, (wait, deadline));
    }

    /// A push was refused.
    pub fn refused(&mut self, call: CallId) {
        self.enqueuing.remove(&call);
    }

    /// A push is in the outbox: its answer, if it wants no more than that. `first` is what the call with its request id was answered
    /// the first time, `current` how the entries stand now.
    pub fn enqueued(&mut self, call: CallId, first: Vec<PushedEntry>, current: Vec<PushedEntry>) -> Option<Reply> {
        let (wait, deadline) = self.enqueuing.remove(&call)?;
        if wait == PushWait::Queued {
            return Some(Reply::Pushed(Pushed { entries: first }));
        }
        if current.iter().all(|entry| reached(entry.state, wait)) {
            return Some(Reply::Pushed(Pushed { entries: current }));
        }
        for entry in &current {
            self.by_entry.entry(entry.entry).or_default().push(call);
        }
        self.waiting.insert(call, Waiting { entries: current, wait, deadline });
        None
    }

    /// Entries changed: who is answered now.
    pub fn entries_changed(&mut self, entries: &[Entry]) -> Vec<(CallId, Reply)> {
        let mut answered = Vec::new();
        for entry in entries {
            let Some(calls) = self.by_entry.get(&entry.number).cloned() else { continue };
            for call in calls {
                let Some(waiting) = self.waiting.get_mut(&call) else { continue };
                for pushed in waiting.entries.iter_mut().filter(|pushed| pushed.entry == entry.number) {
                    pushed.state = entry.state;
                    pushed.verdict.clone_from(&entry.verdict);
                }
                if waiting.entries.iter().all(|pushed| reached(pushed.state, waiting.wait)) {
                    answered.extend(self.remove(call));
                }
            }
        }
        answered
    }

    /// Time has passed: who is answered with how far it came.
    pub fn expired(&mut self, now: Duration) -> Vec<(CallId, Reply)> {
        let over: Vec<CallId> =
            self.waiting.iter().filter(|(_, waiting)| waiting.deadline <= now).map(|(call, _)| *call).collect();
        over.into_iter().filter_map(|call| self.remove(call)).collect()
    }

    /// Somebody waits no more.
    pub fn hung_up(&mut self, call: CallId) {
        self.remove(call);
        self.jobs.retain(|job| job.call() != call);
        self.early.retain(|(waiting, _)| *waiting != call);
    }

    /// When the next wait is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    fn remove(&mut self, call: CallId) -> Option<(CallId, Reply)> {
        let waiting = self.waiting.remove(&call)?;
        for entry in &waiting.entries {
            if let Some(calls) = self.by_entry.get_mut(&entry.entry) {
                calls.retain(|other| *other != call);
                if calls.is_empty() {
                    self.by_entry.remove(&entry.entry);
                }
            }
        }
        Some((call, Reply::Pushed(Pushed { entries: waiting.entries })))
    }
}

/// Whether an entry in this state is as far as its caller wants, or can't get there by itself.
fn reached(state: EntryState, wait: PushWait) -> bool {
    match state {
        EntryState::Confirmed | EntryState::Discarded | EntryState::Conflict | EntryState::Quarantined | EntryState::Blocked => {
            true
        }
        EntryState::Acked => wait <= PushWait::Acked,
        EntryState::Pending | EntryState::Sent | EntryState::InDoubt => wait == PushWait::Queued,
    }
}
