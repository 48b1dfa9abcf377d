//! What may enter the outbox: refuse here what the server would refuse or hide (rules R3, R6).

use aesync_protocol::{Error, ErrorCode, Record};
use serde::Serialize;
use serde_json::Value;

use super::settings::{Settings, TypeRules};
use crate::spelling::nearest;

/// An entity that is fit to be enqueued, as far as it can be told without the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// Its id in lower case; `None` when one is to be minted.
    pub id: Option<String>,
    /// Its fields, with `is_deleted` set and the links in lower case; without `id`.
    pub fields: Record,
    /// What the application should know.
    pub warnings: Vec<String>,
}

/// Where an entity stands in a push, for error messages.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its type.
    pub entity_type: &'a str,
    /// Its position within its type's array, from 0.
    pub index: usize,
}

impl Place<'_> {
    /// An `invalid_entity` error about this place. Without a field it is about the entity as a whole, and `field` is empty.
    #[must_use]
    pub fn invalid(&self, field: Option<&str>, reason: &str, hint: &str) -> Error {
        let at = field.map(|field| format!(", field {field:?}")).unwrap_or_default();
        Error::new(ErrorCode::InvalidEntity, format!("{}[{}]{at}: {reason}; nothing was enqueued", self.entity_type, self.index))
            .with("entityType", self.entity_type)
            .with("index", self.index)
            .with("field", field.unwrap_or_default())
            .with("reason", reason)
            .hint(hint)
    }
}

/// Checks one entity of a push.
///
/// # Errors
/// `invalid_entity` with the place, the field and the reason.
pub fn admit(rules: &TypeRules, place: Place<'_>, value: &Value) -> Result<Admitted, Error> {
    let Value::Object(object) = value else {
        return Err(place.invalid(None, "the entity is no JSON object", "send each entity as an object of its fields"));
    };
    let mut fields = object.clone();
    let id = match fields.remove("id") {
        None | Some(Value::Null) => None,
        Some(id) => Some(uuid_in(place, "id", &id)?),
    };
    if let Some(path) = find_nul(&fields) {
        return Err(place.invalid(
            Some(&path),
            "it contains a NUL character, which the server's database refuses",
            "remove the character",
        ));
    }
    if let Some(parent) = &rules.parent {
        link_in(place, &parent.field, &mut fields)?;
    }
    if fields.get("is_deleted").is_none_or(Value::is_null) {
        // Rows without it are NULL on the server and never appear in any pull.
        fields.insert("is_deleted".to_owned(), Value::from(0));
    }
    let mut warnings = Vec::new();
    if !rules.known {
        warnings.push(format!(
            "{:?} is not one of the server's documented entity types: what it requires is not known, so nothing was checked",
            place.entity_type
        ));
    }
    Ok(Admitted { id, fields, warnings })
}

/// Checks that a new entity has what the server requires.
///
/// # Errors
/// `invalid_entity` with the first field that is missing.
pub fn require(rules: &TypeRules, place: Place<'_>, fields: &Record) -> Result<(), Error> {
    for field in &rules.required {
        let missing = fields.get(field).is_none_or(|value| value.is_null() || value.as_str() == Some(""));
        if missing {
            let reason = format!("a new {} needs it", place.entity_type);
            return Err(place.invalid(Some(field), &reason, "set the field, or give the id of an entity that exists"));
        }
    }
    Ok(())
}

/// Checks that an entity is not larger than what the server takes.
///
/// # Errors
/// `too_large` with the size and the limit.
pub fn fit(settings: &Settings, place: Place<'_>, fields: &Record) -> Result<u64, Error> {
    let bytes = size(fields);
    if bytes > settings.entity_bytes {
        return Err(Error::new(
            ErrorCode::TooLarge,
            format!(
                "{}[{}] is {bytes} bytes as JSON, and the server takes {} at most; nothing was enqueued",
                place.entity_type, place.index, settings.entity_bytes
            ),
        )
        .with("entityType", place.entity_type)
        .with("index", place.index)
        .with("bytes", bytes)
        .with("limit", settings.entity_bytes)
        .hint("shorten it, or split it into several entities"));
    }
    Ok(bytes)
}

/// The size of a value as JSON, in bytes, counted without building the text.
#[must_use]
pub fn size<T: Serialize>(value: &T) -> u64 {
    struct Counter(u64);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len() as u64);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        // Can't happen: records and changes have text keys, and the counter never fails. The largest size is refused rather than sent.
        Err(_) => u64::MAX,
    }
}

/// The error for an entity type that is not configured.
#[must_use]
pub fn unknown_type(settings: &Settings, entity_type: &str) -> Error {
    let shown: String = entity_type.chars().take(64).collect();
    let known = settings.type_names().collect::<Vec<_>>().join(", ");
    let near = nearest(&shown, settings.type_names()).map_or_else(String::new, |near| format!("did you mean {near}? Else "));
    Error::new(ErrorCode::InvalidEntity, format!("{shown:?} is not among the configured entity types: {known}"))
        .with("entityType", shown.as_str())
        .with("reason", "the entity type is not configured")
        .hint(format!("{near}use one of {known}, or add it to sync.entity_types in aesyncd.toml and restart the daemon"))
}

/// A UUID as PostgreSQL writes it: in lower case, with hyphens.
fn uuid_in(place: Place<'_>, field: &str, value: &Value) -> Result<String, Error> {
    let text = value.as_str().unwrap_or_default();
    match (text.len(), uuid::Uuid::try_parse(text)) {
        (36, Ok(id)) => Ok(id.hyphenated().to_string()),
        _ => {
            // The server would make an id of its own and not say so: a retry would make a second row.
            let reason = "it is no UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
            Err(place.invalid(Some(field), reason, "send a UUID, or no id at all to have one minted"))
        }
    }
}

