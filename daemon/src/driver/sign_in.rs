//! Signing in and out on behalf of the engine and of applications (rules R39, R40).

use aesync_protocol::request::{AuthLogin, AuthSetToken};
use aesync_protocol::response::SignedIn;
use aesync_protocol::{Error, ErrorCode};
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::credentials::{SecretError, Token};
use super::upstream::Upstream;
use super::{Driver, to_json};
use crate::engine::Input;
use crate::engine::input::{Failure, FailureKind, LoginFailure};
use crate::server::{Credentials, ServerUrl, token};

/// A token that the engine has yet to accept.
#[derive(Debug)]
pub(super) struct Pending {
    token: Token,
    /// Where it is from, if that is not the server in force.
    upstream: Option<Upstream>,
    /// Keep it for the next start.
    save: bool,
    /// What it was got with, to be remembered.
    credentials: Option<Credentials>,
    reply: Option<Answer>,
}

pub(super) type Answer = oneshot::Sender<Result<Vec<u8>, Error>>;

/// What a login at the server came to.
#[derive(Debug)]
pub(super) struct LoginOutcome {
    result: Result<crate::server::SignedIn, Failure>,
    upstream: Upstream,
    credentials: Credentials,
    /// The application that asked; the engine did when there is none.
    reply: Option<Answer>,
}

impl Driver {
    /// At start: the best token there is, and whether more can be had.
    pub(super) fn start_signed_in(&mut self) {
        self.input(Input::Credentials(self.keyring.can_renew()));
        self.adopt_found_token();
    }

    /// Takes up a token from a file, if it is another one than the present.
    pub(super) fn adopt_found_token(&mut self) -> bool {
        let (found, problems) = self.keyring.token(self.upstream.as_ref().map(|upstream| &upstream.url));
        for problem in problems {
            tracing::warn!("{problem}");
            self.find("token_unreadable", problem.to_string());
        }
        let Some(found) = found.filter(|found| self.is_news(found)) else { return false };
        self.offer(Pending { token: found, upstream: None, save: false, credentials: None, reply: None });
        true
    }

    fn is_news(&self, found: &Token) -> bool {
        use secrecy::ExposeSecret as _;
        self.token.as_ref().is_none_or(|present| present.secret.expose_secret() != found.secret.expose_secret())
    }

    fn offer(&mut self, pending: Pending) {
        if let Some(reply) = self.pending.take().and_then(|earlier| earlier.reply) {
            let _ = reply.send(Err(Error::new(ErrorCode::Busy, "another sign-in came in between").hint("try again")));
        }
        let facts = pending.token.facts(pending.upstream.as_ref().map(|upstream| &upstream.url));
        self.pending = Some(pending);
        self.input(Input::SignedIn(facts));
    }

    /// The engine wants a fresh token: from a file that changed, else with e-mail and password.
    pub(super) fn log_in(&mut self) {
        if self.adopt_found_token() {
            return;
        }
        match self.keyring.credentials() {
            Ok(Some(credentials)) => match self.upstream.clone() {
                Some(upstream) => self.ask_server(upstream, credentials, None),
                None => self.input(Input::LoginFailed(LoginFailure::Refused(no_server().message))),
            },
            Ok(None) => self.input(Input::LoginFailed(LoginFailure::NoCredentials)),
            Err(problem) => self.input(Input::LoginFailed(LoginFailure::Refused(problem.to_string()))),
        }
    }

    fn ask_server(&mut self, upstream: Upstream, credentials: Credentials, reply: Option<Answer>) {
        let logins = self.logins.clone();
        let task = tokio::spawn(async move {
            let result = upstream.rest.sign_in(&credentials, None).await;
            // The driver is gone only when the daemon stops.
            let _ = logins.send(LoginOutcome { result, upstream, credentials, reply }).await;
        });
        self.login = Some(task.abort_handle());
    }

    pub(super) fn on_login(&mut self, outcome: LoginOutcome) {
        self.login = None;
        let LoginOutcome { result, upstream, credentials, reply } = outcome;
        match result {
            Ok(signed_in) => match token::Claims::of(&signed_in.token) {
                Ok(mut claims) => {
                    claims.tenant = signed_in.tenant.or(claims.tenant);
                    let token = Token { secret: signed_in.token, claims };
                    let asked_by_app = reply.is_some();
                    let credentials = asked_by_app.then_some(credentials);
                    self.offer(Pending { token, upstream: Some(upstream), save: asked_by_app, credentials, reply });
                }
                Err(error) => {
                    self.login_failed(LoginFailure::Passing(format!("the server's token can't be read: {error}")), reply, None)
                }
            },
            Err(failure) => {
                let failed = match &failure.kind {
                    FailureKind::Status { status: 401 | 403, .. } | FailureKind::NoToken => {
                        LoginFailure::Refused(failure.detail.clone())
                    }
                    _ => LoginFailure::Passing(failure.detail.clone()),
                };
                self.login_failed(failed, reply, Some(&failure));
            }
        }
    }

    /// An application's failed attempt is its own; the engine's changes the state.
    fn login_failed(&mut self, failed: LoginFailure, reply: Option<Answer>, failure: Option<&Failure>) {
        let Some(reply) = reply else { return self.input(Input::LoginFailed(failed)) };
        let error = match (&failed, failure.map(|failure| &failure.kind)) {
            (LoginFailure::Refused(detail), _) => Error::new(ErrorCode::AuthRequired, detail.clone()),
            (_, Some(FailureKind::TimedOut)) => Error::new(ErrorCode::Timeout, text(&failed)).hint("try again later"),
            (_, Some(FailureKind::Status { status, message: Some(message), .. })) => {
                Error::new(ErrorCode::ServerError, text(&failed))
                    .with("status", *status)
                    .with("serverMessage", message.as_str())
                    .hint("try again later")
            }
            _ => Error::new(ErrorCode::Offline, text(&failed)).hint("check the server's address and the network, then try again"),
        };
        let _ = reply.send(Err(error));
    }

