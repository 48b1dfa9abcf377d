//! When to pull what (rules R19 to R22, R27 to R30, R32 to R35).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use aesync_protocol::Timestamp;

use super::Now;
use super::backoff::Backoff;
use super::durable::Cursor;
use super::settings::Settings;
use super::without::Mutation;

/// Types whose pulls would start within this many milliseconds of each other share a request; a type that is far behind would make
/// the others come again in full.
const SHARED_MS: i64 = 60_000;

/// What is known to be stale, and when the next pulls are due.
#[derive(Clone, Debug, Default)]
pub struct Puller {
    /// Since when a type is known to be stale (rule R35).
    dirty: BTreeMap<String, Duration>,
    /// Types that were pulled since the last connect (rule R32).
    fresh: BTreeSet<String>,
    /// When the last pull that nobody asked for began.
    last_start: Option<Duration>,
    /// When the last pull ended well, for the poll floor.
    last_end: Option<Duration>,
    /// This period's draw of the poll floor's spread.
    spread: f64,
    retry_at: Option<Duration>,
    backoff: Backoff,
    /// Types whose answers can't be believed, a full listing included, are asked for ever more rarely.
    doubts: BTreeMap<String, Backoff>,
    /// When a type's next full listing is due.
    listing_at: BTreeMap<String, Duration>,
    /// Types that need a full listing now.
    listings: BTreeSet<String>,
}

impl Puller {
    /// A hint, or a push of our own, says that a type is stale.
    pub fn mark(&mut self, now: &Now, entity_type: &str) {
        let since = self.dirty.entry(entity_type.to_owned()).or_insert(now.mono);
        *since = now.mono.min(*since);
    }

    /// Not even a full listing could be believed: the type is asked for again after a backoff, so that it heals with the server.
    pub fn doubt(&mut self, settings: &Settings, now: &Now, entity_type: &str) {
        let wait = self.doubts.entry(entity_type.to_owned()).or_default().fail(settings, now);
        self.dirty.entry(entity_type.to_owned()).or_insert(now.mono + wait);
    }

    /// Something is expected to show: the type is asked for again after `wait`.
    pub fn expect(&mut self, now: &Now, entity_type: &str, wait: Duration) {
        self.dirty.entry(entity_type.to_owned()).or_insert(now.mono + wait);
    }

    /// An answer could be believed.
    pub fn believe(&mut self, entity_type: &str) {
        self.doubts.remove(entity_type);
    }

    /// Whether a type is known to be stale.
    #[must_use]
    pub fn is_dirty(&self, entity_type: &str) -> bool {
        self.dirty.contains_key(entity_type)
    }

    /// Whether every configured type was pulled since the last connect.
    #[must_use]
    pub fn all_fresh(&self, settings: &Settings) -> bool {
        settings.type_names().all(|name| self.fresh.contains(name))
    }

    /// The connection is new, or lost: nothing can be taken for fresh (rule R32).
    pub fn forget_freshness(&mut self) {
        self.fresh.clear();
    }

    /// Waits are cut short.
    pub fn kick(&mut self) {
        self.retry_at = None;
    }

    /// A pull failed: draws the wait.
    pub fn failed(&mut self, settings: &Settings, now: &Now, wait: Option<Duration>) {
        let drawn = self.backoff.fail(settings, now);
        self.retry_at = Some(now.mono + wait.unwrap_or(drawn));
    }

    /// When pulls are tried again after a failure.
    #[must_use]
    pub fn retry_at(&self) -> Option<Duration> {
        self.retry_at
    }

    /// A type needs a full listing (rules R21, R28).
    pub fn want_listing(&mut self, entity_type: &str) {
        self.listings.insert(entity_type.to_owned());
    }

    /// Wants full listings of these types, as far as they are configured.
    pub fn distrust(&mut self, settings: &Settings, types: &[String]) {
        for name in settings.type_names().filter(|name| types.iter().any(|named| named == name)) {
            self.want_listing(name);
        }
    }

    /// Wants the full listings that are owed, as the cursors say.
    pub fn want_owed(&mut self, cursors: &BTreeMap<String, Cursor>) {
        for (name, _) in cursors.iter().filter(|(_, cursor)| cursor.listing_owed) {
            self.want_listing(name);
        }
    }

    /// Plans the next full listing of a type.
    pub fn plan_listing(&mut self, now: &Now, entity_type: &str, after: Duration) {
        self.listing_at.insert(entity_type.to_owned(), now.mono + after);
    }

