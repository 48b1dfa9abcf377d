//! What sessions and the sign-in tell the engine, and which connection it wants (rules R31 to R40).

use aesync_protocol::event::{Event, Notification};
use aesync_protocol::{Error, ErrorCode};

use super::durable::Identity;
use super::effect::LogLevel;
use super::input::{Hint, LoginFailure, SessionEnd, SessionEndKind, SessionEvent, SessionId, TokenFacts};
use super::lane::Lane;
use super::link::{Down, LinkChange};
use super::status::Trouble;
use super::transact::Step;
use super::{Effect, Engine, Now};

/// What to say when there is no address to sign in at.
pub(super) const NO_SERVER: &str =
    "no server is named: set server.url in aesyncd.toml and restart, or sign in with `aectl login --server URL`";

impl Engine {
    pub(super) fn on_session(&mut self, now: &Now, session: SessionId, event: SessionEvent, out: &mut Vec<Effect>) {
        match event {
            SessionEvent::Connected => {
                let change = self.link.connected(session);
                self.on_link_change(change, out);
            }
            SessionEvent::Authenticated => {
                let change = self.link.authenticated(now, session);
                self.on_link_change(change, out);
            }
            SessionEvent::Pong { rtt } => {
                self.rtt = Some(rtt);
                self.last_pong_at = Some(now.wall);
            }
            SessionEvent::Notification(hint) => self.on_hint(now, hint, out),
            SessionEvent::PeerStatus { status, entity_type } => {
                let entity_type = entity_type.unwrap_or_default();
                let kind = "sync_status_update".to_owned();
                let notification = Notification { kind, entity_type, entity_id: None, message: status, timestamp: now.wall };
                out.push(Effect::Publish(Box::new(Event::Notification { notification })));
            }
            SessionEvent::Unknown { event } => {
                self.unknown_events = self.unknown_events.saturating_add(1);
                out.push(Effect::Log(LogLevel::Debug, format!("passed over a server event of an unknown shape: {event:?}")));
            }
            SessionEvent::Overflow => {
                self.mark_all(now);
                out.push(Effect::Log(
                    LogLevel::Warn,
                    "notifications came too fast and some were dropped: pulling everything".to_owned(),
                ));
            }
            SessionEvent::Ended(end) => self.on_ended(now, session, &end, out),
        }
    }

    /// A hint never changes anything by itself: it marks what to pull (rule R34).
    fn on_hint(&mut self, now: &Now, hint: Hint, out: &mut Vec<Effect>) {
        let all = hint.kind == "sync_error" || (hint.entity_type == "batch" && hint.batch_types.is_empty());
        if all {
            self.mark_all(now);
        } else if hint.entity_type == "batch" {
            for name in hint.batch_types.iter().filter(|name| self.settings.rules(name).is_some()) {
                self.puller.mark(now, name);
            }
        } else if self.settings.rules(&hint.entity_type).is_some() {
            self.puller.mark(now, &hint.entity_type);
        }
        let Hint { kind, entity_type, entity_id, message, timestamp, .. } = hint;
        let notification = Notification { kind, entity_type, entity_id, message, timestamp: timestamp.unwrap_or(now.wall) };
        out.push(Effect::Publish(Box::new(Event::Notification { notification })));
    }

    pub(super) fn mark_all(&mut self, now: &Now) {
        let settings = std::sync::Arc::clone(&self.settings);
        for name in settings.type_names() {
            self.puller.mark(now, name);
        }
    }

    fn on_ended(&mut self, now: &Now, session: SessionId, end: &SessionEnd, out: &mut Vec<Effect>) {
        let change = self.link.ended(&self.settings, now, session, end);
        if change == LinkChange::None {
            return;
        }
        let code = match end.kind {
            SessionEndKind::Untrusted => "untrusted_certificate",
            SessionEndKind::NoWebsocket => "no_websocket",
            SessionEndKind::Refused => "refused",
            SessionEndKind::Unreachable | SessionEndKind::Lost | SessionEndKind::Closed => ErrorCode::Offline.as_str(),
        };
        let level = self.troubles.set(now, Trouble::Link, code, end.detail.clone());
        out.push(Effect::Log(level, format!("the connection to the server is down: {}", end.detail)));
        self.on_link_change(change, out);
    }

