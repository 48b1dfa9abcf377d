//! The rows of one tenant, and what the database would refuse.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::failure::Failure;
use crate::schema::{self, END_USER};
use crate::stamp::Stamp;

/// One stored row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) columns: Map<String, Value>,
    pub(crate) client_user: Option<String>,
    pub(crate) sync_status: String,
    pub(crate) created_at: Stamp,
    pub(crate) updated_at: Stamp,
}

impl Row {
    /// The row that an insert of `sent` would store, with a new id where `sent` has none that is a UUID.
    pub(crate) fn from_sent(entity_type: &str, sent: &Map<String, Value>, stamp: Stamp) -> Result<Self, Failure> {
        let columns = schema::coerce(entity_type, sent)?;
        let client_user = if entity_type == END_USER { None } else { schema::client_user(sent)? };
        let id = sent_id(sent).unwrap_or_else(|| Uuid::new_v4().to_string());
        Ok(Self { id, columns, client_user, sync_status: "synced".into(), created_at: stamp, updated_at: stamp })
    }

    /// Whether a pull returns it.
    pub(crate) fn is_visible(&self) -> bool {
        self.columns.get("is_deleted").and_then(Value::as_i64) == Some(0)
    }

    /// The row as pulls return it: without its link.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("id".into(), self.id.clone().into());
        json.extend(self.columns.clone());
        json.insert("sync_status".into(), self.sync_status.clone().into());
        json.insert("createdAt".into(), self.created_at.to_string().into());
        json.insert("updatedAt".into(), self.updated_at.to_string().into());
        Value::Object(json)
    }

    /// The row as the push that inserted it gets it back: with its link.
    pub(crate) fn to_inserted_json(&self) -> Value {
        let mut json = self.to_json();
        if let (Some(row), Some(id)) = (json.as_object_mut(), &self.client_user) {
            row.insert("clientUser".into(), serde_json::json!({ "id": id }));
        }
        json
    }
}

/// The lower-case id of a sent row; `None` if it has none that is a UUID.
pub(crate) fn sent_id(sent: &Map<String, Value>) -> Option<String> {
    sent.get("id").and_then(Value::as_str).and_then(schema::canonical_id)
}

/// How often an id was written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Writes {
    /// Pushed rows with this id, whatever became of them.
    pub received: u32,
    /// Stored as a new row: more than 1 needs a deletion in between.
    pub inserted: u32,
    /// Found there already: only `updatedAt` was set.
    pub touched: u32,
}

/// The rows of one tenant by type and id.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<String, HashMap<String, Row>>,
    emails: HashMap<String, String>,
    writes: BTreeMap<(String, String), Writes>,
}

impl Table {
    pub(crate) fn get(&self, entity_type: &str, id: &str) -> Option<&Row> {
        self.rows.get(entity_type)?.get(id)
    }

    /// Newest first; equal stamps by id, so that the order is always the same.
    pub(crate) fn newest_first(&self, entity_type: &str, keep: impl Fn(&Row) -> bool) -> Vec<&Row> {
        let rows = self.rows.get(entity_type).into_iter().flat_map(HashMap::values);
        let mut rows: Vec<&Row> = rows.filter(|row| keep(row)).collect();
        rows.sort_unstable_by(|a, b| b.updated_at.cmp(&a.updated_at).then_with(|| a.id.cmp(&b.id)));
        rows
    }

    /// Sets `updatedAt` of a row that exists: all that a push does to it.
    pub(crate) fn touch(&mut self, entity_type: &str, id: &str, stamp: Stamp) -> Option<Row> {
        let row = self.rows.get_mut(entity_type)?.get_mut(id)?;
        row.updated_at = stamp;
        let row = row.clone();
        self.writes(entity_type, id).touched += 1;
        Some(row)
    }

    /// Commits a new row, with the checks that the database makes at that moment.
    pub(crate) fn insert(&mut self, entity_type: &str, row: Row) -> Result<(), Failure> {
        if self.get(entity_type, &row.id).is_some() {
            return Err(Failure::PrimaryKey);
        }
        if let Some(user) = &row.client_user
            && self.get(END_USER, user).is_none()
        {
            return Err(Failure::ForeignKey);
        }
        self.claim_email(entity_type, &row)?;
        self.writes(entity_type, &row.id).inserted += 1;
        self.rows.entry(entity_type.to_owned()).or_default().insert(row.id.clone(), row);
        Ok(())
    }

    /// Puts a changed row in the place of the old one.
    pub(crate) fn replace(&mut self, entity_type: &str, row: Row) -> Result<(), Failure> {
        self.claim_email(entity_type, &row)?;
        let kept = email_of(entity_type, &row).map(str::to_owned);
        self.emails.retain(|email, id| *id != row.id || Some(email) == kept.as_ref());
        self.rows.entry(entity_type.to_owned()).or_default().insert(row.id.clone(), row);
        Ok(())
    }

    /// Removes a row without trace.
    pub(crate) fn erase(&mut self, entity_type: &str, id: &str) -> Option<Row> {
        let row = self.rows.get_mut(entity_type)?.remove(id)?;
        if entity_type == END_USER {
            self.emails.retain(|_, owner| owner != id);
        }
        Some(row)
    }

    pub(crate) fn writes(&mut self, entity_type: &str, id: &str) -> &mut Writes {
        self.writes.entry((entity_type.to_owned(), id.to_owned())).or_default()
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        self.rows.iter().map(|(entity_type, rows)| (entity_type.clone(), rows.len())).collect()
    }

    fn claim_email(&mut self, entity_type: &str, row: &Row) -> Result<(), Failure> {
        let Some(email) = email_of(entity_type, row) else { return Ok(()) };
        match self.emails.get(email) {
            Some(owner) if *owner != row.id => Err(Failure::UniqueEmail),
            _ => {
                self.emails.insert(email.to_owned(), row.id.clone());
                Ok(())
            }
        }
    }
}

fn email_of<'a>(entity_type: &str, row: &'a Row) -> Option<&'a str> {
    if entity_type == END_USER { row.columns.get("email")?.as_str() } else { None }
}
