//! What is done next with the server, and where what comes of it goes.

use std::time::Duration;

use aesync_protocol::event::Event;
use aesync_protocol::status::Attention;
use aesync_protocol::{Error, ErrorCode};

use super::calls::Job;
use super::classify::{Action, classify};
use super::effect::{LogLevel, Reply, Request};
use super::input::{Failure, FailureKind, RequestId, RestEvent, StoreFailure};
use super::lane::Lane;
use super::pull_run::{Answer, Purpose};
use super::pusher::Setback;
use super::status::Trouble;
use super::transact::{Done, Step, Txn};
use super::without::Mutation;
use super::{Effect, Engine, Now};

impl Engine {
    /// Whether work that nobody asked for may be done now.
    pub(super) fn may_work(&self, now: &Now) -> bool {
        self.why_not(now).is_none() && self.link.is_wanted() && (self.link.is_online() || self.http.up)
    }

    /// Takes up again what was on its way when the store failed. Before anything else is sent: what is sent then is no matter of doubt.
    fn recover_when_due(&mut self, now: &Now, out: &mut Vec<Effect>) {
        if self.recovery_due().is_some_and(|at| at <= now.mono) {
            self.recovers = false;
            self.transact(now, Step::Recover, out);
        }
    }

    /// When it is taken up: when pushes may be tried again, which whoever asks for one can hasten.
    pub(super) fn recovery_due(&self) -> Option<Duration> {
        self.recovers.then(|| self.pusher.retry_at().unwrap_or_default())
    }

    /// Begins what is due, if nothing is under way.
    pub(super) fn pump(&mut self, now: &Now, out: &mut Vec<Effect>) {
        self.recover_when_due(now, out);
        let side_by_side = self.settings.without.is(Mutation::RequestsSideBySide) && self.lane.request().is_some();
        // While an identity is being taken up, the token is its own already and the state is still another's (rule R38).
        if self.adopting > 0 || self.lane.is_busy() && !side_by_side {
            return;
        }
        if let Some(error) = self.why_not(now) {
            if !self.calls.jobs.is_empty() {
                self.fail_jobs(&error, out);
            }
            return;
        }
        if self.begin_job(now, out) {
            return;
        }
        let probe = self.http.probe && !self.link.is_online();
        if !probe && !self.may_work(now) {
            return;
        }
        if probe {
            self.http.probe = false;
        }
        let due = |at: Duration| at <= now.mono;
        if let Some((_, name)) = self.puller.listing_wanted(&self.settings).filter(|(at, _)| due(*at)) {
            return self.begin_pull(now, Purpose::Reconcile { accept: false }, &[name], Vec::new(), out);
        }
        if let Some((_, types)) = self.puller.due(&self.settings, self.link.is_online()).filter(|(at, _)| probe || due(*at)) {
            return self.begin_pull(now, Purpose::Incremental, &types, Vec::new(), out);
        }
        if self.ledger.outbox.pending == 0 {
            self.pusher.drained();
        } else if self.may_push() && self.pusher.due().is_some_and(due) {
            return self.begin_push(now, out);
        }
        if let Some((_, name)) = self.puller.listing_planned().filter(|(at, _)| due(*at)) {
            self.begin_pull(now, Purpose::Reconcile { accept: false }, &[name], Vec::new(), out);
        }
    }

    /// When [`Engine::pump`] has something to begin by itself.
    pub(super) fn work_deadline(&self, now: &Now) -> Option<Duration> {
        if self.lane.is_busy() || !self.may_work(now) {
            return None;
        }
        let pull = self.puller.due(&self.settings, self.link.is_online()).map(|(at, _)| at);
        let push = if self.may_push() { self.pusher.due() } else { None };
        let listings =
            [self.puller.listing_wanted(&self.settings), self.puller.listing_planned()].into_iter().flatten().map(|(at, _)| at);
        pull.into_iter().chain(push).chain(listings).min()
    }

