//! What applications ask, and the daemon's own process: what is the engine's goes there, the rest is answered here.

use std::sync::Arc;

use aesync_protocol::response::{Empty, MetricsText, Reloaded};
use aesync_protocol::{Error, ErrorCode, Request};
use tokio::sync::oneshot;

use super::{Control, Driver, calls, metrics, to_json};
use crate::config::Changes;
use crate::engine::Input;
use crate::engine::effect::CallId;
use crate::injected::{self, Break};
use crate::ipc::Call;

impl Driver {
    pub(super) fn on_call(&mut self, call: Call) {
        let Call { request, role: _, reply } = call;
        match calls::engine_call(request) {
            Ok(asked) => {
                self.last_call += 1;
                let id = CallId(self.last_call);
                self.replies.insert(id, reply);
                self.forget_hung_up();
                self.input(Input::Call(id, asked));
            }
            Err(request) => self.on_own_call(request, reply),
        }
    }

    /// Callers that went away wait no more; looked at now and then, since each look costs a pass over all.
    fn forget_hung_up(&mut self) {
        if !self.last_call.is_multiple_of(64) {
            return;
        }
        let gone: Vec<CallId> = self.replies.iter().filter(|(_, reply)| reply.is_closed()).map(|(call, _)| *call).collect();
        for call in gone {
            self.replies.remove(&call);
            self.input(Input::HungUp(call));
        }
    }

    fn on_own_call(&mut self, request: Request, reply: oneshot::Sender<Result<Vec<u8>, Error>>) {
        let answer = match request {
            Request::AuthLogin(login) => return self.call_login(login, reply),
            Request::AuthSetToken(set) => return self.call_set_token(&set, reply),
            Request::AuthLogout(_) => self.log_out().and_then(|()| to_json(&Empty {})),
            Request::ConfigGet(_) => to_json(&self.config.shown()),
            Request::ConfigReload(_) => self.reload().and_then(|reloaded| to_json(&reloaded)),
            Request::Metrics(_) => {
                let mut text = metrics::text(
                    &self.status.borrow(),
                    self.fanout.subscribers(),
                    self.engine.unknown_events(),
                    self.clock.now().wall,
                );
                metrics::store(&mut text, &self.figures, self.reader.sizes().ok());
                let text = metrics::labelled(&text, &self.status.borrow().daemon.instance);
                to_json(&MetricsText { text })
            }
            Request::Shutdown(_) => {
                tracing::info!("stopping: an application asked for it");
                let stop = Arc::clone(&self.stop);
                let answer = to_json(&Empty {});
                let _ = reply.send(answer);
                stop.send_replace(true);
                return;
            }
            Request::OutboxRetry(_) | Request::OutboxDiscard(_) => {
                Err(Error::protocol(aesync_protocol::error::rpc::INVALID_PARAMS, "name the entries, or say \"all\": true"))
            }
            other => Err(Error::new(ErrorCode::Unsupported, format!("this daemon can't answer {:?} yet", other.name()))),
        };
        let _ = reply.send(answer);
    }

    pub(super) fn on_control(&mut self, control: Control) {
        match control {
            Control::Alive(answer) => {
                let _ = answer.send(self.transactor.busy());
            }
            Control::Reload(answer) => {
                injected::may(Break::Loop);
                let reloaded = self.reload();
                let _ = answer.send(reloaded);
            }
        }
    }

    /// Reads the configuration again. What can't change while running is named; the rest is in force at once.
    fn reload(&mut self) -> Result<Reloaded, Error> {
        let new = (self.reload)().map_err(|problem| {
            tracing::error!("the configuration was not reloaded: {problem}");
            Error::new(ErrorCode::Misconfigured, format!("the configuration was not reloaded: {problem}"))
                .hint("correct the file and reload again; the daemon goes on with the old one")
        })?;
        let Changes { changed, restart_needed } = self.config.diff(&new);
        let config = self.config.reloaded(&new);
        (self.log_filter)(&config.log.filter);
        self.access.set(config.access_lists());
        self.config = config;
        self.keyring.configure(self.config.auth.clone());
        self.input(Input::Configured(Box::new(self.config.settings())));
        self.serve(self.engine.epoch());
        self.input(Input::Credentials(self.keyring.can_renew()));
        self.adopt_found_token();
        tracing::info!(?changed, ?restart_needed, "the configuration was reloaded");
        Ok(Reloaded { changed, restart_needed })
    }
}
