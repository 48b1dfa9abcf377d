//! Every way in which the server can be made to misbehave, and when.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::stamp::Stamp;

/// A misbehaviour. Unless a [`Rule`] says otherwise, it meets every request that it applies to, until it is cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    // Connections, every route and `/socket.io` included
    /// The request waits this long before anything is done with it.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The request is read, then its connection is closed: nothing was done.
    DropRequest,
    /// The work is done, then the connection is closed without an answer.
    DropAnswer,
    /// Half of the answer's body is sent, then the connection is closed.
    TruncateAnswer,
    /// The request is read and never answered; nothing is done, the connection stays open.
    NeverAnswer,
    /// The work is done and never answered; the connection stays open.
    NeverAnswerAfterWork,

    // Answers of something that stands in front of the server
    /// 200 with a login page in HTML.
    CaptivePortal,
    /// 502 with a page in HTML.
    BadGateway,
    /// 429.
    TooManyRequests {
        /// `Retry-After`, as sent: seconds or a date.
        retry_after: Option<String>,
    },
    /// 503.
    Unavailable {
        /// `Retry-After`, as sent: seconds or a date.
        retry_after: Option<String>,
    },
    /// A redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `Location`.
        location: String,
    },
    /// Any other answer, in place of the server's own.
    Answer {
        /// The status code.
        status: u16,
        /// `Content-Type`.
        content_type: String,
        /// The body.
        body: String,
    },

    // The server's own failures
    /// The database is down: sync routes answer 500 [`Failure::TenantDatabase`], customer logins 500, staff logins 401; `/health` stays 200.
    DatabaseDown,
    /// Customer logins answer 500 and staff logins 401.
    LoginOutage,
    /// Sync routes answer 401 `Unauthorized` to every token.
    RejectTokens,
    /// Sync routes answer 500 before any work.
    Fail {
        /// The message.
        failure: Failure,
    },
    /// The body limit is another one than 102,400 bytes.
    BodyLimit {
        /// Bytes, after inflation.
        bytes: usize,
    },

    // Push
    /// Everything is stored, then the answer is a 500.
    StoreThenFail {
        /// The message.
        failure: Failure,
    },
    /// The first rows are stored, the others not; the answer is a 500. A push of no more rows than that succeeds.
    StorePrefixThenFail {
        /// How many rows are stored.
        rows: usize,
        /// The message.
        failure: Failure,
    },
    /// A push fails at the row with this id.
    PoisonRow {
        /// Compared without regard to case.
        id: String,
        /// The message.
        failure: Failure,
    },
    /// `updatedAt` is set, and the row becomes visible only this much later: why a cursor equal to `syncTimestamp` loses rows.
    SlowCommit {
        /// Milliseconds between the stamp and the commit of each row.
        ms: u64,
    },
    /// `updatedAt` lies ahead of the server's clock.
    FutureStamp {
        /// Milliseconds ahead.
        ms: u64,
    },
    /// Each push is followed by this many more notifications to the tenant.
    NotificationStorm {
        /// How many.
        notifications: u32,
    },
    /// Pushes notify nobody.
    MuteNotifications,

    // Pull and pull-pending
    /// An error on a type is swallowed: 200, `[]` for the type and a fresh `syncTimestamp`.
    SwallowError {
        /// `None`: every type.
        entity_type: Option<String>,
    },
    /// Every second row of a type is missing.
    HalfListing {
        /// `None`: every type.
        entity_type: Option<String>,
    },
    /// A type is missing from `data`.
    OmitType {
        /// `None`: every type.
        entity_type: Option<String>,
    },

    // Sockets
    /// A websocket upgrade is answered with this status: a network that lets only HTTP through.
    RefuseUpgrade {
        /// The status code.
        status: u16,
    },
    /// `authenticate` is never answered, and nobody joins.
    IgnoreAuthenticate,
    /// `authenticate` is answered with `authentication_error`.
    RefuseAuthenticate,
    /// The socket is told `authenticated` and gets no notification.
    DeafMembership,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// `POST /api/customers/login`
    CustomerLogin,
    /// `POST /api/auth/login`
    StaffLogin,
    /// `POST /api/auth/refresh`
    Refresh,
    /// `GET /health`
    Health,
    /// `POST /api/client/sync/push`
    Push,
    /// `POST /api/client/sync/pull`
    Pull,
    /// `POST /api/client/sync/pull-pending`
    PullPending,
    /// Any request below `/socket.io/`.
    Socket,
    /// The socket event `authenticate`.
    Authenticate,
    /// Anything else.
    Unknown,
}