    /// Begins the first job that was asked for; says whether something is under way now.
    pub(super) fn begin_job(&mut self, now: &Now, out: &mut Vec<Effect>) -> bool {
        let Some(job) = self.calls.jobs.pop_front() else { return false };
        match job {
            Job::Sync { call, pushed } => {
                if self.may_push() && self.pusher.due().is_some_and(|at| at <= now.mono) {
                    self.calls.jobs.push_front(Job::Sync { call, pushed });
                    self.begin_push(now, out);
                    return true;
                }
                let types: Vec<String> = self.settings.type_names().map(str::to_owned).collect();
                self.begin_pull(now, Purpose::Incremental, &types, vec![Answer::Sync(call, pushed)], out);
            }
            Job::Pull { call, mut types, full } => {
                let mut answers = vec![Answer::Pull(call)];
                // Everybody who waits for the same is served by one request.
                self.calls.jobs.retain(|job| match job {
                    Job::Pull { call, types: others, full: same } if *same == full => {
                        types.extend(others.iter().cloned());
                        answers.push(Answer::Pull(*call));
                        false
                    }
                    _ => true,
                });
                types.sort();
                types.dedup();
                self.begin_pull(now, if full { Purpose::Full } else { Purpose::Incremental }, &types, answers, out);
            }
            Job::Reconcile { call, types, accept } => {
                self.begin_pull(now, Purpose::Reconcile { accept }, &types, vec![Answer::Reconcile(call)], out);
            }
            Job::PullPending { call, types } => {
                let request = self.next_request();
                self.lane = Lane::PullPending { request, call };
                out.push(Effect::Send(request, Request::PullPending { entity_types: types }));
            }
        }
        true
    }

    pub(super) fn next_request(&mut self) -> RequestId {
        self.last_request = self.last_request.saturating_add(1);
        self.sent_with = self.tokens;
        RequestId(self.last_request)
    }

    pub(super) fn on_rest(&mut self, now: &Now, request: RequestId, event: RestEvent, out: &mut Vec<Effect>) {
        if self.lane.request() != Some(request) {
            // Of a request that was given up (rule R25).
            return;
        }
        match (std::mem::take(&mut self.lane), event) {
            (Lane::Pulling(run), RestEvent::Rows { entity_type, rows }) => self.on_rows(now, run, entity_type, rows, out),
            (Lane::Pulling(run), RestEvent::PullDone { sync_timestamp, .. }) => self.on_pull_done(now, run, sync_timestamp, out),
            (Lane::Pulling(run), RestEvent::Failed(failure)) => self.on_pull_failed(now, &run, &failure, out),
            (Lane::Pushing { batch, .. }, RestEvent::Pushed { rows }) => {
                self.on_served();
                self.lane = Lane::Settling;
                let numbers: Vec<u64> = batch.iter().map(|entry| entry.number).collect();
                self.pusher.succeeded(&self.settings, &numbers);
                out.push(Effect::Publish(Box::new(Event::Progress(self.pusher.progress(self.ledger.outbox.pending)))));
                self.count_pushed(numbers.len() as u64);
                for entry in &batch {
                    // What was accepted has yet to be seen (rule R16).
                    self.puller.mark(now, &entry.entity_type);
                }
                self.transact(now, Step::Judge { numbers, rows }, out);
            }
            (Lane::Pushing { batch, .. }, RestEvent::Failed(failure)) => self.on_push_failed(now, &batch, &failure, out),
            (Lane::PullPending { call, .. }, RestEvent::Pending(pulled)) => {
                self.on_served();
                out.push(Effect::Reply(call, Ok(Reply::PendingPulled(pulled))));
            }
            (Lane::PullPending { call, .. }, RestEvent::Failed(failure)) => {
                let (action, _) = classify(&failure.kind);
                self.on_failure(now, Trouble::Pull, &action, &failure, out);
                out.push(Effect::Reply(call, Err(error_of(&failure))));
            }
            // An event that does not answer its request is a defect of ours: the lane is free again, and the work is done anew.
            (_, _) => out.push(Effect::Log(LogLevel::Error, "a request was answered with another one's answer".to_owned())),
        }
    }