/// Checks a link to a parent, and writes its id in lower case.
fn link_in(place: Place<'_>, field: &str, fields: &mut Record) -> Result<(), Error> {
    let Some(link) = fields.get_mut(field).filter(|link| !link.is_null()) else { return Ok(()) };
    let Some(id) = link.as_object_mut().and_then(|link| link.get_mut("id")) else {
        return Err(place.invalid(Some(field), "a link is an object with the id of the parent", "send {\"id\": \"<uuid>\"}"));
    };
    *id = Value::String(uuid_in(place, &format!("{field}.id"), id)?);
    Ok(())
}

/// The id that a record links to.
#[must_use]
pub fn parent_id<'r>(rules: &TypeRules, fields: &'r Record) -> Option<&'r str> {
    fields.get(&rules.parent.as_ref()?.field)?.get("id")?.as_str()
}

/// The path of the first text or field name with a NUL character in it.
fn find_nul(record: &Record) -> Option<String> {
    fn within(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(within),
            Value::Object(object) => object.iter().any(|(name, value)| name.contains('\0') || within(value)),
            _ => false,
        }
    }
    record.iter().find(|(name, value)| name.contains('\0') || within(value)).map(|(name, _)| name.replace('\0', "\\u0000"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        Settings::new("http://127.0.0.1", None, &["end_user", "interactions", "orders"])
    }

    fn admitted(entity_type: &str, value: &Value) -> Result<Admitted, Error> {
        let settings = settings();
        let rules = settings.rules(entity_type).expect("a configured type");
        admit(rules, Place { entity_type, index: 3 }, value)
    }

    #[test]
    fn an_unknown_type_is_told_with_the_one_that_was_probably_meant() {
        let hint = |word: &str| unknown_type(&settings(), word).data.and_then(|details| details.hint).expect("a hint");
        assert!(hint("intractions").starts_with("did you mean interactions? Else use one of "));
        assert!(hint("weather").starts_with("use one of "));
    }

    #[test]
    fn ids_become_lower_case_and_is_deleted_is_added() {
        let entity = json!({"id": "AAAAAAAA-0000-4000-8000-00000000000A", "email": "a@example.com"});
        let admitted = admitted("end_user", &entity).expect("valid");
        assert_eq!(admitted.id.as_deref(), Some("aaaaaaaa-0000-4000-8000-00000000000a"));
        assert_eq!(Value::Object(admitted.fields), json!({"email": "a@example.com", "is_deleted": 0}));
    }

    #[test]
    fn what_the_server_would_refuse_is_refused_with_its_place() {
        for (entity_type, value, field) in [
            ("end_user", json!("text"), Some("")),
            ("end_user", json!(["a"]), Some("")),
            ("end_user", json!({"id": 7}), Some("id")),
            ("end_user", json!({"id": "seven"}), Some("id")),
            ("end_user", json!({"id": "{aaaaaaaa-0000-4000-8000-00000000000a}"}), Some("id")),
            ("end_user", json!({"id": "aaaaaaaa00004000800000000000000a"}), Some("id")),
            ("end_user", json!({"name": "a\u{0}b"}), Some("name")),
            ("end_user", json!({"tags": [{"x": "a\u{0}b"}]}), Some("tags")),
            ("interactions", json!({"clientUser": "u"}), Some("clientUser")),
            ("interactions", json!({"clientUser": {"id": "u"}}), Some("clientUser.id")),
        ] {
            let error = admitted(entity_type, &value).expect_err("refused");
            assert!(error.is(ErrorCode::InvalidEntity), "{value}");
            let details = error.data.expect("particulars");
            assert_eq!(details.more.get("index"), Some(&json!(3)), "{value}");
            assert_eq!(details.more.get("field").and_then(Value::as_str), field, "{value}");
            assert!(details.more.contains_key("reason") && details.hint.is_some(), "{value}");
        }
    }

    #[test]
    fn a_new_entity_needs_its_required_fields() {
        let settings = settings();
        let rules = settings.rules("interactions").expect("a configured type");
        let place = Place { entity_type: "interactions", index: 0 };
        let whole = json!({"type": "call", "title": "t", "description": "d", "date": "2026-01-01"});
        let whole = whole.as_object().expect("an object");
        assert_eq!(require(rules, place, whole), Ok(()));
        for field in ["type", "title", "description", "date"] {
            let mut part = whole.clone();
            part.insert(field.to_owned(), Value::Null);
            let error = require(rules, place, &part).expect_err("refused");
            assert_eq!(error.data.expect("particulars").more.get("field"), Some(&json!(field)));
        }
    }

    #[test]
    fn a_type_that_nothing_is_known_of_passes_with_a_warning() {
        assert_eq!(admitted("orders", &json!({"x": 1})).expect("valid").warnings.len(), 1);
    }

    #[test]
    fn an_entity_over_the_limit_is_refused_by_its_size_in_bytes_not_characters() {
        let mut settings = settings();
        settings.entity_bytes = 20;
        let place = Place { entity_type: "end_user", index: 0 };
        let record = |text: &str| json!({"n": text}).as_object().cloned().expect("an object");
        assert_eq!(fit(&settings, place, &record("aaaaaaaaaaaa")), Ok(20));
        assert!(fit(&settings, place, &record("ääääääää")).expect_err("too large").is(ErrorCode::TooLarge));
    }
}