    pub(super) fn call_login(&mut self, login: AuthLogin, reply: Answer) {
        if self.login.is_some() {
            let _ = reply.send(Err(Error::new(ErrorCode::Busy, "a sign-in is under way already").hint("try again in a moment")));
            return;
        }
        if login.email.trim().is_empty() || login.password.is_empty() {
            let message = "signing in needs both an e-mail address and a password";
            let _ = reply.send(Err(Error::protocol(aesync_protocol::error::rpc::INVALID_PARAMS, message)));
            return;
        }
        let upstream = match self.upstream_of_login(login.server.as_deref()) {
            Ok(upstream) => upstream,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let credentials = Credentials { email: login.email, password: SecretString::from(login.password) };
        self.ask_server(upstream, credentials, Some(reply));
    }

    /// Where an application signs in: at the server that it names, which must be the configured one if there is one, else at the one in force.
    fn upstream_of_login(&self, named: Option<&str>) -> Result<Upstream, Error> {
        let Some(named) = named else { return self.upstream.clone().ok_or_else(no_server) };
        let invalid = |error: String| Error::protocol(aesync_protocol::error::rpc::INVALID_PARAMS, error);
        let url = ServerUrl::parse(named).map_err(|error| invalid(format!("invalid params: `server`: {error}")))?;
        match &self.upstream {
            Some(upstream) if upstream.url == url => return Ok(upstream.clone()),
            Some(upstream) if self.config.server.url.is_some() => {
                let message = format!("the configuration names the server {}, and not {url}", upstream.url);
                return Err(Error::new(ErrorCode::Misconfigured, message)
                    .hint("sign in without naming a server, or change server.url in aesyncd.toml and restart"));
            }
            _ => {}
        }
        Upstream::new(url, &self.config).map_err(|error| Error::new(ErrorCode::Misconfigured, format!("server: {error}")))
    }

    pub(super) fn call_set_token(&mut self, set: &AuthSetToken, reply: Answer) {
        let refuse = |reply: Answer, error: Error| {
            let _ = reply.send(Err(error));
        };
        if self.upstream.is_none() {
            return refuse(reply, no_server());
        }
        let token = match Token::parse(&set.token) {
            Ok(token) => token,
            Err(error) => {
                let error = Error::new(ErrorCode::Misconfigured, error.to_string()).hint("pass the token as the server gave it");
                return refuse(reply, error);
            }
        };
        if let (Some(wanted), Some(tenant)) = (&set.tenant_id, &token.claims.tenant)
            && !wanted.eq_ignore_ascii_case(tenant)
        {
            let message = format!("the token is for tenant {tenant}, and not for {}", wanted.to_lowercase());
            return refuse(reply, Error::new(ErrorCode::Misconfigured, message).hint("get a token of the tenant that you mean"));
        }
        if token.claims.expires_at.is_some_and(|at| at <= super::clock::wall()) {
            let message = format!("the token expired at {}", token.claims.expires_at.unwrap_or_default());
            return refuse(
                reply,
                Error::new(ErrorCode::AuthRequired, message).hint("get a fresh token, or sign in with `aectl login`"),
            );
        }
        self.offer(Pending { token, upstream: None, save: true, credentials: None, reply: Some(reply) });
    }

    /// The engine took the token up.
    pub(super) fn signed_in(&mut self, tenant: String) {
        let Some(Pending { token, upstream, save, credentials, reply }) = self.pending.take() else { return };
        if upstream.is_some() {
            self.upstream = upstream;
        }
        let server = self.upstream.as_ref().map(|upstream| &upstream.url);
        if save
            && let Some(server) = server
            && let Err(problem) = self.keyring.save(server, &token.secret)
        {
            tracing::warn!("{problem}");
            self.find("token_not_kept", format!("the sign-in works until the daemon stops: {problem}"));
        }
        if let Some(credentials) = credentials {
            self.keyring.remember(credentials);
        }
        let expires_at = token.claims.expires_at;
        self.token = Some(token);
        tracing::info!(tenant, server = self.upstream.as_ref().map(|upstream| upstream.url.as_str()), "signed in");
        if let Some(reply) = reply {
            let _ = reply.send(to_json(&SignedIn { tenant_id: tenant, expires_at }));
        }
        self.input(Input::Credentials(self.keyring.can_renew()));
    }

    /// The engine did not take the token up.
    pub(super) fn sign_in_refused(&mut self, error: Error) {
        if let Some(reply) = self.pending.take().and_then(|pending| pending.reply) {
            let _ = reply.send(Err(error));
        }
    }

    pub(super) fn log_out(&mut self) -> Result<(), Error> {
        let forgotten = self.keyring.forget();
        self.token = None;
        self.input(Input::SignedOut);
        tracing::info!("signed out");
        forgotten.map_err(|problem: SecretError| {
            Error::new(ErrorCode::StorageFailed, format!("signed out, but {problem}")).hint("remove the file by hand")
        })
    }
}

fn text(failed: &LoginFailure) -> String {
    match failed {
        LoginFailure::NoCredentials => "there are no credentials".to_owned(),
        LoginFailure::Refused(detail) | LoginFailure::Passing(detail) => detail.clone(),
    }
}

fn no_server() -> Error {
    Error::new(ErrorCode::Misconfigured, "no server is named, so there is nowhere to sign in")
        .hint("name it with `aectl login --server URL`, or set server.url in aesyncd.toml and restart the daemon")
}