    /// Plans the regular full listings of types that have none planned (rule R28).
    pub fn plan_listings(&mut self, settings: &Settings, now: &Now, cursors: &BTreeMap<String, Cursor>) {
        for (salt, name) in settings.type_names().enumerate() {
            if self.listing_at.contains_key(name) {
                continue;
            }
            let interval = settings.reconcile_interval.mul_f64(now.between(100 + salt as u64, 0.5, 1.5));
            let age =
                cursors.get(name).and_then(|cursor| cursor.last_reconciled_at).map_or(0, |at| now.wall.millis_since(at).max(0));
            self.plan_listing(now, name, interval.saturating_sub(Duration::from_millis(age.unsigned_abs())));
        }
    }

    /// When the next pull that nobody asked for is due, and which types it is for; `online` is whether a session is up.
    #[must_use]
    pub fn due(&self, settings: &Settings, online: bool) -> Option<(Duration, Vec<String>)> {
        let catch_up: Vec<String> = settings.type_names().filter(|name| !self.fresh.contains(*name)).map(str::to_owned).collect();
        let gap = self.last_start.map_or(Duration::ZERO, |start| start + settings.pull_gap);
        let (at, types) = if catch_up.is_empty() {
            let hinted = self.dirty.values().min().map(|first| (*first + settings.hint_delay).max(gap));
            let interval = if online { settings.interval } else { settings.http_interval };
            let floor = self.last_end.map_or(Duration::ZERO, |end| end + interval.mul_f64(self.spread.max(0.8)));
            match hinted.filter(|at| *at <= floor) {
                Some(at) => (at, self.dirty.keys().cloned().collect()),
                None => (floor, settings.type_names().map(str::to_owned).collect()),
            }
        } else {
            (Duration::ZERO, catch_up)
        };
        let types: Vec<String> = types.into_iter().filter(|name| settings.rules(name).is_some()).collect();
        (!types.is_empty()).then(|| (self.not_before(at), types))
    }

    /// The type that needs a full listing before anything else, and when it may be asked for.
    #[must_use]
    pub fn listing_wanted(&self, settings: &Settings) -> Option<(Duration, String)> {
        let gap = self.last_start.map_or(Duration::ZERO, |start| start + settings.pull_gap);
        self.listings.first().map(|name| (self.not_before(gap), name.clone()))
    }

    /// The type whose regular full listing comes next, and when.
    #[must_use]
    pub fn listing_planned(&self) -> Option<(Duration, String)> {
        let (name, at) = self.listing_at.iter().min_by_key(|(_, at)| **at)?;
        Some((self.not_before(*at), name.clone()))
    }

    /// After a failure nothing comes before its retry.
    fn not_before(&self, at: Duration) -> Duration {
        self.retry_at.map_or(at, |retry| at.max(retry))
    }

    /// A pull of these types begins: hints from here on ask for one more (rule R35).
    pub fn begun(&mut self, now: &Now, types: &[String], listing: bool) {
        for name in types {
            self.dirty.remove(name);
            if listing {
                self.listings.remove(name);
                self.listing_at.remove(name);
            }
        }
        self.last_start = Some(now.mono);
    }

    /// A pull of a type ended whole; `fresh` says whether it began under the present connection.
    pub fn ended(&mut self, now: &Now, entity_type: &str, fresh: bool) {
        self.last_end = Some(now.mono);
        self.spread = now.between(7, 0.8, 1.2);
        self.retry_at = None;
        self.backoff.reset();
        if fresh {
            self.fresh.insert(entity_type.to_owned());
        }
    }

    /// Groups types by how far back they have to ask (rule R20).
    #[must_use]
    pub fn groups(
        settings: &Settings,
        cursors: &BTreeMap<String, Cursor>,
        types: &[String],
        full: bool,
    ) -> VecDeque<(Timestamp, Vec<String>)> {
        let overlap_ms = if settings.without.is(Mutation::NoOverlap) { 0 } else { settings.overlap_ms };
        let since = |name: &String| match cursors.get(name).and_then(|cursor| cursor.high_water) {
            Some(high_water) if !full => high_water.plus_millis(-overlap_ms),
            _ => Timestamp::EPOCH,
        };
        let mut starts: Vec<(Timestamp, String)> = types.iter().map(|name| (since(name), name.clone())).collect();
        starts.sort();
        let mut groups: VecDeque<(Timestamp, Vec<String>)> = VecDeque::new();
        for (start, name) in starts {
            match groups.back_mut() {
                Some((first, names)) if start.millis_since(*first) <= SHARED_MS => names.push(name),
                _ => groups.push_back((start, vec![name])),
            }
        }
        groups
    }
}
