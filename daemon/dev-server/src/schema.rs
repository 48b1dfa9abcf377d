//! The registered entity types and their columns.
//!
//! | type | required | optional |
//! |---|---|---|
//! | `end_user` | `email` (unique in the tenant) | `name phone password address is_deleted` |
//! | `interactions` | `type title description date` | `status is_deleted`, and the link `clientUser: {"id"}` |
//!
//! Every row also has `id`, `createdAt`, `updatedAt` and `sync_status`, which only the server sets (`id` is taken from the
//! client when it is a UUID). A column that is not listed is dropped without a word. `is_deleted` is a small integer: 0 is
//! visible, anything else and NULL is not.

use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::failure::Failure;
use crate::stamp::Stamp;

/// The entity type of the tenant's own users.
pub const END_USER: &str = "end_user";
/// The entity type of what happened with them.
pub const INTERACTIONS: &str = "interactions";
/// The registered entity types.
pub const ENTITY_TYPES: [&str; 2] = [END_USER, INTERACTIONS];

/// How the database stores a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `character varying`; numbers, booleans and objects are stored as their JSON text.
    Text,
    /// `smallint`.
    SmallInt,
    /// `timestamp`; comes back as ISO 8601 with milliseconds and `Z`.
    Timestamp,
}

/// One column that a client may set.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether NULL is refused.
    pub required: bool,
}

const fn column(name: &'static str, kind: Kind, required: bool) -> Column {
    Column { name, kind, required }
}

const END_USER_COLUMNS: &[Column] = &[
    column("email", Kind::Text, true),
    column("name", Kind::Text, false),
    column("phone", Kind::Text, false),
    column("password", Kind::Text, false),
    column("address", Kind::Text, false),
    column("is_deleted", Kind::SmallInt, false),
];

const INTERACTIONS_COLUMNS: &[Column] = &[
    column("type", Kind::Text, true),
    column("title", Kind::Text, true),
    column("description", Kind::Text, true),
    column("date", Kind::Timestamp, true),
    column("status", Kind::Text, false),
    column("is_deleted", Kind::SmallInt, false),
];

/// The columns of a registered type that a client may set.
pub fn columns(entity_type: &str) -> Option<&'static [Column]> {
    match entity_type {
        END_USER => Some(END_USER_COLUMNS),
        INTERACTIONS => Some(INTERACTIONS_COLUMNS),
        _ => None,
    }
}

/// The known columns of a row as the database would store them, all of them, NULL where the client gave none.
///
/// # Errors
/// The first thing that the database would refuse: a missing email, a value of the wrong kind, then a NULL.
pub fn coerce(entity_type: &str, sent: &Map<String, Value>) -> Result<Map<String, Value>, Failure> {
    let columns = columns(entity_type).ok_or_else(|| Failure::NotRegistered(entity_type.to_owned()))?;
    let blank =
        |value: Option<&Value>| matches!(value, None | Some(Value::Null | Value::Bool(false))) || value == Some(&"".into());
    if entity_type == END_USER && blank(sent.get("email")) {
        return Err(Failure::EmailRequired);
    }
    let mut row = Map::new();
    for column in columns {
        row.insert(column.name.to_owned(), store(column.kind, sent.get(column.name).unwrap_or(&Value::Null))?);
    }
    match columns.iter().find(|column| column.required && row.get(column.name).is_none_or(Value::is_null)) {
        Some(column) => Err(Failure::NotNull(column.name.to_owned(), entity_type.to_owned())),
        None => Ok(row),
    }
}

/// The `end_user` that an interaction is linked to by `clientUser: {"id"}`.
///
/// # Errors
/// An id that is no UUID.
pub fn client_user(sent: &Map<String, Value>) -> Result<Option<String>, Failure> {
    match sent.get("clientUser").and_then(|user| user.get("id")) {
        None | Some(Value::Null) => Ok(None),
        Some(id) => {
            let text = text_of(id);
            canonical_id(&text).map(Some).ok_or_else(|| Failure::InvalidSyntax("uuid".into(), text))
        }
    }
}

/// The lower-case form of a hyphenated UUID; `None` for anything else.
pub fn canonical_id(text: &str) -> Option<String> {
    let uuid = Uuid::parse_str(text).ok()?;
    (text.len() == 36).then(|| uuid.hyphenated().to_string())
}

fn store(kind: Kind, value: &Value) -> Result<Value, Failure> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let text = text_of(value);
    if text.contains('\0') {
        return Err(Failure::InvalidBytes);
    }
    match kind {
        Kind::Text => Ok(Value::String(text)),
        Kind::SmallInt => {
            let number = text.trim().parse::<i16>().map_err(|_| Failure::InvalidSyntax("smallint".into(), text))?;
            Ok(Value::Number(Number::from(number)))
        }
        Kind::Timestamp => {
            let stamp = value.as_str().and_then(Stamp::parse).ok_or_else(|| Failure::InvalidSyntax("timestamp".into(), text))?;
            Ok(Value::String(stamp.to_string()))
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
