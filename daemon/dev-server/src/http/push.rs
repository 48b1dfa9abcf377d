//! `POST /api/client/sync/push`: row by row, each in a transaction of its own, and the server's row always wins.

use std::time::Duration;

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::{error, ok};
use super::intercept::Call;
use super::validate;
use crate::failure::Failure;
use crate::faults::Fault;
use crate::notification::Notification;
use crate::world::{Row, World, sent_id};

pub(super) async fn push(Extension(call): Extension<Call>) -> Response {
    let tenant = match validate::tenant(&call) {
        Ok(tenant) => tenant.to_owned(),
        Err(refusal) => return *refusal,
    };
    let changes = match validate::changes(&call.body) {
        Ok(changes) => changes,
        Err(invalid) => return invalid.answer(),
    };
    let world = &call.world;
    world.serve_request().await;
    tokio::time::sleep(world.settings().latency.push).await;

    let mut push = Push { world, tenant, faults: &call.faults, stored: Vec::new(), types: Vec::new() };
    let failure = push.store(&changes).await.err();
    push.end(failure.as_ref());
    // The sockets are written to before the answer is.
    tokio::task::yield_now().await;
    match failure {
        Some(failure) => error(StatusCode::INTERNAL_SERVER_ERROR, &failure.message()),
        None => ok(&json!({ "success": true, "data": push.stored, "syncTimestamp": world.now().to_string() })),
    }
}

struct Push<'a> {
    world: &'a World,
    tenant: String,
    faults: &'a [Fault],
    stored: Vec<Value>,
    types: Vec<String>,
}

impl Push<'_> {
    async fn store(&mut self, changes: &[(&str, &Map<String, Value>)]) -> Result<(), Failure> {
        for (entity_type, sent) in changes {
            self.interrupted(sent)?;
            tokio::time::sleep(self.world.settings().latency.row).await;
            let (row, notification) = self.upsert(entity_type, sent).await?;
            self.notify(&notification);
            self.stored.push(row);
            if !self.types.iter().any(|known| known == entity_type) {
                self.types.push((*entity_type).to_owned());
            }
            // Lets the sockets send while the push is still under way.
            tokio::task::yield_now().await;
        }
        let whole =
            self.faults.iter().find_map(|fault| if let Fault::StoreThenFail { failure } = fault { Some(failure) } else { None });
        whole.map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Faults that end the push before this row.
    fn interrupted(&self, sent: &Map<String, Value>) -> Result<(), Failure> {
        for fault in self.faults {
            match fault {
                Fault::StorePrefixThenFail { rows, failure } if *rows == self.stored.len() => return Err(failure.clone()),
                Fault::PoisonRow { id, failure } if sent_id(sent).is_some_and(|sent| sent.eq_ignore_ascii_case(id)) => {
                    return Err(failure.clone());
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn upsert(&self, entity_type: &str, sent: &Map<String, Value>) -> Result<(Value, Notification), Failure> {
        if crate::schema::columns(entity_type).is_none() {
            return Err(Failure::NotRegistered(entity_type.to_owned()));
        }
        let stamp = self.world.now().plus(self.ahead());
        if let Some(id) = sent_id(sent) {
            self.world.write(&self.tenant, |table| table.writes(entity_type, &id).received += 1);
            if self.world.read(&self.tenant, |table| table.get(entity_type, &id).is_some()) {
                self.commit_delay().await;
                let old = self.world.write(&self.tenant, |table| table.touch(entity_type, &id, stamp));
                if let Some(old) = old.map(|row| row.to_json()) {
                    return Ok((old.clone(), Notification::existed(entity_type, &id, old)));
                }
            }
        }
        let row = Row::from_sent(entity_type, sent, stamp)?;
        let (json, id) = (row.to_inserted_json(), row.id.clone());
        // Between the look-up and the insert a parallel push can write the same row.
        self.commit_delay().await;
        self.world.write(&self.tenant, |table| table.insert(entity_type, row))?;
        Ok((json, Notification::inserted(entity_type, &id)))
    }

    fn ahead(&self) -> Duration {
        let ahead = self.faults.iter().find_map(|fault| if let Fault::FutureStamp { ms } = fault { Some(*ms) } else { None });
        Duration::from_millis(ahead.unwrap_or_default())
    }

    async fn commit_delay(&self) {
        let slow = self.faults.iter().find_map(|fault| if let Fault::SlowCommit { ms } = fault { Some(*ms) } else { None });
        match slow {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => tokio::task::yield_now().await,
        }
    }

    fn end(&self, failure: Option<&Failure>) {
        match failure {
            Some(failure) => self.notify(&Notification::failed(&failure.message())),
            None => self.notify(&Notification::batch(self.stored.len(), &self.types)),
        }
        for fault in self.faults {
            if let Fault::NotificationStorm { notifications } = fault {
                let entity_type = self.types.first().map_or(crate::schema::END_USER, String::as_str);
                self.world.storm(&self.tenant, entity_type, *notifications);
            }
        }
    }

    fn notify(&self, notification: &Notification) {
        if !self.faults.contains(&Fault::MuteNotifications) {
            self.world.notify(&self.tenant, notification);
        }
    }
}

impl World {
    /// What every sync request costs before any work: a new database connection and a schema check.
    pub(super) async fn serve_request(&self) {
        let cost = self.settings().latency.request;
        if !cost.is_zero() {
            let _lane = self.lane.lock().await;
            tokio::time::sleep(cost).await;
        }
    }
}
