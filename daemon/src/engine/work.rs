//! What is done next with the server, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::event::{Event, Progress};
use aesync_protocol::response::{Empty, EntryError};
use aesync_protocol::{Error, ErrorCode, Record, Timestamp};

use super::admit::unknown_type;
use super::calls::Job;
use super::classify::{Action, Fate, classify};
use super::durable::Entry;
use super::effect::{CallId, LogLevel, Reply, Request};
use super::input::{Call, Failure, FailureKind, RequestId, RestEvent, StoreFailure};
use super::lane::Lane;
use super::puller::{Answer, PullRun, Puller, Purpose};
use super::pusher::Setback;
use super::status::Trouble;
use super::transact::{Done, Step, Txn, TypeEnd};
use super::{Effect, Engine, Now};

/// Jobs that may wait at once; then `busy`.
const MAX_JOBS: usize = 256;
/// Between two progress events.
const TELL_EVERY: Duration = Duration::from_millis(200);

impl Engine {
    pub(super) fn on_call(&mut self, now: &Now, call: CallId, asked: Call, out: &mut Vec<Effect>) {
        if self.adopting && self.calls.early.len() < MAX_JOBS {
            // Whose it is will be known in a moment.
            return self.calls.early.push((call, asked));
        }
        match asked {
            Call::Push { changes, request_id, wait, timeout } => {
                if self.epoch.is_none() || self.adopting {
                    let message = "nobody has signed in yet, so there is no tenant that the changes could belong to";
                    let error = Error::new(ErrorCode::AuthRequired, message).hint("`aectl login` signs in");
                    return out.push(Effect::Reply(call, Err(error)));
                }
                if self.calls.waiting() >= self.settings.max_waiters {
                    let error = Error::new(ErrorCode::Busy, "too many pushes wait for their entries; nothing was enqueued");
                    return out.push(Effect::Reply(call, Err(error.hint("use wait: \"queued\", or try again later"))));
                }
                self.calls.enqueuing(call, wait, now.mono.saturating_add(timeout));
                self.transact(now, Step::Enqueue { call, changes, request_id, seed: *now }, out);
            }
            Call::Pull { entity_types, full } => match self.types_or_error(now, entity_types) {
                Ok(types) => self.add_job(Job::Pull { call, types, full }, out),
                Err(error) => out.push(Effect::Reply(call, Err(error))),
            },
            Call::PullPending { entity_types } => match self.types_or_error(now, entity_types) {
                Ok(types) => self.add_job(Job::PullPending { call, types }, out),
                Err(error) => out.push(Effect::Reply(call, Err(error))),
            },
            Call::Reconcile { entity_types, accept } => match self.types_or_error(now, entity_types) {
                Ok(types) => self.add_job(Job::Reconcile { call, types, accept }, out),
                Err(error) => out.push(Effect::Reply(call, Err(error))),
            },
            Call::Sync => match self.why_not(now) {
                None => {
                    self.pusher.kick();
                    self.puller.kick();
                    let change = self.link.kick();
                    self.on_link_change(now, change, out);
                    self.add_job(Job::Sync { call, pushed: 0 }, out);
                }
                Some(error) => out.push(Effect::Reply(call, Err(error))),
            },
            Call::Retry(entries) => {
                self.pusher.kick();
                self.transact(now, Step::Retry { call, entries }, out);
            }
            Call::Discard(entries) => self.transact(now, Step::Discard { call, entries }, out),
            Call::Edit(entry, fields) => {
                self.pusher.kick();
                self.transact(now, Step::Edit { call, entry, fields }, out);
            }
            Call::Resolve { entry, keep_local } => self.transact(now, Step::Resolve { call, entry, keep_local }, out),
            Call::Pause | Call::Resume => {
                self.paused = asked == Call::Pause;
                if self.paused {
                    let error = Error::new(ErrorCode::Paused, "syncing was paused meanwhile");
                    self.fail_jobs(&error, out);
                }
                self.transact(now, Step::SetPaused(self.paused), out);
                out.push(Effect::Reply(call, Ok(Reply::Empty(Empty {}))));
            }
        }
    }

    fn types_or_error(&self, now: &Now, asked: Option<Vec<String>>) -> Result<Vec<String>, Error> {
        let types = match asked {
            None => self.settings.type_names().map(str::to_owned).collect(),
            Some(asked) => {
                if let Some(unknown) = asked.iter().find(|name| self.settings.rules(name).is_none()) {
                    return Err(unknown_type(&self.settings, unknown));
                }
                asked
            }
        };
        self.why_not(now).map_or(Ok(types), Err)
    }

