//! Pushes: from the look for a batch to what is known of it afterwards.

use aesync_protocol::Record;
use aesync_protocol::event::Event;
use aesync_protocol::response::EntryError;

use super::calls::Job;
use super::classify::{Action, Fate, classify};
use super::durable::Entry;
use super::effect::Request;
use super::input::{Failure, FailureKind};
use super::lane::Lane;
use super::pusher::Setback;
use super::status::Trouble;
use super::transact::Step;
use super::without::Mutation;
use super::work::error_of;
use super::{Effect, Engine, Now};

impl Engine {
    /// Whether there is something to send, and nothing that has to be taken up again before.
    pub(super) fn may_push(&self) -> bool {
        self.ledger.outbox.pending > 0 && !self.recovers
    }

    pub(super) fn begin_push(&mut self, now: &Now, out: &mut Vec<Effect>) {
        self.lane = Lane::Taking;
        let step = Step::Take {
            after: self.pusher.scan_from(),
            count: self.pusher.count(&self.settings),
            except: self.pusher.look(now),
        };
        self.transact(now, step, out);
    }

    pub(super) fn on_push_failed(&mut self, now: &Now, batch: &[Entry], failure: &Failure, out: &mut Vec<Effect>) {
        let without = self.settings.without;
        let (action, fate) = classify(&failure.kind);
        let numbers: Vec<u64> = batch.iter().map(|entry| entry.number).collect();
        let setback = match action {
            Action::Isolate | Action::Split => Setback::Smaller,
            Action::Wait(wait) => Setback::Wait(Some(wait)),
            Action::Offline | Action::AuthRequired | Action::BackOff | Action::Stop => Setback::Wait(None),
        };
        self.pusher.failed(&self.settings, now, batch, setback);
        if action == Action::Stop {
            self.pusher.halt(failure.detail.clone());
        }
        if let Some(Job::Sync { call, .. }) = self.calls.jobs.front().cloned()
            && setback != Setback::Smaller
        {
            self.calls.jobs.pop_front();
            out.push(Effect::Reply(call, Err(error_of(failure))));
        }
        self.on_failure(now, Trouble::Push, &action, failure, out);
        let status = if let FailureKind::Status { status, .. } = failure.kind { Some(status) } else { None };
        let error = EntryError { status, message: failure.detail.clone(), at: now.wall };
        let alone = batch.len() == 1 || without.is(Mutation::CondemnedWithoutTrial);
        let refused_alone = matches!(action, Action::Isolate | Action::Split) && alone;
        self.lane = Lane::Settling;
        if fate == Fate::InDoubt || refused_alone {
            for entry in batch {
                self.puller.mark(now, &entry.entity_type);
            }
            self.transact(now, Step::Doubt { numbers, strike: refused_alone, error }, out);
        } else {
            let seen = fate != Fate::Unsent;
            self.transact(now, Step::Return { numbers, seen, error: seen.then_some(error) }, out);
        }
    }

    pub(super) fn count_pushed(&mut self, count: u64) {
        if let Some(Job::Sync { pushed, .. }) = self.calls.jobs.front_mut() {
            *pushed = pushed.saturating_add(count);
        }
    }

    pub(super) fn on_taken(&mut self, batch: Vec<Entry>, scanned_to: Option<u64>, out: &mut Vec<Effect>) {
        if !matches!(self.lane, Lane::Taking) {
            // Somebody signed in meanwhile: what was taken for the token before is in doubt, and taken up again after that.
            return;
        }
        self.pusher.looked(!batch.is_empty(), scanned_to);
        if batch.is_empty() {
            self.lane = Lane::Idle;
            return;
        }
        let mut changes: Vec<(String, Vec<Record>)> = Vec::new();
        for entry in &batch {
            match changes.last_mut() {
                Some((entity_type, rows)) if *entity_type == entry.entity_type => rows.push(Record::clone(&entry.fields)),
                _ => changes.push((entry.entity_type.clone(), vec![Record::clone(&entry.fields)])),
            }
        }
        let request = self.next_request();
        let waiting = self.ledger.outbox.pending.saturating_add(batch.len() as u64);
        out.push(Effect::Publish(Box::new(Event::Progress(self.pusher.progress(waiting)))));
        self.lane = Lane::Pushing { request, batch };
        out.push(Effect::Send(request, Request::Push { changes }));
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test")]
mod tests {
    use std::time::Duration;

    use aesync_protocol::Timestamp;
    use aesync_protocol::status::OutboxStatus;

    use super::super::durable::{EpochId, Identity, Ledger, Registry};
    use super::super::effect::CallId;
    use super::super::input::{Call, StoreFailure};
    use super::super::settings::Settings;
    use super::super::transact::{Adopted, Txn};
    use super::super::{Host, Input};
    use super::*;

    fn at(mono: Duration) -> Now {
        Now { mono, wall: Timestamp::from_millis(0).plus_millis(i64::try_from(mono.as_millis()).expect("small")), dice: 3 }
    }

    fn steps(effects: Vec<Effect>) -> Vec<Txn> {
        let step = |effect| match effect {
            // What is old goes in any case.
            Effect::Transact(txn) if !matches!(txn.step, Step::Trim(_)) => Some(*txn),
            _ => None,
        };
        effects.into_iter().filter_map(step).collect()
    }

    #[test]
    fn what_was_on_its_way_as_the_disk_filled_up_is_taken_up_again_at_longer_and_longer_intervals() {
        let settings = Settings::new("http://server.example", None, &["user"]);
        let identity = Identity { server: settings.server.clone(), tenant: "t".into(), user: "u".into() };
        let epoch = EpochId(1);
        let registry = Registry { epochs: [(epoch, identity)].into(), current: Some(epoch), ..Registry::default() };
        let outbox = OutboxStatus { sent: 1, pending: 1, ..OutboxStatus::default() };
        let ledger = Ledger { log: "log".into(), first_seq: 1, outbox, ..Ledger::default() };
        let found = Adopted { registry, ledger, ..Adopted::default() };
        let mut now = at(Duration::from_secs(1));
        let host = Host { version: String::new(), pid: 1, started_at: now.wall, instance: String::new() };
        let (mut engine, effects) = Engine::new(settings, host, found, &now);
        let [mut txn] = <[Txn; 1]>::try_from(steps(effects)).expect("one step");
        let mut waits = Vec::new();
        let failure = StoreFailure { full: true, detail: "the disk is full".to_owned() };
        for _ in 0..5 {
            assert_eq!(txn.step, Step::Recover);
            let failed = steps(engine.handle(&now, Input::TxnFailed(Box::new(txn), failure.clone())));
            assert!(failed.is_empty(), "not at once: {failed:?}");
            assert!(!engine.may_push(), "nothing is sent that could be taken for what was on its way");
            let due = engine.pusher.retry_at().expect("it will be");
            assert!(engine.deadline(&now).expect("something").at <= due, "the engine is woken for it");
            waits.push(due - now.mono);
            now = at(due);
            [txn] = <[Txn; 1]>::try_from(steps(engine.handle(&now, Input::Woke))).expect("one step");
        }
        assert!(waits.first() < waits.last(), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(100)), "{waits:?}");

        // Whoever asks for it need not wait.
        assert!(steps(engine.handle(&now, Input::TxnFailed(Box::new(txn), failure))).is_empty());
        let asked = steps(engine.handle(&now, Input::Call(CallId(1), Call::Retry(None))));
        assert!(asked.iter().any(|txn| txn.step == Step::Recover), "{asked:?}");
    }
}
