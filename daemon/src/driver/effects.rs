//! The engine's effects, carried out.

use std::sync::Arc;

use aesync_protocol::status::ServerStatus;
use aesync_protocol::{Error, Status};

use super::{Driver, to_json};
use crate::engine::effect::{CallId, LogLevel, Reply};
use crate::engine::input::{Failure, FailureKind, RestEvent, SessionId, StoreFailure};
use crate::engine::transact::Txn;
use crate::engine::{Effect, Input};
use crate::server::{Session, SessionOptions, SessionTimings};

impl Driver {
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::OpenSession(id) => self.open_session(id),
                Effect::CloseSession => self.session = None,
                Effect::Announce { status } => {
                    if let Some(session) = &self.session {
                        session.announce(status);
                    }
                }
                Effect::Send(id, request) => {
                    let (Some(upstream), Some(token)) = (&self.upstream, &self.token) else {
                        let kind = FailureKind::NoToken;
                        let detail = "nobody is signed in, so nothing was sent".to_owned();
                        let failure = Failure { kind, detail };
                        self.input(Input::Rest(id, RestEvent::Failed(failure)));
                        continue;
                    };
                    self.request = Some((id, upstream.rest.send(id, request, token.secret.clone(), self.requests.clone())));
                }
                Effect::NextPage(id) => {
                    if let Some((current, handle)) = &self.request
                        && *current == id
                    {
                        handle.next_page();
                    }
                }
                Effect::Abandon(id) => {
                    if self.request.as_ref().is_some_and(|(current, _)| *current == id) {
                        self.request = None;
                    }
                }
                Effect::Login => self.log_in(),
                Effect::SignedIn { tenant } => self.signed_in(tenant),
                Effect::SignInRefused(error) => self.sign_in_refused(error),
                Effect::Transact(txn) => self.submit(txn),
                Effect::Reply(call, result) => self.reply(call, result),
                Effect::Publish(event) => self.fanout.publish(&event),
                Effect::Snapshot(status) => self.show(status),
                Effect::Log(level, line) => log(level, &line),
            }
        }
    }

    /// Reads are answered with it. Those who wait for a change are not woken by a heartbeat alone.
    fn show(&self, status: Arc<Status>) {
        self.status.send_if_modified(|shown| {
            let ServerStatus { rtt_ms, last_pong_at, .. } = status.server;
            let news = last_pong_at == shown.server.last_pong_at || {
                let server = ServerStatus { rtt_ms, last_pong_at, ..shown.server.clone() };
                *status != Status { server, ..Status::clone(shown) }
            };
            *shown = status;
            news
        });
    }

    fn submit(&mut self, txn: Box<Txn>) {
        match self.transactor.submit(txn, Arc::clone(self.engine.settings())) {
            Ok(()) => self.under_way += 1,
            Err(txn) => {
                let detail = "the store's queue is full or closed; nothing was written".to_owned();
                self.input(Input::TxnFailed(txn, StoreFailure { full: false, detail }));
            }
        }
    }

    fn open_session(&mut self, id: SessionId) {
        // The old one first: its socket and threads go before the new ones come.
        self.session = None;
        let (Some(upstream), Some(token)) = (&self.upstream, &self.token) else { return };
        let Some(tenant) = self.status_tenant() else { return };
        let tuning = &self.config.tuning;
        let timings =
            SessionTimings { ping_every: tuning.ping_interval, dead_after: tuning.silence, ..SessionTimings::default() };
        let options = SessionOptions {
            id,
            server: upstream.url.clone(),
            token: token.secret.clone(),
            tenant,
            ca_file: self.config.server.ca_file.clone(),
            timings,
        };
        self.session = Some(Session::open(options, self.sessions.clone()));
    }

    fn status_tenant(&self) -> Option<String> {
        self.token.as_ref()?.claims.tenant.clone().or_else(|| self.status.borrow().server.tenant_id.clone())
    }

    fn reply(&mut self, call: CallId, result: Result<Reply, Error>) {
        let Some(reply) = self.replies.remove(&call) else { return };
        let _ = reply.send(result.and_then(|reply| to_json(&reply)));
    }
}

fn log(level: LogLevel, line: &str) {
    match level {
        LogLevel::Error => tracing::error!("{line}"),
        LogLevel::Warn => tracing::warn!("{line}"),
        LogLevel::Info => tracing::info!("{line}"),
        LogLevel::Debug => tracing::debug!("{line}"),
    }
}
