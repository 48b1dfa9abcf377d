//! What the server tells the sockets of a tenant.

use serde_json::{Map, Value, json};

use crate::stamp::Stamp;

/// A `sync_notification`; missing parts are left out of the JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// `data_available`, `sync_complete`, `sync_error`, `conflict_detected` or anything else.
    pub kind: String,
    /// An entity type or `batch`.
    pub entity_type: String,
    /// The row it is about.
    pub entity_id: Option<String>,
    /// For humans.
    pub message: String,
    /// The full row, or `{count, entityTypes}` for a batch.
    pub data: Option<Value>,
}

impl Notification {
    /// A row was inserted.
    pub fn inserted(entity_type: &str, id: &str) -> Self {
        Self::about("data_available", entity_type, Some(id), format!("New {entity_type} data available"), None)
    }

    /// A row already existed; `row` is sent in full.
    pub fn existed(entity_type: &str, id: &str, row: Value) -> Self {
        Self::about("sync_complete", entity_type, Some(id), format!("{entity_type} synced"), Some(row))
    }

    /// The end of a push of `count` rows.
    pub fn batch(count: usize, entity_types: &[String]) -> Self {
        let data = json!({ "count": count, "entityTypes": entity_types });
        Self::about("sync_complete", "batch", None, format!("Batch sync completed: {count} changes"), Some(data))
    }

    /// A push that failed.
    pub fn failed(message: &str) -> Self {
        Self::about("sync_error", "batch", None, message.to_owned(), None)
    }

    fn about(kind: &str, entity_type: &str, id: Option<&str>, message: String, data: Option<Value>) -> Self {
        Self { kind: kind.into(), entity_type: entity_type.into(), entity_id: id.map(Into::into), message, data }
    }

    pub(crate) fn to_json(&self, now: Stamp) -> Value {
        let mut json = Map::new();
        json.insert("type".into(), self.kind.clone().into());
        json.insert("entityType".into(), self.entity_type.clone().into());
        if let Some(id) = &self.entity_id {
            json.insert("entityId".into(), id.clone().into());
        }
        json.insert("message".into(), self.message.clone().into());
        json.insert("timestamp".into(), now.to_string().into());
        if let Some(data) = &self.data {
            json.insert("data".into(), data.clone());
        }
        Value::Object(json)
    }
}