    /// The server answered as it should.
    pub(super) fn on_served(&mut self) {
        self.http.failing = false;
        self.auth.accepted();
        if !self.link.is_online() && !self.http.up {
            self.http.up = true;
            self.puller.forget_freshness();
        }
    }

    pub(super) fn on_failure(&mut self, now: &Now, trouble: Trouble, action: &Action, failure: &Failure, out: &mut Vec<Effect>) {
        let code = match action {
            Action::AuthRequired => return self.on_rejected(now, out),
            Action::Offline => ErrorCode::Offline.as_str(),
            _ if failure.kind == FailureKind::TimedOut => ErrorCode::Timeout.as_str(),
            _ if failure.kind == FailureKind::Broken => ErrorCode::Offline.as_str(),
            _ => ErrorCode::ServerError.as_str(),
        };
        if *action == Action::Offline {
            self.http.failing = true;
        }
        if *action == Action::Offline || matches!(failure.kind, FailureKind::TimedOut | FailureKind::Broken) {
            self.http.up = false;
        }
        let level = self.troubles.set(now, trouble, code, failure.detail.clone());
        out.push(Effect::Log(level, failure.detail.clone()));
    }

    /// A transaction of ours is on disk.
    pub(super) fn on_done(&mut self, now: &Now, done: Done, out: &mut Vec<Effect>) {
        match done {
            Done::Enqueued { call, entries, current } => {
                if let Some(reply) = self.calls.enqueued(call, entries, current) {
                    out.push(Effect::Reply(call, Ok(reply)));
                }
            }
            Done::Answered { call, reply } => {
                self.calls.refused(call);
                out.push(Effect::Reply(call, reply));
            }
            Done::Taken { entries, scanned_to } => self.on_taken(entries, scanned_to, out),
            Done::Judged { accepted, overwritten, unclear } => {
                self.lane = Lane::Idle;
                if self.troubles.clear(Trouble::Push) {
                    out.push(Effect::Log(LogLevel::Info, "pushing works again".to_owned()));
                }
                if overwritten + unclear > 0 {
                    let line = format!("push: {accepted} accepted, {overwritten} overruled by the server, {unclear} unclear");
                    out.push(Effect::Log(LogLevel::Warn, line));
                }
            }
            Done::PutBack => self.lane = Lane::Idle,
            Done::Stored { entity_type, changed, deleted } => {
                if let Lane::Pulling(run) | Lane::Finishing(run) = &mut self.lane {
                    run.stored(&entity_type, changed, deleted);
                }
                if let Lane::Pulling(run) = &self.lane {
                    out.push(Effect::NextPage(run.request));
                }
            }
            Done::Finished(ends) => self.on_finished(now, ends, out),
            Done::Swept { entity_type, missing, next } => self.on_swept(now, entity_type, missing, next, out),
            Done::Settling { entity_type, so_far } => self.settle(now, entity_type, Some(so_far), out),
            Done::Reconciled { entity_type, result, await_second, cursor } => {
                self.cursors.insert(entity_type.clone(), cursor);
                if await_second {
                    let agree = Duration::from_millis(self.settings.reconcile_agree_ms.unsigned_abs());
                    self.puller.plan_listing(now, &entity_type, agree + self.settings.pull_gap);
                }
                self.puller.plan_listings(&self.settings, now, &self.cursors);
                if let Lane::Sweeping(mut run) = std::mem::take(&mut self.lane) {
                    run.reconciled(&entity_type, result);
                    self.next_sweep(now, run, out);
                }
            }
            Done::Adopted(_)
            | Done::Trimmed { .. }
            | Done::PauseStored(_)
            | Done::Noted(_)
            | Done::Acknowledged { .. }
            | Done::Recovered
            | Done::Rebuilding => {}
        }
    }