    pub(super) fn on_link_change(&mut self, change: LinkChange, out: &mut Vec<Effect>) {
        match change {
            LinkChange::None => {}
            // What is fresh stays so: over HTTP while that works, and else the status is offline until everything was pulled anew.
            LinkChange::Open(session) => out.push(Effect::OpenSession(session)),
            LinkChange::Close => {
                self.puller.forget_freshness();
                out.push(Effect::CloseSession);
            }
            LinkChange::Online => {
                // Nothing is replayed: whatever was known to be fresh may be stale (rule R32).
                self.connects = self.connects.saturating_add(1);
                self.http = super::Http::default();
                self.puller.forget_freshness();
                self.puller.kick();
                self.pusher.kick();
                self.forget_announcement();
                self.troubles.clear(Trouble::Link);
                out.push(Effect::Log(LogLevel::Info, "connected to the server and authenticated".to_owned()));
            }
            LinkChange::AttemptFailed => {
                out.push(Effect::CloseSession);
                self.http.probe = !self.http.up;
                if self.http.probe {
                    self.puller.kick();
                }
            }
            LinkChange::Lost => {
                out.push(Effect::CloseSession);
                self.http.up = false;
                self.puller.forget_freshness();
            }
        }
    }

    pub(super) fn on_signed_in(&mut self, now: &Now, token: TokenFacts, out: &mut Vec<Effect>) {
        match self.check_tenant(&token) {
            Ok(identity) => {
                self.misconfigured = None;
                self.troubles.clear(Trouble::Auth);
                if let Some(server) = &token.server {
                    std::sync::Arc::make_mut(&mut self.settings).server.clone_from(server);
                }
                let log = token.log.clone();
                let renewed = self.auth.token().is_some();
                self.auth.signed_in(now, token);
                self.tokens = self.tokens.saturating_add(1);
                if self.identity() == Some(&identity) && self.adopting == 0 {
                    out.push(Effect::SignedIn { tenant: identity.tenant });
                    if renewed {
                        let change = self.link.renew();
                        self.on_link_change(change, out);
                    }
                    self.puller.kick();
                    self.pusher.kick();
                    return;
                }
                // Another identity: its own session, its own state; what is under way belongs to the old one (rule R38).
                if let Some(request) = self.lane.request() {
                    out.push(Effect::Abandon(request));
                }
                let error = Error::new(ErrorCode::AuthRequired, "somebody else signed in meanwhile; nothing was enqueued")
                    .hint("ask again if it is meant for the new identity");
                self.fail_waiting(&error, out);
                self.lane = Lane::Idle;
                self.adopting = self.adopting.saturating_add(1);
                self.transact(now, Step::Adopt { identity, log }, out);
            }
            Err(error) => {
                out.push(Effect::Log(LogLevel::Error, error.message.clone()));
                self.auth.misfit(&error.message);
                if !self.auth.usable(now) {
                    self.misconfigured = Some(error.message.clone());
                    self.troubles.set(now, Trouble::Auth, "misconfigured", error.message.clone());
                }
                out.push(Effect::SignInRefused(error));
            }
        }
    }

    /// The token's tenant must be the configured one; without one, the token's counts (rule R39).
    fn check_tenant(&self, token: &TokenFacts) -> Result<Identity, Error> {
        let refuse = |message: String, hint: &str| Err(Error::new(ErrorCode::Misconfigured, message).hint(hint));
        let server = token.server.as_ref().unwrap_or(&self.settings.server);
        if server.is_empty() {
            return refuse(NO_SERVER.to_owned(), "a token without its server is of no use");
        }
        let Some(tenant) = token.tenant.as_ref().map(|tenant| tenant.to_lowercase()) else {
            return refuse(
                "the token names no tenant: it carries neither customerId nor companyId".to_owned(),
                "sign in with a customer's or a company user's account: `aectl login`",
            );
        };
        match &self.settings.tenant {
            Some(configured) if *configured != tenant => refuse(
                format!("the token is for tenant {tenant}, and the configuration says {configured}"),
                "sign in to the configured tenant with `aectl login`, or correct server.tenant in aesyncd.toml",
            ),
            _ => Ok(Identity { server: server.clone(), tenant, user: token.user.clone() }),
        }
    }

