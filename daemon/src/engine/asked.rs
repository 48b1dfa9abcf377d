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
