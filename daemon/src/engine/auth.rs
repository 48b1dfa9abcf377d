//! The sign-in: what is known of the token, when it needs to be renewed, and when to stop asking (rules R39, R40).

use std::time::Duration;

use aesync_protocol::Timestamp;
use aesync_protocol::status::AuthWord;

use super::Now;
use super::backoff::Backoff;
use super::input::{LoginFailure, TokenFacts};
use super::settings::Settings;

/// From here on before its expiry a token is `expiring`, in milliseconds.
const EXPIRING_MS: i64 = 3_600_000;
/// With credentials a token is renewed this long before its expiry, or after nine tenths of its life if that is later.
const RENEW_BEFORE_MS: i64 = 600_000;

/// The sign-in.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    token: Option<TokenFacts>,
    received: Option<Timestamp>,
    rejected: bool,
    credentials: bool,
    login: Login,
    refusal: Option<String>,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Login {
    #[default]
    Idle,
    Running,
    Waiting {
        until: Duration,
        until_wall: Timestamp,
    },
    /// The credentials were refused: only a person can help.
    Refused,
}

impl Auth {
    /// There is a new token.
    pub fn signed_in(&mut self, now: &Now, token: TokenFacts) {
        self.token = Some(token);
        self.received = Some(now.wall);
        self.rejected = false;
        self.login = Login::Idle;
        self.refusal = None;
    }

    /// There is no token any more.
    pub fn signed_out(&mut self) {
        *self = Self { credentials: self.credentials, ..Self::default() };
        self.login = Login::Refused;
    }

    /// Whether there are credentials; new ones may be tried at once.
    pub fn set_credentials(&mut self, there: bool) {
        self.credentials = there;
        if there && self.login == Login::Refused {
            self.login = Login::Idle;
        }
    }

    /// The server did not accept the token.
    pub fn reject(&mut self) {
        self.rejected = self.token.is_some();
    }

    /// A request was accepted: the token is good, and later refusals are news.
    pub fn accepted(&mut self) {
        self.backoff.reset();
    }

    /// A token did not fit the configuration. If the engine's own login brought it, another one would bring no better.
    pub fn misfit(&mut self, detail: &str) {
        if self.login == Login::Running {
            self.login = Login::Refused;
            self.refusal = Some(detail.to_owned());
        }
    }

    /// A login brought no token.
    pub fn login_failed(&mut self, settings: &Settings, now: &Now, failure: &LoginFailure) {
        match failure {
            LoginFailure::NoCredentials => {
                self.credentials = false;
                self.login = Login::Idle;
            }
            LoginFailure::Refused(detail) => {
                self.login = Login::Refused;
                self.refusal = Some(detail.clone());
            }
            LoginFailure::Passing(_) => self.wait(settings, now),
        }
    }

    /// Whether to log in now; the caller does when this says so.
    pub fn wants_login(&mut self, settings: &Settings, now: &Now) -> bool {
        if !self.credentials {
            return false;
        }
        match self.login {
            Login::Running | Login::Refused => false,
            Login::Waiting { until, .. } if now.mono < until => false,
            Login::Waiting { .. } => {
                self.login = Login::Running;
                true
            }
            Login::Idle if self.usable(now) && !self.renewal_due(now) => false,
            Login::Idle => {
                let fresh = self.rejected && self.received.is_some_and(|at| now.wall.millis_since(at) < 60_000);
                if fresh && self.backoff.failures() > 0 {
                    // A token that is refused as soon as it is fetched: more of them won't help quickly.
                    self.wait(settings, now);
                    return false;
                }
                if fresh {
                    let _ = self.backoff.fail(settings, now);
                }
                self.login = Login::Running;
                true
            }
        }
    }

    fn wait(&mut self, settings: &Settings, now: &Now) {
        let wait = self.backoff.fail(settings, now);
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.login = Login::Waiting { until: now.mono + wait, until_wall: now.wall.plus_millis(millis) };
    }

    /// Whether the token may be used.
    #[must_use]
    pub fn usable(&self, now: &Now) -> bool {
        self.token.is_some() && !self.rejected && !self.expired(now)
    }

    /// Whether a login is under way or will be made by itself.
    #[must_use]
    pub fn signing_in(&self) -> bool {
        matches!(self.login, Login::Running | Login::Waiting { .. })
    }

    /// When the next login will be made.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self.login {
            Login::Waiting { until_wall, .. } => Some(until_wall),
            _ => None,
        }
    }

    /// What is known of the token.
    #[must_use]
    pub fn token(&self) -> Option<&TokenFacts> {
        self.token.as_ref()
    }

    /// Why the credentials were refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Whether there are credentials to renew the token with.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials && self.login != Login::Refused
    }

    /// The word for the status.
    #[must_use]
    pub fn word(&self, now: &Now) -> AuthWord {
        match &self.token {
            None => AuthWord::None,
            Some(_) if self.rejected => AuthWord::Rejected,
            Some(_) if self.expired(now) => AuthWord::Expired,
            Some(token) if token.expires_at.is_some_and(|at| at.millis_since(now.wall) < EXPIRING_MS) => AuthWord::Expiring,
            Some(_) => AuthWord::Valid,
        }
    }

    /// When something about the sign-in changes by itself.
    #[must_use]
    pub fn deadline(&self, now: &Now) -> Option<Duration> {
        if let Login::Waiting { until, .. } = self.login {
            return Some(until);
        }
        let expires_at = self.token.as_ref()?.expires_at?;
        let renewal = (self.credentials && self.login == Login::Idle).then(|| self.renew_at()).flatten();
        [renewal, Some(expires_at.plus_millis(-EXPIRING_MS)), Some(expires_at)]
            .into_iter()
            .flatten()
            .map(|at| at.millis_since(now.wall))
            .filter(|left| *left > 0)
            .min()
            .map(|left| now.mono + Duration::from_millis(left.unsigned_abs()))
    }

    fn expired(&self, now: &Now) -> bool {
        self.token.as_ref().and_then(|token| token.expires_at).is_some_and(|at| at <= now.wall)
    }

    fn renewal_due(&self, now: &Now) -> bool {
        self.renew_at().is_some_and(|at| at <= now.wall)
    }

    fn renew_at(&self) -> Option<Timestamp> {
        let expires_at = self.token.as_ref()?.expires_at?;
        let life = expires_at.millis_since(self.received?);
        Some(expires_at.plus_millis(-RENEW_BEFORE_MS.min(life / 10).max(0)))
    }
}