    pub(super) fn on_signed_out(&mut self) {
        self.auth.signed_out();
        self.misconfigured = None;
        self.troubles.clear(Trouble::Auth);
    }

    pub(super) fn on_login_failed(&mut self, now: &Now, failure: &LoginFailure, out: &mut Vec<Effect>) {
        self.auth.login_failed(&self.settings, now, failure);
        let (code, detail) = match failure {
            LoginFailure::NoCredentials => return,
            LoginFailure::Refused(detail) => (ErrorCode::AuthRequired.as_str(), detail),
            LoginFailure::Passing(detail) => (ErrorCode::Offline.as_str(), detail),
        };
        let level = self.troubles.set(now, Trouble::Auth, code, detail.clone());
        out.push(Effect::Log(level, format!("signing in failed: {detail}")));
    }

    /// The server did not accept the token (rule R40).
    pub(super) fn on_rejected(&mut self, now: &Now, out: &mut Vec<Effect>) {
        if self.sent_with != self.tokens {
            // The request carried an earlier token.
            return;
        }
        self.auth.reject();
        let why = ErrorCode::AuthRequired.as_str();
        let level = self.troubles.set(now, Trouble::Auth, why, "the server does not accept the token");
        out.push(Effect::Log(level, "the server does not accept the token".to_owned()));
    }

    pub(super) fn on_resumed(&mut self, now: &Now, out: &mut Vec<Effect>) {
        out.push(Effect::Log(LogLevel::Info, "the machine was suspended: connecting anew".to_owned()));
        self.mark_all(now);
        let change = self.link.renew();
        self.on_link_change(change, out);
    }

    /// Which connection is wanted, and whether to sign in for it.
    pub(super) fn steer(&mut self, now: &Now, out: &mut Vec<Effect>) {
        if !self.paused && self.misconfigured().is_none() && self.adopting == 0 && self.auth.wants_login(&self.settings, now) {
            out.push(Effect::Login);
        }
        let down = if self.paused {
            Some(Down::Paused)
        } else if self.misconfigured().is_some() {
            Some(Down::Misconfigured)
        } else if self.adopting > 0 {
            Some(Down::SigningIn)
        } else if self.auth.usable(now) {
            None
        } else if self.auth.signing_in() {
            Some(Down::SigningIn)
        } else if self.auth.token().is_some() || self.auth.refusal().is_some() {
            Some(Down::AuthRequired)
        } else {
            Some(Down::SignedOut)
        };
        let change = match down {
            Some(reason) => self.link.down(reason),
            None => self.link.up(),
        };
        self.on_link_change(change, out);
    }