impl Route {
    pub(crate) fn of(method: &str, path: &str) -> Self {
        match (method, path.trim_end_matches('/')) {
            ("POST", "/api/customers/login") => Self::CustomerLogin,
            ("POST", "/api/auth/login") => Self::StaffLogin,
            ("POST", "/api/auth/refresh") => Self::Refresh,
            ("GET", "/health") => Self::Health,
            ("POST", "/api/client/sync/push") => Self::Push,
            ("POST", "/api/client/sync/pull") => Self::Pull,
            ("POST", "/api/client/sync/pull-pending") => Self::PullPending,
            (_, path) if path.starts_with("/socket.io") => Self::Socket,
            _ => Self::Unknown,
        }
    }

    /// Push, pull and pull-pending.
    pub fn is_sync(self) -> bool {
        matches!(self, Self::Push | Self::Pull | Self::PullPending)
    }

    fn is_login(self) -> bool {
        matches!(self, Self::CustomerLogin | Self::StaffLogin)
    }
}

impl Fault {
    /// Whether the fault means anything on this route.
    pub fn applies_to(&self, route: Route) -> bool {
        match self {
            Self::Delay { .. }
            | Self::DropRequest
            | Self::NeverAnswer
            | Self::CaptivePortal
            | Self::BadGateway
            | Self::TooManyRequests { .. }
            | Self::Unavailable { .. }
            | Self::Redirect { .. }
            | Self::Answer { .. } => route != Route::Authenticate,
            Self::DropAnswer | Self::TruncateAnswer | Self::NeverAnswerAfterWork => {
                !matches!(route, Route::Authenticate | Route::Socket)
            }
            Self::BodyLimit { .. } => !matches!(route, Route::Authenticate | Route::Socket | Route::Health),
            Self::DatabaseDown => route.is_sync() || route.is_login(),
            Self::LoginOutage => route.is_login(),
            Self::RejectTokens | Self::Fail { .. } => route.is_sync(),
            Self::StoreThenFail { .. }
            | Self::StorePrefixThenFail { .. }
            | Self::PoisonRow { .. }
            | Self::SlowCommit { .. }
            | Self::FutureStamp { .. }
            | Self::NotificationStorm { .. }
            | Self::MuteNotifications => route == Route::Push,
            Self::SwallowError { .. } | Self::HalfListing { .. } | Self::OmitType { .. } => {
                matches!(route, Route::Pull | Route::PullPending)
            }
            Self::RefuseUpgrade { .. } => route == Route::Socket,
            Self::IgnoreAuthenticate | Self::RefuseAuthenticate | Self::DeafMembership => route == Route::Authenticate,
        }
    }
}

/// A request as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What it is for.
    pub route: Route,
    /// The tenant of a valid token or of an `authenticate`.
    pub tenant: Option<&'a str>,
    /// The parsed body or the event's data.
    pub body: Option<&'a Value>,
}

impl Seen<'_> {
    /// Whether it is a pull from before 1971, so of everything.
    pub fn is_full_listing(&self) -> bool {
        let since = self.body.and_then(|body| body.get("lastSyncTimestamp")).and_then(Value::as_str).and_then(Stamp::parse);
        self.route == Route::Pull && since.is_some_and(|since| since.micros() < 365 * 24 * 3_600 * 1_000_000)
    }
}

