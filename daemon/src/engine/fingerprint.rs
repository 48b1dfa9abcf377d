//! A hash of an entity's content, by which an unchanged row is told from a changed one (rule R24).

use aesync_protocol::Record;
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

/// What the server keeps for itself: a row that differs in nothing else has not changed.
pub const BOOKKEEPING: [&str; 2] = ["updatedAt", "sync_status"];

/// The hash of a record without its [`BOOKKEEPING`] fields; the order of fields does not matter.
#[must_use]
pub fn fingerprint(record: &Record) -> u128 {
    let mut hasher = Xxh3::new();
    hash_object(&mut hasher, record, &BOOKKEEPING);
    hasher.digest128()
}

/// The hash of any JSON value; the order of fields does not matter.
#[must_use]
pub fn value_hash(value: &Value) -> u128 {
    let mut hasher = Xxh3::new();
    hash_value(&mut hasher, value);
    hasher.digest128()
}

fn hash_object(hasher: &mut Xxh3, object: &Record, skipped: &[&str]) {
    let mut fields: Vec<(&String, &Value)> = object.iter().filter(|(name, _)| !skipped.contains(&name.as_str())).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    hasher.update(b"{");
    for (name, value) in fields {
        hash_text(hasher, name);
        hash_value(hasher, value);
    }
    hasher.update(b"}");
}

fn hash_value(hasher: &mut Xxh3, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Number(number) => {
            hasher.update(b"#");
            hash_text(hasher, &number.to_string());
        }
        Value::String(text) => {
            hasher.update(b"\"");
            hash_text(hasher, text);
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                hash_value(hasher, item);
            }
            hasher.update(b"]");
        }
        Value::Object(object) => hash_object(hasher, object, &[]),
    }
}

/// Length first, so that no two sequences of texts run into the same bytes.
fn hash_text(hasher: &mut Xxh3, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> u128 {
        fingerprint(value.as_object().expect("an object"))
    }

    #[test]
    fn bookkeeping_and_field_order_do_not_matter() {
        let before = of(json!({"id": "a", "name": "x", "updatedAt": "2026-01-01T00:00:00.000Z", "sync_status": "synced"}));
        let after = of(json!({"name": "x", "sync_status": "pending", "id": "a"}));
        assert_eq!(before, after);
    }

    #[test]
    fn every_other_difference_matters() {
        let base = of(json!({"id": "a", "n": 1, "tags": ["x", "y"], "o": {"updatedAt": 1}}));
        for other in [
            json!({"id": "b", "n": 1, "tags": ["x", "y"], "o": {"updatedAt": 1}}),
            json!({"id": "a", "n": "1", "tags": ["x", "y"], "o": {"updatedAt": 1}}),
            json!({"id": "a", "n": 1, "tags": ["xy"], "o": {"updatedAt": 1}}),
            json!({"id": "a", "n": 1, "tags": ["x", "y"], "o": {"updatedAt": 2}}),
            json!({"id": "a", "n": 1, "tags": ["x", "y"], "o": {"updatedAt": 1}, "z": null}),
        ] {
            assert_ne!(base, of(other));
        }
    }
}
