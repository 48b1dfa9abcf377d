//! When what is old is removed, of all identities, a piece after the other (rules R4, R29).

use std::collections::BTreeSet;
use std::time::Duration;

use super::Now;
use super::durable::EpochId;
use super::effect::Effect;
use super::retention::Rest;
use super::transact::{Step, Txn};

/// After a start, what is old is looked for as soon as the first things are done: a daemon may not run for long.
const FIRST: Duration = Duration::from_secs(10);
/// How often old changes and answers are looked for.
const EVERY: Duration = Duration::from_secs(3_600);
/// How often the tombstones of those who are not served are looked for: all their records are read for it.
const TOMBSTONES_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Removes what is old.
#[derive(Clone, Debug)]
pub struct Trimmer {
    at: Duration,
    tombstones_at: Duration,
    /// Of whom something is being removed.
    under_way: Option<EpochId>,
    /// Of whom something is to be removed after that, and whether tombstones too.
    waiting: BTreeSet<(EpochId, bool)>,
}

impl Trimmer {
    /// Begins a while after the start.
    #[must_use]
    pub fn new(now: &Now) -> Self {
        let at = now.mono.saturating_add(FIRST);
        Self { at, tombstones_at: at, under_way: None, waiting: BTreeSet::new() }
    }

    /// When it wants to be woken.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.at
    }

    /// It may be time.
    pub fn woke(&mut self, now: &Now, epochs: impl Iterator<Item = EpochId>, served: Option<EpochId>, out: &mut Vec<Effect>) {
        if now.mono < self.at {
            return;
        }
        self.at = now.mono.saturating_add(EVERY);
        let with_tombstones = now.mono >= self.tombstones_at;
        if with_tombstones {
            self.tombstones_at = now.mono.saturating_add(TOMBSTONES_EVERY);
        }
        self.waiting = epochs.map(|epoch| (epoch, with_tombstones && Some(epoch) != served)).collect();
        if self.under_way.is_none() {
            self.next(now, out);
        }
    }

    /// The feed of an identity has grown beyond what it may have: that does not wait.
    pub fn overflowed(&mut self, now: &Now, epoch: EpochId, out: &mut Vec<Effect>) {
        if self.under_way.is_none() {
            self.step(now, epoch, Rest::default(), out);
        }
    }

    /// A piece was removed.
    pub fn trimmed(&mut self, now: &Now, epoch: EpochId, more_changes: bool, rest: Rest, out: &mut Vec<Effect>) {
        if more_changes || !rest.is_done() {
            return self.step(now, epoch, rest, out);
        }
        self.failed(now, epoch, out);
    }

    /// Of this identity no more is removed for now.
    pub fn failed(&mut self, now: &Now, epoch: EpochId, out: &mut Vec<Effect>) {
        if self.under_way == Some(epoch) {
            self.under_way = None;
            self.next(now, out);
        }
    }

    fn next(&mut self, now: &Now, out: &mut Vec<Effect>) {
        if let Some((epoch, with_tombstones)) = self.waiting.pop_first() {
            self.step(now, epoch, if with_tombstones { Rest::everything() } else { Rest::answers() }, out);
        }
    }

    fn step(&mut self, now: &Now, epoch: EpochId, rest: Rest, out: &mut Vec<Effect>) {
        self.under_way = Some(epoch);
        out.push(Effect::Transact(Box::new(Txn { epoch, at: now.wall, step: Step::Trim(rest) })));
    }
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;

    use super::*;

    const SERVED: EpochId = EpochId(2);

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: Timestamp::EPOCH, dice: 1 }
    }

    /// Wakes it, and lets every piece be the last one.
    fn trimmed(trimmer: &mut Trimmer, seconds: u64) -> Vec<(u32, bool)> {
        let mut out = Vec::new();
        trimmer.woke(&at(seconds), (1..=3).map(EpochId), Some(SERVED), &mut out);
        let mut seen = Vec::new();
        while let Some(effect) = out.pop() {
            let Effect::Transact(txn) = effect else { panic!("{effect:?}") };
            let Step::Trim(rest) = &txn.step else { panic!("{txn:?}") };
            assert!(rest.answers_after.is_some() && out.is_empty(), "one at a time");
            seen.push((txn.epoch.0, rest.tombstones_after.is_some()));
            trimmer.trimmed(&at(seconds), txn.epoch, false, Rest::default(), &mut out);
        }
        seen
    }

    #[test]
    fn what_is_old_goes_soon_after_the_start_and_every_hour_whose_ever_it_is() {
        let mut trimmer = Trimmer::new(&at(5));
        assert!(trimmer.deadline() <= Duration::from_secs(60), "a daemon may not run for long");
        let first = trimmer.deadline().as_secs();
        assert_eq!(trimmed(&mut trimmer, first - 1), []);
        assert_eq!(
            trimmed(&mut trimmer, first),
            [(1, true), (2, false), (3, true)],
            "listings look at the served one's tombstones"
        );
        assert_eq!(trimmed(&mut trimmer, first + 3_599), []);
        assert_eq!(trimmed(&mut trimmer, first + 3_600), [(1, false), (2, false), (3, false)]);
        let day = trimmed(&mut trimmer, first + 24 * 3_600);
        assert_eq!(day, [(1, true), (2, false), (3, true)], "all records are read for them: once a day");
    }

    #[test]
    fn a_piece_that_fails_leaves_the_others_their_turn() {
        let mut trimmer = Trimmer::new(&at(0));
        let mut out = Vec::new();
        trimmer.woke(&at(60), (1..=2).map(EpochId), Some(SERVED), &mut out);
        out.clear();
        trimmer.failed(&at(60), EpochId(1), &mut out);
        assert!(matches!(&out[..], [Effect::Transact(txn)] if txn.epoch == SERVED), "{out:?}");
        out.clear();
        trimmer.overflowed(&at(61), SERVED, &mut out);
        assert_eq!(out, [], "it is being trimmed already");
        trimmer.failed(&at(61), SERVED, &mut out);
        trimmer.overflowed(&at(62), SERVED, &mut out);
        assert_eq!(out.len(), 1);
    }
}
