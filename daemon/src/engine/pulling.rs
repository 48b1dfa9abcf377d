//! Pulls and full listings: from their beginning to what those who waited for them are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::event::{Event, Progress};
use aesync_protocol::{Record, Timestamp};

use super::classify::{Action, classify};
use super::effect::{LogLevel, Request};
use super::input::Failure;
use super::lane::Lane;
use super::pull_run::{Answer, PullRun, Purpose};
use super::puller::Puller;
use super::reconcile::Settling;
use super::status::Trouble;
use super::transact::{Step, TypeEnd};
use super::work::error_of;
use super::{Effect, Engine, Now};

/// Between two progress events.
const TELL_EVERY: Duration = Duration::from_millis(200);

impl Engine {
    pub(super) fn begin_pull(
        &mut self,
        now: &Now,
        purpose: Purpose,
        types: &[String],
        answers: Vec<Answer>,
        out: &mut Vec<Effect>,
    ) {
        let listing = matches!(purpose, Purpose::Reconcile { .. });
        let groups = Puller::groups(&self.settings, &self.cursors, types, purpose != Purpose::Incremental);
        self.puller.begun(now, types, listing);
        let run = PullRun::new(purpose, groups, self.connects, answers);
        self.next_group(Box::new(run), out);
    }

    /// Asks for the next group of types, or ends the run when there is none.
    pub(super) fn next_group(&mut self, mut run: Box<PullRun>, out: &mut Vec<Effect>) {
        let Some((since, types)) = run.rest.pop_front() else { return self.end_run(&run, out) };
        let request = self.next_request();
        run.begin(request, types.clone(), &self.cursors);
        self.lane = Lane::Pulling(run);
        out.push(Effect::Send(request, Request::Pull { entity_types: types, since }));
    }

    pub(super) fn end_run(&mut self, run: &PullRun, out: &mut Vec<Effect>) {
        self.lane = Lane::Idle;
        for (call, reply) in run.replies(self.ledger.last_seq) {
            out.push(Effect::Reply(call, reply));
        }
    }

    pub(super) fn on_rows(
        &mut self,
        now: &Now,
        mut run: Box<PullRun>,
        entity_type: String,
        rows: Vec<Record>,
        out: &mut Vec<Effect>,
    ) {
        if run.types.contains(&entity_type) {
            run.count(&entity_type, &rows);
            if run.told_at.is_none_or(|at| now.mono >= at + TELL_EVERY) {
                run.told_at = Some(now.mono);
                out.push(progress(&run, &entity_type, false));
            }
            let rows = rows.into_iter().map(Arc::new).collect();
            self.transact(now, Step::Rows { entity_type, rows }, out);
        } else {
            out.push(Effect::NextPage(run.request));
        }
        self.lane = Lane::Pulling(run);
    }

    pub(super) fn on_pull_done(&mut self, now: &Now, mut run: Box<PullRun>, sync_timestamp: Timestamp, out: &mut Vec<Effect>) {
        self.on_served();
        if run.told_at.is_some() {
            // Whoever shows how far it has come learns that this was all.
            out.extend(run.types.iter().filter(|name| run.received(name) > 0).map(|name| progress(&run, name, true)));
        }
        let tallies = run.done(sync_timestamp);
        self.lane = Lane::Finishing(run);
        // The pages are written in their order, and this after them.
        self.transact(now, Step::Finish { tallies, sync_timestamp }, out);
    }

    pub(super) fn on_pull_failed(&mut self, now: &Now, run: &PullRun, failure: &Failure, out: &mut Vec<Effect>) {
        for entity_type in run.types.iter().chain(run.rest.iter().flat_map(|(_, types)| types)) {
            self.puller.mark(now, entity_type);
        }
        for entity_type in run.unsettled() {
            self.puller.want_listing(entity_type);
        }
        let (action, _) = classify(&failure.kind);
        let wait = if let Action::Wait(wait) = action { Some(wait) } else { None };
        self.puller.failed(&self.settings, now, wait);
        self.on_failure(now, Trouble::Pull, &action, failure, out);
        for answer in &run.answers {
            out.push(Effect::Reply(answer.call(), Err(error_of(failure))));
        }
    }

    pub(super) fn on_finished(&mut self, now: &Now, ends: BTreeMap<String, TypeEnd>, out: &mut Vec<Effect>) {
        let Lane::Finishing(mut run) = std::mem::take(&mut self.lane) else { return };
        if self.troubles.clear(Trouble::Pull) {
            out.push(Effect::Log(LogLevel::Info, "pulling works again".to_owned()));
        }
        for (name, end) in &ends {
            let was_suspicious = self.cursors.get(name).is_some_and(|cursor| cursor.suspicious);
            self.puller.ended(now, name, run.connect == self.connects);
            if !end.healthy && !was_suspicious {
                // Ask once more: one odd answer proves nothing (rules R20, R21).
                self.puller.mark(now, name);
            } else if !end.healthy && matches!(run.purpose, Purpose::Reconcile { .. }) {
                self.puller.doubt(&self.settings, now, name);
            } else if !end.healthy {
                self.puller.want_listing(name);
            } else {
                self.puller.believe(name);
                if was_suspicious && end.cursor.missing > 0 {
                    // The listing that lacked rows was no better than the answers that could not be believed.
                    self.puller.want_listing(name);
                }
            }
            if end.unseen > 0 {
                // What was accepted shows within the overlap, or is missed once more (rule R16).
                self.puller.expect(now, name, Duration::from_millis(self.settings.overlap_ms.unsigned_abs()));
            }
            self.invisible.insert(name.clone(), end.invisible);
            self.cursors.insert(name.clone(), end.cursor.clone());
        }
        if matches!(run.purpose, Purpose::Reconcile { .. }) {
            run.plan_sweeps(&ends);
            return self.next_sweep(now, run, out);
        }
        self.next_group(run, out);
    }

    pub(super) fn next_sweep(&mut self, now: &Now, mut run: Box<PullRun>, out: &mut Vec<Effect>) {
        let Some((entity_type, listed)) = run.sweep() else { return self.next_group(run, out) };
        self.lane = Lane::Sweeping(run);
        self.transact(now, Step::Sweep { entity_type, listed, after: String::new() }, out);
    }

    pub(super) fn on_swept(&mut self, now: &Now, entity_type: String, missing: u64, next: Option<String>, out: &mut Vec<Effect>) {
        let Lane::Sweeping(run) = &mut self.lane else { return };
        run.add_missing(missing);
        if let Some(after) = next {
            let Some((_, listed)) = run.sweep() else { return };
            return self.transact(now, Step::Sweep { entity_type, listed, after }, out);
        }
        self.settle(now, entity_type, None, out);
    }

    pub(super) fn settle(&mut self, now: &Now, entity_type: String, so_far: Option<Settling>, out: &mut Vec<Effect>) {
        let Lane::Sweeping(run) = &mut self.lane else { return };
        let Some((_, listed)) = run.sweep() else { return };
        let compared = run.compared(&entity_type);
        self.transact(now, Step::Settle { entity_type, listed, compared, so_far }, out);
    }
}

/// How many rows of a type have come; all there are, when `ended`.
fn progress(run: &PullRun, entity_type: &str, ended: bool) -> Effect {
    let done = run.received(entity_type);
    let (op, total) = (op_of(&run.purpose).to_owned(), ended.then_some(done));
    Effect::Publish(Box::new(Event::Progress(Progress { op, entity_type: Some(entity_type.to_owned()), done, total })))
}

fn op_of(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::Incremental | Purpose::Full => "pull",
        Purpose::Reconcile { .. } => "reconcile",
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod listing_tests;
