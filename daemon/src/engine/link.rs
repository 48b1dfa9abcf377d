//! The desired connection: a state machine over session events and time. It decides when to open and close; the session is the driver's.

use std::time::Duration;

use aesync_protocol::Timestamp;
use aesync_protocol::status::LinkWord;

use super::Now;
use super::backoff::Backoff;
use super::input::{SessionEnd, SessionEndKind, SessionId};
use super::settings::Settings;

/// Why no connection is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// There is no token.
    SignedOut,
    /// A login is under way, or waits for its retry.
    SigningIn,
    /// The server does not accept the token, or it expired.
    AuthRequired,
    /// Token and configuration contradict each other.
    Misconfigured,
    /// Somebody paused the daemon.
    Paused,
}

/// The state of the link.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkState {
    /// Not wanted.
    Down(Down),
    /// A session is being opened.
    Connecting,
    /// The namespace is joined, `authenticated` has not come.
    Authenticating,
    /// Authenticated.
    Online {
        /// For people.
        since: Timestamp,
        /// For the backoff.
        since_mono: Duration,
    },
    /// The next attempt waits.
    Backoff {
        /// When it will be made.
        until: Duration,
        /// The same, for people.
        until_wall: Timestamp,
    },
}

/// What the rest of the engine has to do about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// Nothing.
    None,
    /// Open a session.
    Open(SessionId),
    /// End the session.
    Close,
    /// Authenticated: nothing was replayed, so everything has to be caught up with (rule R32).
    Online,
    /// An attempt failed before it was authenticated: HTTP may work all the same (rule R33).
    AttemptFailed,
    /// An authenticated session is over.
    Lost,
}

/// The link.
#[derive(Clone, Debug)]
pub struct Link {
    state: LinkState,
    session: SessionId,
    backoff: Backoff,
    authenticated: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { state: LinkState::Down(Down::SignedOut), session: SessionId(0), backoff: Backoff::default(), authenticated: 0 }
    }
}

impl Link {
    /// The state.
    #[must_use]
    pub fn state(&self) -> &LinkState {
        &self.state
    }

    /// Whether a session is authenticated.
    #[must_use]
    pub fn is_online(&self) -> bool {
        matches!(self.state, LinkState::Online { .. })
    }

    /// Whether a connection is wanted.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !matches!(self.state, LinkState::Down(_))
    }

    /// Sessions that were authenticated after the first.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.authenticated.saturating_sub(1)
    }

    /// The word for the status; `http` says that HTTP works without a session.
    #[must_use]
    pub fn word(&self, http: bool) -> LinkWord {
        match &self.state {
            LinkState::Down(Down::SignedOut) => LinkWord::SignedOut,
            LinkState::Down(Down::SigningIn) => LinkWord::Connecting,
            LinkState::Down(Down::AuthRequired) => LinkWord::AuthRequired,
            LinkState::Down(Down::Misconfigured) => LinkWord::Misconfigured,
            LinkState::Down(Down::Paused) => LinkWord::Backoff,
            LinkState::Online { .. } => LinkWord::Online,
            _ if http => LinkWord::Online,
            LinkState::Connecting => LinkWord::Connecting,
            LinkState::Authenticating => LinkWord::Authenticating,
            LinkState::Backoff { .. } => LinkWord::Backoff,
        }
    }

    /// A connection is wanted, or still is.
    pub fn up(&mut self) -> LinkChange {
        if self.is_wanted() {
            return LinkChange::None;
        }
        self.backoff.reset();
        self.open()
    }

    /// No connection is wanted, or still none.
    pub fn down(&mut self, reason: Down) -> LinkChange {
        let had_session = matches!(self.state, LinkState::Connecting | LinkState::Authenticating | LinkState::Online { .. });
        self.state = LinkState::Down(reason);
        if had_session { LinkChange::Close } else { LinkChange::None }
    }

    /// A new session whatever the present one is: another token, or a machine that slept (rules R37, R40).
    pub fn renew(&mut self) -> LinkChange {
        if self.is_wanted() { self.open() } else { LinkChange::None }
    }

    /// Somebody wants it now: the wait is cut short (rule R14).
    pub fn kick(&mut self) -> LinkChange {
        if matches!(self.state, LinkState::Backoff { .. }) { self.open() } else { LinkChange::None }
    }

    /// The namespace is joined.
    pub fn connected(&mut self, session: SessionId) -> LinkChange {
        if session == self.session && self.state == LinkState::Connecting {
            self.state = LinkState::Authenticating;
        }
        LinkChange::None
    }

    /// The server said `authenticated`.
    pub fn authenticated(&mut self, now: &Now, session: SessionId) -> LinkChange {
        if session != self.session || !matches!(self.state, LinkState::Connecting | LinkState::Authenticating) {
            return LinkChange::None;
        }
        self.state = LinkState::Online { since: now.wall, since_mono: now.mono };
        self.authenticated = self.authenticated.saturating_add(1);
        LinkChange::Online
    }

    /// The session is over.
    pub fn ended(&mut self, settings: &Settings, now: &Now, session: SessionId, end: &SessionEnd) -> LinkChange {
        if session != self.session {
            return LinkChange::None;
        }
        let was_online = match self.state {
            LinkState::Online { since_mono, .. } => {
                if now.mono.saturating_sub(since_mono) >= settings.stable_after {
                    self.backoff.reset();
                }
                true
            }
            LinkState::Connecting | LinkState::Authenticating => false,
            LinkState::Down(_) | LinkState::Backoff { .. } => return LinkChange::None,
        };
        let mut wait = self.backoff.fail(settings, now);
        if end.kind == SessionEndKind::Refused {
            // A refusal does not go away by itself: asking again at once only adds load.
            wait = wait.max(settings.backoff_max / 2);
        }
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.state = LinkState::Backoff { until: now.mono + wait, until_wall: now.wall.plus_millis(millis) };
        if was_online { LinkChange::Lost } else { LinkChange::AttemptFailed }
    }

    /// Time has passed.
    pub fn woke(&mut self, now: &Now) -> LinkChange {
        match self.state {
            LinkState::Backoff { until, .. } if until <= now.mono => self.open(),
            _ => LinkChange::None,
        }
    }

    /// When [`Link::woke`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            LinkState::Backoff { until, .. } => Some(until),
            _ => None,
        }
    }

    fn open(&mut self) -> LinkChange {
        self.session = SessionId(self.session.0.saturating_add(1));
        self.state = LinkState::Connecting;
        LinkChange::Open(self.session)
    }
}

#[cfg(test)]
#[path = "link_table.rs"]
mod table;
