//! What applications ask of the engine, and what they are told when it can't be.

use aesync_protocol::response::Empty;
use aesync_protocol::{Error, ErrorCode};

use super::admit::unknown_type;
use super::calls::Job;
use super::effect::{CallId, Reply};
use super::input::Call;
use super::lane::Lane;
use super::transact::Step;
use super::{Effect, Engine, Now};

/// Jobs that may wait at once; then `busy`.
const MAX_JOBS: usize = 256;

impl Engine {
    pub(super) fn on_call(&mut self, now: &Now, call: CallId, asked: Call, out: &mut Vec<Effect>) {
        if self.adopting > 0 && self.calls.early.len() < MAX_JOBS {
            // Whose it is will be known in a moment.
            return self.calls.early.push((call, asked));
        }
        match asked {
            Call::Push { changes, request_id, wait, timeout } => {
                if self.epoch.is_none() || self.adopting > 0 {
                    let message = "nobody has signed in yet, so there is no tenant that the changes could belong to";
                    let error = Error::new(ErrorCode::AuthRequired, message).hint("`aectl login` signs in");
                    return out.push(Effect::Reply(call, Err(error)));
                }
                if self.calls.waiting() >= self.settings.max_waiters {
                    let error = Error::new(ErrorCode::Busy, "too many pushes wait for their entries; nothing was enqueued");
                    return out.push(Effect::Reply(call, Err(error.hint("use wait: \"queued\", or try again later"))));
                }
                self.calls.enqueuing(call, wait, now.mono.saturating_add(timeout));
                // Pushes that waited for a sign-in all come at one moment: from the same dice they would get the same ids.
                let seed = now.apart(call.0);
                self.transact(now, Step::Enqueue { call, changes, request_id, seed }, out);
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
                    self.on_link_change(change, out);
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
            Call::Acknowledge(codes) => {
                let before = self.findings.len();
                self.findings.retain(|code, _| codes.as_ref().is_some_and(|codes| !codes.contains(code)));
                let others = before.abs_diff(self.findings.len()) as u64;
                self.transact(now, Step::Acknowledge { call, codes, others }, out);
            }
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

    pub(super) fn types_or_error(&self, now: &Now, asked: Option<Vec<String>>) -> Result<Vec<String>, Error> {
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

    pub(super) fn add_job(&mut self, job: Job, out: &mut Vec<Effect>) {
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

    pub(super) fn fail_jobs(&mut self, error: &Error, out: &mut Vec<Effect>) {
        for job in std::mem::take(&mut self.calls.jobs) {
            out.push(Effect::Reply(job.call(), Err(error.clone())));
        }
    }

    /// Everybody who waits for something that will not come is told so.
    pub(super) fn fail_waiting(&mut self, error: &Error, out: &mut Vec<Effect>) {
        self.fail_jobs(error, out);
        for (call, _) in std::mem::take(&mut self.calls.early) {
            out.push(Effect::Reply(call, Err(error.clone())));
        }
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
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use aesync_protocol::Timestamp;
    use aesync_protocol::request::PushWait;
    use serde_json::json;

    use super::super::input::TokenFacts;
    use super::super::memory::Memory;
    use super::super::settings::Settings;
    use super::super::transact::{Adopted, Done, run};
    use super::super::{Host, Input};
    use super::*;

    #[test]
    fn pushes_that_waited_for_the_sign_in_together_get_different_ids() {
        let settings = Settings::new("http://127.0.0.1:1", None, &["interactions"]);
        let now = Now { mono: Duration::from_secs(1), wall: Timestamp::EPOCH, dice: 1 };
        let host = Host { version: String::new(), pid: 1, started_at: now.wall, instance: String::new() };
        let (mut engine, _) = Engine::new(settings.clone(), host, Adopted::default(), &now);
        let token = TokenFacts {
            tenant: Some("t".to_owned()),
            user: "u".to_owned(),
            server: None,
            expires_at: None,
            log: "log".to_owned(),
        };
        let row = json!({"type": "call", "title": "t", "description": "d", "date": "2026-01-01T10:00:00.000Z"});
        let push = |call| {
            let changes = vec![("interactions".to_owned(), vec![row.clone(), row.clone()])];
            let (wait, timeout) = (PushWait::Queued, Duration::from_secs(1));
            Input::Call(CallId(call), Call::Push { changes, request_id: None, wait, timeout })
        };
        let mut memory = Memory::default();
        let mut ids = BTreeSet::new();
        let inputs = [Input::SignedIn(token), push(1), push(2)];
        let mut effects: Vec<Effect> = inputs.into_iter().flat_map(|input| engine.handle(&now, input)).collect();
        while let Some(at) = effects.iter().position(|effect| matches!(effect, Effect::Transact(_))) {
            let Effect::Transact(txn) = effects.remove(at) else { panic!("it was one") };
            let (writes, outcome) = run(&txn, &settings, &memory).expect("the state can be read");
            memory.apply(&writes);
            if let Done::Enqueued { entries, .. } = &outcome.done {
                ids.extend(entries.iter().map(|entry| entry.id.clone()));
            }
            // The same moment for both, as when they are asked again in one turn.
            effects.extend(engine.handle(&now, Input::Committed(Box::new(outcome))));
            effects.retain(|effect| matches!(effect, Effect::Transact(txn) if !matches!(txn.step, Step::Take { .. })));
        }
        assert_eq!(ids.len(), 4, "{ids:?}");
    }
}
