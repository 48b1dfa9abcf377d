//! A model of the server: the measured behaviour and its faults, over virtual time, in one map.

use std::collections::{BTreeMap, BTreeSet};

use aesync_protocol::{Record, Timestamp};
use aesyncd::engine::admit::size;
use aesyncd::engine::effect::Request;
use aesyncd::engine::input::{Failure, FailureKind, RestEvent};
use serde_json::{Value, json};

/// What can be wrong with the server or the way to it, until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing listens.
    Down,
    /// Requests are carried out and never answered.
    DropAnswers,
    /// Requests hang until the client gives up, and are carried out.
    Hang,
    /// Pushes are carried out and answered with 500.
    AppliedThen500,
    /// Pushes stop after the first row, with 500.
    PrefixThen500,
    /// The database is away: 500 before any work.
    Passing500,
    /// Something else answers: a captive portal.
    Portal,
    /// An error on `end_user` is swallowed: an empty list.
    SwallowUsers,
    /// An error on `interactions` is swallowed.
    SwallowInteractions,
    /// Only every second row is listed.
    HalfListing,
    /// Pushes are answered with 200 and lost.
    LostAcks,
    /// The token is refused.
    Unauthorized,
    /// Commits show up to three seconds after their stamp.
    SlowCommits,
    /// No notification arrives.
    Deaf,
    /// Websockets are blocked.
    NoWebsocket,
}

pub const FAULTS: [Fault; 15] = [
    Fault::Down,
    Fault::DropAnswers,
    Fault::Hang,
    Fault::AppliedThen500,
    Fault::PrefixThen500,
    Fault::Passing500,
    Fault::Portal,
    Fault::SwallowUsers,
    Fault::SwallowInteractions,
    Fault::HalfListing,
    Fault::LostAcks,
    Fault::Unauthorized,
    Fault::SlowCommits,
    Fault::Deaf,
    Fault::NoWebsocket,
];

/// How long a commit takes to show under [`Fault::SlowCommits`], in milliseconds: within the overlap.
const SLOW: u64 = 3_000;
/// The most bytes that a push may have: the real server's wall, to scale.
pub const WALL: u64 = 4_096;

#[derive(Clone, Debug)]
pub struct Stored {
    pub fields: Record,
    stamp: i64,
    shows_at: i64,
}

/// A tenant's type and id.
pub type Place = (String, String, String);

#[derive(Debug, Default)]
pub struct Server {
    pub rows: BTreeMap<Place, Stored>,
    /// How often a row came into being.
    pub inserted: BTreeMap<Place, u32>,
    /// Every content that a row ever had.
    pub history: BTreeMap<Place, Vec<Record>>,
    /// Rows that went.
    pub erased: BTreeSet<Place>,
    /// Rows that a push was answered with, and that were lost.
    pub lost: BTreeSet<Place>,
    commits: u64,
    /// Pulls that asked for everything.
    pub listings: u64,
    /// What was asked for, in its order, and when.
    pub asked: Vec<(i64, Request)>,
    faults: BTreeMap<Fault, i64>,
    pub requests: u64,
}

/// What a request did: the answer, if there is one, and which types got a row or had one touched.
pub struct Done {
    pub answer: Option<Vec<RestEvent>>,
    pub notified: BTreeSet<String>,
}

impl Server {
    pub fn set(&mut self, fault: Fault, until: i64) {
        self.faults.insert(fault, until);
    }

    pub fn heal(&mut self) {
        self.faults.clear();
    }

    pub fn has(&self, fault: Fault, now: i64) -> bool {
        self.faults.get(&fault).is_some_and(|until| *until > now)
    }

    /// The rows that a client should end up with.
    pub fn visible(&self, tenant: &str, entity_type: &str) -> BTreeMap<String, Record> {
        self.rows
            .iter()
            .filter(|((owner, kind, _), row)| owner == tenant && kind == entity_type && shown(&row.fields))
            .map(|((_, _, id), row)| (id.clone(), row.fields.clone()))
            .collect()
    }

    /// Whether answers about a type lack rows.
    pub fn hides(&self, entity_type: &str, now: i64) -> bool {
        let swallowed = if entity_type == "end_user" { Fault::SwallowUsers } else { Fault::SwallowInteractions };
        self.has(Fault::HalfListing, now) || self.has(swallowed, now)
    }

