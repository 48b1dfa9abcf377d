//! Which requests meet a fault.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Fault, Route};
use crate::stamp::Stamp;

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

    /// What it does.
    pub fn fault(&self) -> &Fault {
        &self.fault
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

    /// Whether the request meets the fault now; counts it if it does.
    pub(super) fn meet(&mut self, seen: &Seen<'_>) -> Option<Fault> {
        if self.is_used_up() || !self.matches(seen) {
            return None;
        }
        if let Some(left) = self.skip.checked_sub(1) {
            self.skip = left;
            return None;
        }
        self.times = self.times.map(|times| times.saturating_sub(1));
        Some(self.fault.clone())
    }

    /// Whether no request can meet it any more.
    pub(super) fn is_used_up(&self) -> bool {
        self.times == Some(0)
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
pub struct RuleId(pub(super) u64);