    fn add_job(&mut self, job: Job, out: &mut Vec<Effect>) {
        if self.calls.jobs.len() >= MAX_JOBS {
            let error = Error::new(ErrorCode::Busy, format!("{MAX_JOBS} pulls and syncs wait already"));
            return out.push(Effect::Reply(job.call(), Err(error.hint("try again in a moment"))));
        }
        self.calls.jobs.push_back(job);
    }

    /// What was asked while an identity was being taken up is asked again, now that it is, or is not.
    pub(super) fn ask_again(&mut self, now: &Now, out: &mut Vec<Effect>) {
        for (call, asked) in std::mem::take(&mut self.calls.early) {
            self.on_call(now, call, asked, out);
        }
    }

    fn fail_jobs(&mut self, error: &Error, out: &mut Vec<Effect>) {
        for job in std::mem::take(&mut self.calls.jobs) {
            out.push(Effect::Reply(job.call(), Err(error.clone())));
        }
    }

    /// Everybody who waits for something that will not come is told so.
    pub(super) fn fail_waiting(&mut self, error: &Error, out: &mut Vec<Effect>) {
        self.fail_jobs(error, out);
        match &mut self.lane {
            Lane::Pulling(run) | Lane::Finishing(run) | Lane::Sweeping(run) => {
                for answer in std::mem::take(&mut run.answers) {
                    out.push(Effect::Reply(answer.call(), Err(error.clone())));
                }
            }
            Lane::PullPending { call, .. } => out.push(Effect::Reply(*call, Err(error.clone()))),
            _ => {}
        }
    }

    /// Whether work that nobody asked for may be done now.
    fn may_work(&self, now: &Now) -> bool {
        self.why_not(now).is_none() && self.link.is_wanted() && (self.link.is_online() || self.http.up)
    }