    /// A transaction could not be carried out: nothing of it was written, and nothing that depends on it is claimed (rule R45).
    pub(super) fn on_txn_failed(&mut self, now: &Now, txn: Txn, failure: &StoreFailure, out: &mut Vec<Effect>) {
        let code = if failure.full { ErrorCode::StorageFull } else { ErrorCode::StorageFailed };
        let hint =
            if failure.full { "make room, or the disk writable; the daemon goes on by itself" } else { "see the daemon's log" };
        let error = Error::new(code, failure.detail.clone()).hint(hint);
        let level = match self.troubles.set(now, Trouble::Store, code.as_str(), failure.detail.clone()) {
            LogLevel::Debug => LogLevel::Debug,
            _ => LogLevel::Error,
        };
        out.push(Effect::Log(level, failure.detail.clone()));
        match txn.step {
            Step::Enqueue { call, .. } => {
                self.calls.refused(call);
                return out.push(Effect::Reply(call, Err(error)));
            }
            Step::Retry { call, .. }
            | Step::Discard { call, .. }
            | Step::Edit { call, .. }
            | Step::Resolve { call, .. }
            | Step::Acknowledge { call, .. } => {
                return out.push(Effect::Reply(call, Err(error)));
            }
            Step::Adopt { .. } => {
                self.adopting = self.adopting.saturating_sub(1);
                self.auth.signed_out();
                out.push(Effect::SignInRefused(error));
                return self.ask_again(now, out);
            }
            // The others may read; what is left of all is looked for again at the next time.
            Step::Trim(_) => return self.trimmer.failed(now, txn.epoch, out),
            Step::Note { code, message } => {
                // What can't be kept shows as long as the daemon runs.
                self.findings.insert(code.clone(), Attention { code, message, count: None });
                return;
            }
            Step::SetPaused(_) => return,
            _ => {}
        }
        if Some(txn.epoch) != self.epoch {
            return;
        }
        // What was under way is given up; what is on disk says where to go on.
        if let Some(request) = self.lane.request() {
            out.push(Effect::Abandon(request));
        }
        if let Lane::Pulling(run) | Lane::Finishing(run) | Lane::Sweeping(run) = std::mem::take(&mut self.lane) {
            for name in run.types.iter().chain(run.rest.iter().flat_map(|(_, types)| types)) {
                self.puller.mark(now, name);
            }
            for name in run.unsettled() {
                self.puller.want_listing(name);
            }
            for answer in &run.answers {
                out.push(Effect::Reply(answer.call(), Err(error.clone())));
            }
        }
        self.puller.failed(&self.settings, now, None);
        self.pusher.failed(&self.settings, now, &[], Setback::Wait(None));
        if self.ledger.outbox.sent > 0 {
            // Not at once: a disk that is full still is.
            self.recovers = true;
        }
    }
}

/// What an application that waited for it is told of a failed request.
pub(super) fn error_of(failure: &Failure) -> Error {
    let (action, _) = classify(&failure.kind);
    match (&action, &failure.kind) {
        (Action::AuthRequired, _) => Error::new(ErrorCode::AuthRequired, failure.detail.clone()).hint("`aectl login` signs in"),
        (_, FailureKind::TimedOut) => {
            Error::new(ErrorCode::Timeout, failure.detail.clone()).hint("the daemon tries again by itself")
        }
        (Action::Offline, _) | (_, FailureKind::Broken) => {
            Error::new(ErrorCode::Offline, failure.detail.clone()).hint("the daemon tries again by itself")
        }
        (_, FailureKind::Status { status, message, .. }) => Error::new(ErrorCode::ServerError, failure.detail.clone())
            .with("status", *status)
            .with("serverMessage", message.clone().unwrap_or_default())
            .hint("the daemon keeps what waits and tries again by itself"),
        // What was answered with status 200, and is not what such an answer may be.
        _ => Error::new(ErrorCode::ServerError, failure.detail.clone())
            .with("status", 200)
            .with("serverMessage", "")
            .hint("the daemon keeps what waits and tries again by itself"),
    }
}