    /// Why nothing can be asked of the server now; `None` when it can.
    pub(super) fn why_not(&self, now: &Now) -> Option<Error> {
        if self.paused {
            return Some(Error::new(ErrorCode::Paused, "syncing is paused").hint("`aectl resume` ends the pause"));
        }
        if let Some(why) = self.misconfigured() {
            return Some(Error::new(ErrorCode::Misconfigured, why).hint("correct aesyncd.toml, or sign in with `aectl login`"));
        }
        if self.epoch.is_none() || !self.auth.usable(now) {
            let (code, message) = match (self.auth.signing_in() || self.adopting > 0, self.auth.token()) {
                (true, _) => (ErrorCode::Offline, "the daemon is signing in and has no token yet"),
                (false, None) => (ErrorCode::AuthRequired, "nobody is signed in"),
                (false, Some(_)) => (ErrorCode::AuthRequired, "the token expired or is not accepted by the server"),
            };
            return Some(Error::new(code, message).hint("`aectl login` signs in"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;
    use std::time::Duration;

    use super::super::input::Call;
    use super::super::memory::Memory;
    use super::super::settings::Settings;
    use super::super::transact::{Adopted, run};
    use super::super::{Host, Input};
    use super::*;
    use crate::engine::effect::CallId;

    #[test]
    fn an_outage_is_logged_when_it_begins_when_its_reason_changes_and_when_it_ends() {
        let settings = Settings::new("http://127.0.0.1:1", None, &["end_user"]);
        let mut now = Now { mono: Duration::from_secs(1), wall: Timestamp::EPOCH, dice: 1 };
        let host = Host { version: String::new(), pid: 1, started_at: now.wall, instance: String::new() };
        let (mut engine, _) = Engine::new(settings.clone(), host, Adopted::default(), &now);
        let token = TokenFacts { server: None, tenant: Some("t".into()), user: "u".into(), expires_at: None, log: "log".into() };
        let mut memory = Memory::default();
        let mut session = None;
        let mut said = Vec::new();
        let mut happen = |now: &Now, input: Input, session: &mut Option<SessionId>| {
            let mut effects = engine.handle(now, input);
            while !effects.is_empty() {
                let mut next = Vec::new();
                for effect in effects {
                    match effect {
                        Effect::Transact(txn) => {
                            let (writes, outcome) = run(&txn, &settings, &memory).expect("the state can be read");
                            memory.apply(&writes);
                            next.extend(engine.handle(now, Input::Committed(Box::new(outcome))));
                        }
                        Effect::OpenSession(id) => *session = Some(id),
                        Effect::Log(level, line) if line.contains("to the server") => said.push(level),
                        _ => {}
                    }
                }
                effects = next;
            }
        };
        happen(&now, Input::SignedIn(token), &mut session);
        for detail in ["refused", "refused", "refused", "no route", "no route"] {
            let id = session.take().expect("an attempt");
            let end = SessionEnd { kind: SessionEndKind::Unreachable, detail: detail.to_owned() };
            happen(&now, Input::Session(id, SessionEvent::Ended(end)), &mut session);
            now.mono += Duration::from_secs(3_600);
            happen(&now, Input::Woke, &mut session);
        }
        let id = session.take().expect("an attempt");
        for event in [SessionEvent::Connected, SessionEvent::Authenticated] {
            happen(&now, Input::Session(id, event), &mut session);
        }
        use LogLevel::{Debug, Info, Warn};
        assert_eq!(said, [Warn, Debug, Debug, Warn, Debug, Info]);
    }

    #[test]
    fn of_two_sign_ins_at_once_nothing_is_done_for_the_first_under_the_token_of_the_second() {
        let settings = Settings::new("http://127.0.0.1:1", None, &["end_user"]);
        let now = Now { mono: Duration::from_secs(1), wall: Timestamp::EPOCH, dice: 1 };
        let host = Host { version: String::new(), pid: 1, started_at: now.wall, instance: String::new() };
        let (mut engine, _) = Engine::new(settings.clone(), host, Adopted::default(), &now);
        let token = |tenant: &str| TokenFacts {
            server: None,
            tenant: Some(tenant.to_owned()),
            user: "u".to_owned(),
            expires_at: None,
            log: tenant.to_owned(),
        };
        let mut txns = Vec::new();
        for input in [
            Input::SignedIn(token("first")),
            Input::SignedIn(token("second")),
            Input::Call(CallId(1), Call::Pull { entity_types: None, full: false }),
        ] {
            txns.extend(engine.handle(&now, input).into_iter().filter_map(|effect| match effect {
                Effect::Transact(txn) => Some(txn),
                _ => None,
            }));
        }
        assert_eq!(txns.len(), 2);
        let mut memory = Memory::default();
        let mut told = Vec::new();
        for txn in txns {
            let (writes, outcome) = run(&txn, &settings, &memory).expect("the state can be read");
            memory.apply(&writes);
            let effects = engine.handle(&now, Input::Committed(Box::new(outcome)));
            told.push(
                effects
                    .into_iter()
                    .filter_map(|effect| match effect {
                        Effect::SignedIn { tenant } => Some(tenant),
                        Effect::OpenSession(_) => Some("a session".to_owned()),
                        Effect::Send(..) => Some("a request".to_owned()),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(told, [vec![], vec!["second".to_owned(), "a session".to_owned(), "a request".to_owned()]]);
    }
}