    /// Begins what is due, if nothing is under way.
    pub(super) fn pump(&mut self, now: &Now, out: &mut Vec<Effect>) {
        if self.lane.is_busy() {
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
        if self.may_push() && self.pusher.due().is_some_and(due) {
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

    fn may_push(&self) -> bool {
        self.ledger.outbox.pending > 0
    }

    /// Begins the first job that was asked for; says whether something is under way now.
    fn begin_job(&mut self, now: &Now, out: &mut Vec<Effect>) -> bool {
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

    fn begin_push(&mut self, now: &Now, out: &mut Vec<Effect>) {
        self.lane = Lane::Taking;
        let step = Step::Take {
            after: self.pusher.scan_from(),
            count: self.pusher.count(&self.settings),
            except: self.pusher.resting(now),
        };
        self.transact(now, step, out);
    }

    fn begin_pull(&mut self, now: &Now, purpose: Purpose, types: &[String], answers: Vec<Answer>, out: &mut Vec<Effect>) {
        let listing = matches!(purpose, Purpose::Reconcile { .. });
        let groups = Puller::groups(&self.settings, &self.cursors, types, purpose != Purpose::Incremental);
        self.puller.begun(now, types, listing);
        let run = PullRun::new(purpose, groups, self.connects, answers);
        self.next_group(Box::new(run), out);
    }

    /// Asks for the next group of types, or ends the run when there is none.
    fn next_group(&mut self, mut run: Box<PullRun>, out: &mut Vec<Effect>) {
        let Some((since, types)) = run.rest.pop_front() else { return self.end_run(&run, out) };
        let request = self.next_request();
        run.begin(request, types.clone(), &self.cursors);
        self.lane = Lane::Pulling(run);
        out.push(Effect::Send(request, Request::Pull { entity_types: types, since }));
    }

    fn end_run(&mut self, run: &PullRun, out: &mut Vec<Effect>) {
        self.lane = Lane::Idle;
        for (call, reply) in run.replies(self.ledger.last_seq) {
            out.push(Effect::Reply(call, reply));
        }
    }

    fn next_request(&mut self) -> RequestId {
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
                self.on_served(now);
                self.lane = Lane::Settling;
                let numbers: Vec<u64> = batch.iter().map(|entry| entry.number).collect();
                self.pusher.succeeded(&self.settings, &numbers);
                self.count_pushed(numbers.len() as u64);
                for entry in &batch {
                    // What was accepted has yet to be seen (rule R16).
                    self.puller.mark(now, &entry.entity_type);
                }
                self.transact(now, Step::Judge { numbers, rows }, out);
            }
            (Lane::Pushing { batch, .. }, RestEvent::Failed(failure)) => self.on_push_failed(now, &batch, &failure, out),
            (Lane::PullPending { call, .. }, RestEvent::Pending(pulled)) => {
                self.on_served(now);
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
    fn on_served(&mut self, now: &Now) {
        self.http.failing = false;
        self.auth.accepted();
        if !self.link.is_online() && !self.http.up {
            self.http.up = true;
            self.puller.forget_freshness();
        }
        let _ = now;
    }

    fn on_rows(&mut self, now: &Now, mut run: Box<PullRun>, entity_type: String, rows: Vec<Record>, out: &mut Vec<Effect>) {
        if run.types.contains(&entity_type) {
            run.count(&entity_type, &rows);
            if run.told_at.is_none_or(|at| now.mono >= at + TELL_EVERY) {
                run.told_at = Some(now.mono);
                let progress = Progress {
                    op: op_of(&run.purpose).to_owned(),
                    entity_type: Some(entity_type.clone()),
                    done: run.received(),
                    total: None,
                };
                out.push(Effect::Publish(Box::new(Event::Progress(progress))));
            }
            self.transact(now, Step::Rows { entity_type, rows }, out);
        } else {
            out.push(Effect::NextPage(run.request));
        }
        self.lane = Lane::Pulling(run);
    }

    fn on_pull_done(&mut self, now: &Now, mut run: Box<PullRun>, sync_timestamp: Timestamp, out: &mut Vec<Effect>) {
        self.on_served(now);
        let tallies = run.done(sync_timestamp);
        self.lane = Lane::Finishing(run);
        // The pages are written in their order, and this after them.
        self.transact(now, Step::Finish { tallies, sync_timestamp }, out);
    }

    fn on_pull_failed(&mut self, now: &Now, run: &PullRun, failure: &Failure, out: &mut Vec<Effect>) {
        for entity_type in run.types.iter().chain(run.rest.iter().flat_map(|(_, types)| types)) {
            self.puller.mark(now, entity_type);
            if matches!(run.purpose, Purpose::Reconcile { .. }) {
                self.puller.want_listing(entity_type);
            }
        }
        let (action, _) = classify(&failure.kind);
        let wait = if let Action::Wait(wait) = action { Some(wait) } else { None };
        self.puller.failed(&self.settings, now, wait);
        self.on_failure(now, Trouble::Pull, &action, failure, out);
        for answer in &run.answers {
            out.push(Effect::Reply(answer.call(), Err(error_of(failure))));
        }
    }

    fn on_push_failed(&mut self, now: &Now, batch: &[Entry], failure: &Failure, out: &mut Vec<Effect>) {
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
        let refused_alone = matches!(action, Action::Isolate | Action::Split) && batch.len() == 1;
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

    fn on_failure(&mut self, now: &Now, trouble: Trouble, action: &Action, failure: &Failure, out: &mut Vec<Effect>) {
        let code = match action {
            Action::AuthRequired => return self.on_rejected(now, out),
            Action::Offline => "unreachable",
            _ if failure.kind == FailureKind::TimedOut => "timeout",
            _ if failure.kind == FailureKind::Broken => "unreachable",
            _ => "server_error",
        };
        if *action == Action::Offline {
            self.http.failing = true;
        }
        if *action == Action::Offline || matches!(failure.kind, FailureKind::TimedOut | FailureKind::Broken) {
            self.http.up = false;
        }
        self.troubles.set(now, trouble, code, failure.detail.clone());
        out.push(Effect::Log(LogLevel::Warn, failure.detail.clone()));
    }

    fn count_pushed(&mut self, count: u64) {
        if let Some(Job::Sync { pushed, .. }) = self.calls.jobs.front_mut() {
            *pushed = pushed.saturating_add(count);
        }
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
            Done::Taken { entries, scanned_to } => self.on_taken(now, entries, scanned_to, out),
            Done::Judged { accepted, overwritten, unclear } => {
                self.lane = Lane::Idle;
                self.troubles.clear(Trouble::Push);
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
            Done::Trimmed { more } => {
                if more {
                    self.transact(now, Step::Trim, out);
                }
            }
            Done::Adopted(_) | Done::PauseStored(_) | Done::Recovered => {}
        }
    }

    fn on_taken(&mut self, now: &Now, batch: Vec<Entry>, scanned_to: Option<u64>, out: &mut Vec<Effect>) {
        self.pusher.looked(now, !batch.is_empty(), scanned_to);
        if batch.is_empty() {
            self.lane = Lane::Idle;
            return;
        }
        let mut changes: Vec<(String, Vec<Record>)> = Vec::new();
        for entry in &batch {
            match changes.last_mut() {
                Some((entity_type, rows)) if *entity_type == entry.entity_type => rows.push(entry.fields.clone()),
                _ => changes.push((entry.entity_type.clone(), vec![entry.fields.clone()])),
            }
        }
        let request = self.next_request();
        let waiting = self.ledger.outbox.pending + batch.len() as u64;
        let progress = Progress { op: "push".to_owned(), entity_type: None, done: 0, total: Some(waiting) };
        out.push(Effect::Publish(Box::new(Event::Progress(progress))));
        self.lane = Lane::Pushing { request, batch };
        out.push(Effect::Send(request, Request::Push { changes }));
    }

    fn on_finished(&mut self, now: &Now, ends: std::collections::BTreeMap<String, TypeEnd>, out: &mut Vec<Effect>) {
        let Lane::Finishing(mut run) = std::mem::take(&mut self.lane) else { return };
        self.troubles.clear(Trouble::Pull);
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
            self.invisible.insert(name.clone(), end.invisible);
            self.cursors.insert(name.clone(), end.cursor.clone());
        }
        if matches!(run.purpose, Purpose::Reconcile { .. }) {
            run.plan_sweeps(&ends);
            return self.next_sweep(now, run, out);
        }
        self.next_group(run, out);
    }

    fn next_sweep(&mut self, now: &Now, run: Box<PullRun>, out: &mut Vec<Effect>) {
        let Some((entity_type, listed)) = run.sweep() else { return self.next_group(run, out) };
        self.lane = Lane::Sweeping(run);
        self.transact(now, Step::Sweep { entity_type, listed, after: String::new() }, out);
    }

    fn on_swept(&mut self, now: &Now, entity_type: String, missing: Vec<String>, next: Option<String>, out: &mut Vec<Effect>) {
        let Lane::Sweeping(run) = &mut self.lane else { return };
        run.add_missing(missing);
        if let Some(after) = next {
            let listed = run.sweep().map(|(_, listed)| listed).unwrap_or_else(|| Arc::new(std::collections::BTreeSet::new()));
            return self.transact(now, Step::Sweep { entity_type, listed, after }, out);
        }
        let (missing, listed, newest_id) = run.swept(&entity_type);
        let accept = run.purpose == Purpose::Reconcile { accept: true };
        self.transact(now, Step::Settle { entity_type, missing, listed, newest_id, accept }, out);
    }

    /// A transaction could not be carried out: nothing of it was written, and nothing that depends on it is claimed (rule R45).
    pub(super) fn on_txn_failed(&mut self, now: &Now, txn: Txn, failure: &StoreFailure, out: &mut Vec<Effect>) {
        let code = if failure.full { ErrorCode::StorageFull } else { ErrorCode::StorageFailed };
        let hint = if failure.full { "free some disk space; the daemon goes on by itself" } else { "see the daemon's log" };
        let error = Error::new(code, failure.detail.clone()).hint(hint);
        self.troubles.set(now, Trouble::Store, code.as_str(), failure.detail.clone());
        out.push(Effect::Log(LogLevel::Error, failure.detail.clone()));
        match txn.step {
            Step::Enqueue { call, .. } => {
                self.calls.refused(call);
                return out.push(Effect::Reply(call, Err(error)));
            }
            Step::Retry { call, .. } | Step::Discard { call, .. } | Step::Edit { call, .. } | Step::Resolve { call, .. } => {
                return out.push(Effect::Reply(call, Err(error)));
            }
            Step::Adopt { .. } => {
                self.adopting = false;
                self.auth.signed_out();
                out.push(Effect::SignInRefused(error));
                return self.ask_again(now, out);
            }
            Step::SetPaused(_) | Step::Trim => return,
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
            for answer in &run.answers {
                out.push(Effect::Reply(answer.call(), Err(error.clone())));
            }
        }
        self.puller.failed(&self.settings, now, None);
        self.pusher.failed(&self.settings, now, &[], Setback::Wait(None));
        if self.ledger.outbox.sent > 0 {
            self.transact(now, Step::Recover { rebuild: false }, out);
        }
    }
}

fn op_of(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::Incremental | Purpose::Full => "pull",
        Purpose::Reconcile { .. } => "reconcile",
    }
}

/// What an application that waited for it is told of a failed request.
fn error_of(failure: &Failure) -> Error {
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
        _ => Error::new(ErrorCode::ServerError, failure.detail.clone()),
    }
}