type Predicate = Arc<dyn Fn(&Seen<'_>) -> bool + Send + Sync>;

/// A fault, and which requests it meets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Rule {
    #[serde(flatten)]
    fault: Fault,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    full_listings: bool,
    #[serde(default)]
    skip: u32,
    #[serde(default)]
    times: Option<u32>,
    #[serde(skip)]
    predicate: Option<Predicate>,
}

impl Rule {
    /// Every request that the fault applies to, until it is cleared.
    pub fn new(fault: Fault) -> Self {
        Self { fault, routes: Vec::new(), tenant: None, full_listings: false, skip: 0, times: None, predicate: None }
    }

    /// Only on this route; may be said more than once.
    #[must_use]
    pub fn on(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Only for this tenant.
    #[must_use]
    pub fn of_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.to_owned());
        self
    }

    /// Only pulls of everything (from before 1971).
    #[must_use]
    pub fn on_full_listings(mut self) -> Self {
        self.full_listings = true;
        self
    }

    /// Lets the first `requests` pass.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Meets this many requests, then is gone.
    #[must_use]
    pub fn times(mut self, requests: u32) -> Self {
        self.times = Some(requests);
        self
    }

    /// Only requests for which this is true. It is called under a lock: it must not touch the world.
    #[must_use]
    pub fn when(mut self, predicate: impl Fn(&Seen<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(predicate));
        self
    }

    fn matches(&self, seen: &Seen<'_>) -> bool {
        self.fault.applies_to(seen.route)
            && (self.routes.is_empty() || self.routes.contains(&seen.route))
            && self.tenant.as_deref().is_none_or(|tenant| seen.tenant == Some(tenant))
            && (!self.full_listings || seen.is_full_listing())
            && self.predicate.as_ref().is_none_or(|predicate| predicate(seen))
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("fault", &self.fault)
            .field("routes", &self.routes)
            .field("tenant", &self.tenant)
            .field("full_listings", &self.full_listings)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("predicate", &self.predicate.is_some())
            .finish()
    }
}

/// Names a rule, so that it alone can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleId(u64);

/// The rules in force. Several may meet one request.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    next: u64,
    active: Vec<(RuleId, Rule)>,
}

impl Faults {
    /// Switches a fault on until it is cleared.
    pub fn set(&self, fault: Fault) -> RuleId {
        self.add(Rule::new(fault))
    }

    /// The next `requests` that the fault applies to meet it.
    pub fn next(&self, requests: u32, fault: Fault) -> RuleId {
        self.add(Rule::new(fault).times(requests))
    }

    /// Puts a rule in force.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut rules = self.lock();
        rules.next += 1;
        let id = RuleId(rules.next);
        rules.active.push((id, rule));
        id
    }

    /// Takes one rule out; false if it was gone already.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut rules = self.lock();
        let before = rules.active.len();
        rules.active.retain(|(other, _)| *other != id);
        rules.active.len() < before
    }

    /// Takes every rule out.
    pub fn clear(&self) {
        self.lock().active.clear();
    }

    /// The rules still in force; a rule whose requests are used up is gone.
    pub fn active(&self) -> Vec<(RuleId, Rule)> {
        self.lock().active.clone()
    }

    /// The faults that this request meets; counts them.
    pub(crate) fn meet(&self, seen: &Seen<'_>) -> Vec<Fault> {
        let mut met = Vec::new();
        self.lock().active.retain_mut(|(_, rule)| {
            if rule.times == Some(0) {
                return false;
            }
            if !rule.matches(seen) {
                return true;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return true;
            }
            met.push(rule.fault.clone());
            match &mut rule.times {
                None => true,
                Some(left) => {
                    *left -= 1;
                    *left > 0
                }
            }
        });
        met
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