    /// Whether a full listing has a row.
    pub fn shows(&self, place: &Place) -> bool {
        self.rows.get(place).is_some_and(|row| shown(&row.fields))
    }

    /// The rows that every answer since `asked_at` shows as they are.
    pub fn shown_since<'s>(
        &'s self,
        tenant: &'s str,
        entity_type: &'s str,
        asked_at: i64,
    ) -> impl Iterator<Item = (&'s String, &'s Record)> {
        let rows = self.rows.iter().filter(move |((owner, kind, _), row)| {
            owner == tenant && kind == entity_type && row.shows_at <= asked_at && shown(&row.fields)
        });
        rows.map(|((_, _, id), row)| (id, &row.fields))
    }

    /// How many rows have each e-mail address.
    pub fn emails(&self) -> BTreeMap<(&str, &str), u32> {
        let mut emails = BTreeMap::new();
        for ((tenant, _, _), row) in &self.rows {
            if let Some(email) = row.fields.get("email").and_then(Value::as_str) {
                *emails.entry((tenant.as_str(), email)).or_default() += 1;
            }
        }
        emails
    }

    /// Another device writes a row; `ahead` stamps it in the future.
    pub fn write(&mut self, tenant: &str, entity_type: &str, id: &str, fields: Record, now: i64, ahead: i64) {
        let place = (tenant.to_owned(), entity_type.to_owned(), id.to_owned());
        let shows_at = self.commit(now);
        if !self.rows.contains_key(&place) {
            *self.inserted.entry(place.clone()).or_default() += 1;
        }
        self.store(place, Stored { fields, stamp: now + ahead, shows_at });
    }

    /// When a row that is stamped now shows. Slow commits overtake each other.
    fn commit(&mut self, now: i64) -> i64 {
        self.commits += 1;
        let slow = self.has(Fault::SlowCommits, now);
        now + if slow { (self.commits * 1_733 % SLOW) as i64 } else { 0 }
    }

    fn store(&mut self, place: Place, row: Stored) {
        self.history.entry(place.clone()).or_default().push(row.fields.clone());
        self.rows.insert(place, row);
    }

    /// A row goes without a trace.
    pub fn erase(&mut self, tenant: &str, entity_type: &str, nth: usize) -> bool {
        let ids: Vec<Place> =
            self.visible(tenant, entity_type).into_keys().map(|id| (tenant.to_owned(), entity_type.to_owned(), id)).collect();
        // One always stays: an empty listing proves nothing, so the last row could never be seen to go.
        if ids.len() < 2 {
            return false;
        }
        let place = &ids[nth % ids.len()];
        self.erased.insert(place.clone());
        self.rows.remove(place).is_some()
    }

    /// Carries a request out.
    pub fn serve(&mut self, tenant: &str, request: &Request, now: i64) -> Done {
        self.requests += 1;
        self.asked.push((now, request.clone()));
        let mut notified = BTreeSet::new();
        let nothing = |event| Done { answer: Some(vec![event]), notified: BTreeSet::new() };
        if self.has(Fault::Down, now) {
            return nothing(failed(FailureKind::Unreachable));
        }
        if self.has(Fault::Portal, now) {
            return nothing(failed(FailureKind::NotOurs));
        }
        if self.has(Fault::Unauthorized, now) {
            return nothing(status(401, "Unauthorized"));
        }
        if self.has(Fault::Passing500, now) {
            return nothing(status(500, "connect ECONNREFUSED 127.0.0.1:5432"));
        }
        let answer = match request {
            Request::Push { changes } => vec![self.push(tenant, changes, now, &mut notified)],
            Request::Pull { entity_types, since } => self.pull(tenant, entity_types, *since, now),
            Request::PullPending { .. } => vec![status(400, "not modelled")],
        };
        let answer = if self.has(Fault::Hang, now) {
            vec![failed(FailureKind::TimedOut)]
        } else if self.has(Fault::DropAnswers, now) {
            vec![failed(FailureKind::Broken)]
        } else {
            answer
        };
        Done { answer: Some(answer), notified }
    }

    fn push(&mut self, tenant: &str, changes: &[(String, Vec<Record>)], now: i64, notified: &mut BTreeSet<String>) -> RestEvent {
        let mut rows = Vec::new();
        let bytes: u64 = changes.iter().flat_map(|(_, entities)| entities).map(size).sum();
        assert!(bytes <= WALL, "R7: a push of {bytes} bytes");
        for (entity_type, entities) in changes {
            for entity in entities {
                assert_eq!(entity["tenant"], json!(tenant), "I4: a change reached another tenant");
                if !rows.is_empty() && self.has(Fault::PrefixThen500, now) {
                    return status(500, "terminating connection due to administrator command");
                }
                match self.upsert(tenant, entity_type, entity, now) {
                    Ok(row) => rows.push(Value::Object(row)),
                    Err(message) => return status(500, message),
                }
                notified.insert(entity_type.clone());
            }
        }
        if self.has(Fault::AppliedThen500, now) {
            return status(500, "terminating connection due to administrator command");
        }
        RestEvent::Pushed { rows }
    }

    fn upsert(&mut self, tenant: &str, entity_type: &str, entity: &Record, now: i64) -> Result<Record, &'static str> {
        let known = entity.get("id").and_then(Value::as_str).map(str::to_owned);
        // Without an id the server makes one.
        let id = known.unwrap_or_else(|| format!("99999999-0000-4000-8000-{:012x}", self.rows.len()));
        let shows_at = self.commit(now);
        let place = (tenant.to_owned(), entity_type.to_owned(), id);
        if let Some(row) = self.rows.get_mut(&place) {
            // Server wins: the old row, with a new stamp.
            row.stamp = row.stamp.max(now);
            return Ok(stamped(&row.fields, row.stamp));
        }
        if entity.get("poison").is_some_and(|poison| *poison == json!(true)) {
            return Err("invalid input syntax for type timestamp: \"yesterday\"");
        }
        if let Some(parent) = entity.get("clientUser").and_then(|link| link["id"].as_str())
            && !self.rows.contains_key(&(tenant.to_owned(), "end_user".to_owned(), parent.to_owned()))
        {
            return Err("insert or update on table \"interactions\" violates foreign key constraint \"FK_1\"");
        }
        let mut fields = entity.clone();
        fields.remove("clientUser");
        fields.insert("id".to_owned(), json!(place.2));
        if self.has(Fault::LostAcks, now) {
            self.lost.insert(place);
            return Ok(stamped(&fields, now));
        }
        *self.inserted.entry(place.clone()).or_default() += 1;
        self.store(place, Stored { fields: fields.clone(), stamp: now, shows_at });
        Ok(stamped(&fields, now))
    }

    fn pull(&mut self, tenant: &str, types: &[String], since: Timestamp, now: i64) -> Vec<RestEvent> {
        let mut events = Vec::new();
        self.listings += u64::from(since == Timestamp::EPOCH);
        for entity_type in types {
            let swallowed = if entity_type == "end_user" { Fault::SwallowUsers } else { Fault::SwallowInteractions };
            if self.has(swallowed, now) {
                continue;
            }
            let mut rows: Vec<(i64, Record)> = self
                .rows
                .iter()
                .filter(|((owner, kind, _), row)| {
                    owner == tenant
                        && kind == entity_type
                        && row.stamp > since.as_millis()
                        && row.shows_at <= now
                        && shown(&row.fields)
                })
                .map(|(_, row)| (row.stamp, stamped(&row.fields, row.stamp)))
                .collect();
            rows.sort_by_key(|(stamp, _)| -stamp);
            let half = self.has(Fault::HalfListing, now);
            let rows: Vec<Record> =
                rows.into_iter().enumerate().filter(|(n, _)| !half || n % 2 == 0).map(|(_, (_, row))| row).collect();
            for page in rows.chunks(3) {
                events.push(RestEvent::Rows { entity_type: entity_type.clone(), rows: page.to_vec() });
            }
        }
        events.push(RestEvent::PullDone { sync_timestamp: Timestamp::from_millis(now), listed: types.to_vec() });
        events
    }
}

fn shown(fields: &Record) -> bool {
    fields.get("is_deleted") == Some(&json!(0))
}

fn stamped(fields: &Record, stamp: i64) -> Record {
    let mut row = fields.clone();
    row.insert("updatedAt".to_owned(), json!(Timestamp::from_millis(stamp).to_string()));
    row
}

fn failed(kind: FailureKind) -> RestEvent {
    RestEvent::Failed(Failure { detail: format!("{kind:?}"), kind })
}

fn status(status: u16, message: &str) -> RestEvent {
    failed(FailureKind::Status { status, message: Some(message.to_owned()), retry_after: None })
}
