//! Edits that do not come through the server's push route.

use serde_json::{Map, Value};

use super::{Row, World};
use crate::failure::Failure;
use crate::notification::Notification;
use crate::stamp::Stamp;

/// Another device of a tenant, or its administrator: unlike a push it can change and delete rows that exist.
#[derive(Clone, Debug)]
#[must_use]
pub struct Device<'a> {
    world: &'a World,
    tenant: String,
    notify: bool,
    stamp: Option<Stamp>,
}

impl<'a> Device<'a> {
    pub(crate) fn new(world: &'a World, tenant: &str) -> Self {
        Self { world, tenant: tenant.to_owned(), notify: true, stamp: None }
    }

    /// From here on nobody is notified.
    pub fn quietly(self) -> Self {
        Self { notify: false, ..self }
    }

    /// From here on `updatedAt` is this, in the past or in the future.
    pub fn stamped(self, stamp: Stamp) -> Self {
        Self { stamp: Some(stamp), ..self }
    }

    /// Inserts a row; `is_deleted` is 0 unless given.
    ///
    /// # Errors
    /// What the database would refuse, an id that exists included.
    pub fn insert(&self, entity_type: &str, row: &Value) -> Result<Value, Failure> {
        let mut sent = object(row)?;
        sent.entry("is_deleted").or_insert_with(|| 0.into());
        let row = Row::from_sent(entity_type, &sent, self.now())?;
        self.world.write(&self.tenant, |table| table.insert(entity_type, row.clone()))?;
        self.tell(|| Notification::inserted(entity_type, &row.id));
        Ok(row.to_json())
    }

    /// Changes some columns of a row.
    ///
    /// # Errors
    /// What the database would refuse, and a row that does not exist.
    pub fn update(&self, entity_type: &str, id: &str, changes: &Value) -> Result<Value, Failure> {
        let changes = object(changes)?;
        let row = self.world.write(&self.tenant, |table| {
            let old = table.get(entity_type, id).ok_or_else(|| absent(entity_type, id))?;
            let mut sent = old.columns.clone();
            sent.extend(changes.clone());
            sent.insert("id".into(), id.into());
            let new = Row::from_sent(entity_type, &sent, self.now())?;
            let client_user = new.client_user.clone().or_else(|| old.client_user.clone());
            let row = Row { created_at: old.created_at, sync_status: old.sync_status.clone(), client_user, ..new };
            table.replace(entity_type, row.clone()).map(|()| row)
        })?;
        self.tell(|| Notification::existed(entity_type, id, row.to_json()));
        Ok(row.to_json())
    }

    /// Sets `is_deleted` to 1: the row leaves every pull.
    ///
    /// # Errors
    /// A row that does not exist.
    pub fn delete(&self, entity_type: &str, id: &str) -> Result<Value, Failure> {
        self.update(entity_type, id, &serde_json::json!({ "is_deleted": 1 }))
    }

    /// Removes a row from the database without trace or notification; false if there was none.
    pub fn erase(&self, entity_type: &str, id: &str) -> bool {
        self.world.write(&self.tenant, |table| table.erase(entity_type, id)).is_some()
    }

    /// Sets `sync_status` of a row, which no client can.
    ///
    /// # Errors
    /// A row that does not exist.
    pub fn set_sync_status(&self, entity_type: &str, id: &str, status: &str) -> Result<(), Failure> {
        self.world.write(&self.tenant, |table| {
            let old = table.get(entity_type, id).ok_or_else(|| absent(entity_type, id))?;
            let row = Row { sync_status: status.to_owned(), ..old.clone() };
            table.replace(entity_type, row)
        })
    }

    fn now(&self) -> Stamp {
        self.stamp.unwrap_or_else(|| self.world.now())
    }

    fn tell(&self, notification: impl FnOnce() -> Notification) {
        if self.notify {
            self.world.notify(&self.tenant, &notification());
        }
    }
}

fn object(value: &Value) -> Result<Map<String, Value>, Failure> {
    value.as_object().cloned().ok_or_else(|| Failure::Text("a row must be a JSON object".into()))
}

fn absent(entity_type: &str, id: &str) -> Failure {
    Failure::Text(format!("no {entity_type} has the id {id}"))
}
