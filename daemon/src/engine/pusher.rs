//! When to push what: the size of batches, whose turn it is, and when to leave the server alone (rules R7, R10, R11, R14).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aesync_protocol::event::Progress;

use super::Now;
use super::backoff::Backoff;
use super::durable::Entry;
use super::settings::Settings;

/// The outbox's way out.
#[derive(Clone, Debug, Default)]
pub struct Pusher {
    /// After a refusal batches are smaller: the guilty entry is found by halving (rule R11).
    limit: Option<usize>,
    /// Entries that failed alone wait by themselves, and hold nobody up.
    resting: BTreeMap<u64, Duration>,
    /// When the last look for a batch began.
    looked_at: Duration,
    /// Where the look for a batch goes on.
    scan_from: u64,
    /// Nothing can be sent until something changes.
    exhausted: bool,
    retry_at: Option<Duration>,
    backoff: Backoff,
    halted: Option<String>,
    /// Entries that the server took since there was last nothing to send.
    done: u64,
}

/// What a batch's failure does to the next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// Wait, then as before; at least this long if the server said so.
    Wait(Option<Duration>),
    /// Go on at once with less.
    Smaller,
}

impl Pusher {
    /// How many entries the next batch may have.
    #[must_use]
    pub fn count(&self, settings: &Settings) -> usize {
        self.limit.unwrap_or(settings.batch_count).clamp(1, settings.batch_count.max(1))
    }

    /// Where to look for the next batch.
    #[must_use]
    pub fn scan_from(&self) -> u64 {
        self.scan_from
    }

    /// A look for a batch begins: the entries that it has to pass over.
    pub fn look(&mut self, now: &Now) -> BTreeSet<u64> {
        self.looked_at = now.mono;
        self.resting.iter().filter(|(_, until)| **until > now.mono).map(|(number, _)| *number).collect()
    }

    /// Whether it is worth looking for a batch; when, if that is only a matter of time.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        if self.halted.is_some() {
            return None;
        }
        let at = if self.exhausted { self.resting.values().min().copied()? } else { Duration::ZERO };
        Some(self.retry_at.map_or(at, |retry| at.max(retry)))
    }

    /// When pushes are tried again after a failure.
    #[must_use]
    pub fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// Something about the outbox changed: there may be something to send.
    pub fn stir(&mut self) {
        self.exhausted = false;
    }

    /// Waits are cut short, and a stop is over.
    pub fn kick(&mut self) {
        self.retry_at = None;
        self.halted = None;
        self.resting.clear();
        self.stir();
    }

    /// A look for a batch came to its end.
    pub fn looked(&mut self, found: bool, scanned_to: Option<u64>) {
        // Whose rest ended while it was on its way was still passed over, and wants another look.
        self.resting.retain(|_, until| *until > self.looked_at);
        self.scan_from = if found { 0 } else { scanned_to.unwrap_or(0) };
        self.exhausted = !found && scanned_to.is_none();
    }

    /// How far the outbox has been sent, while `waiting` entries are still to be.
    #[must_use]
    pub fn progress(&self, waiting: u64) -> Progress {
        Progress { op: "push".to_owned(), entity_type: None, done: self.done, total: Some(self.done.saturating_add(waiting)) }
    }

    /// There is nothing to send any more: what comes next is counted from 0.
    pub const fn drained(&mut self) {
        self.done = 0;
    }

    /// The server took a batch.
    pub fn succeeded(&mut self, settings: &Settings, numbers: &[u64]) {
        self.retry_at = None;
        self.backoff.reset();
        self.done = self.done.saturating_add(numbers.len() as u64);
        for number in numbers {
            self.resting.remove(number);
        }
        self.limit = self.limit.map(|limit| limit.saturating_mul(2)).filter(|limit| *limit < settings.batch_count);
        self.stir();
    }

    /// A batch failed.
    pub fn failed(&mut self, settings: &Settings, now: &Now, batch: &[Entry], setback: Setback) {
        self.stir();
        match setback {
            Setback::Wait(asked) => {
                let drawn = self.backoff.fail(settings, now);
                self.retry_at = Some(now.mono + asked.unwrap_or(drawn));
            }
            Setback::Smaller => {
                self.limit = Some((batch.len() / 2).max(1));
                if let [alone] = batch {
                    // Longer with each strike, so that a queue of bad entries does not keep the server busy.
                    let wait = settings.backoff_min.saturating_mul(1 << alone.strikes.min(6)).min(settings.backoff_max);
                    self.resting.insert(alone.number, now.mono + wait);
                }
            }
        }
    }

    /// We ask the wrong thing, or the wrong server: no more until somebody looks at it.
    pub fn halt(&mut self, why: String) {
        self.halted = Some(why);
    }

    /// Why no more is sent.
    #[must_use]
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;

    use super::*;

    #[test]
    fn an_entry_whose_rest_ends_during_a_look_is_looked_for_again() {
        let at = |millis| Now { mono: Duration::from_millis(millis), wall: Timestamp::EPOCH, dice: 1 };
        let mut pusher = Pusher::default();
        pusher.resting.insert(7, Duration::from_millis(100));
        assert_eq!(pusher.look(&at(99)), BTreeSet::from([7]));
        pusher.looked(false, None);
        assert_eq!(pusher.due(), Some(Duration::from_millis(100)));
        assert_eq!(pusher.look(&at(100)), BTreeSet::new());
        pusher.looked(false, None);
        assert_eq!(pusher.due(), None, "there was nothing else to send");
    }
}
