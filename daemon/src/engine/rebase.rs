//! What applications see: the base with the local changes on top (rule R26).

use std::sync::Arc;

use aesync_protocol::Record;
use aesync_protocol::response::EntryOp;
use serde_json::Value;

use super::durable::{Entry, Row};

/// The visible record: the base, if it is live, with each entry's fields over it, in order; `None` when the last word is a deletion.
#[must_use]
pub fn rebase<'a>(base: Option<&Row>, entries: impl IntoIterator<Item = &'a Entry>) -> Option<Arc<Record>> {
    let mut visible = base.filter(|row| row.is_live()).map(|row| Arc::clone(&row.record));
    for entry in entries {
        visible = match entry.op {
            EntryOp::Delete => None,
            EntryOp::Create | EntryOp::Update => Some(match visible {
                Some(below) => overlay(below, &entry.fields),
                None => Arc::clone(&entry.fields),
            }),
        };
    }
    visible
}

/// The record with these fields over it.
#[must_use]
pub fn overlay(mut record: Arc<Record>, fields: &Record) -> Arc<Record> {
    let content = Arc::make_mut(&mut record);
    for (field, value) in fields {
        content.insert(field.clone(), value.clone());
    }
    record
}

/// Whether `is_deleted` says that the entity is gone; the server writes 0 and 1, applications also write booleans.
#[must_use]
pub fn is_deleted(record: &Record) -> bool {
    match record.get("is_deleted") {
        Some(Value::Bool(set)) => *set,
        Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
        Some(Value::String(text)) => matches!(text.as_str(), "1" | "true"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::durable::EpochId;
    use aesync_protocol::Timestamp;
    use serde_json::json;

    fn record(value: &Value) -> Record {
        value.as_object().cloned().expect("an object")
    }

    fn row(value: Value, deleted: bool) -> Row {
        Row {
            record: record(&value).into(),
            hash: 0,
            updated_at: None,
            deleted_at: deleted.then_some(Timestamp::EPOCH),
            missing_since: None,
        }
    }

    fn entry(op: EntryOp, value: Value) -> Entry {
        Entry::new(EpochId(1), 1, ("t", "a"), op, record(&value), Timestamp::EPOCH)
    }

    #[test]
    fn the_visible_record_is_the_base_with_the_entries_in_order() {
        let (live, gone) = (row(json!({"a": 1, "b": 1}), false), row(json!({"a": 1}), true));
        let (edit, last) = (entry(EntryOp::Update, json!({"b": 2})), entry(EntryOp::Update, json!({"b": 3, "c": 3})));
        let delete = entry(EntryOp::Delete, json!({"is_deleted": 1}));
        let create = entry(EntryOp::Create, json!({"z": 1}));
        for (base, entries, expected) in [
            (None, vec![], None),
            (Some(&live), vec![], Some(json!({"a": 1, "b": 1}))),
            (Some(&gone), vec![], None),
            (Some(&live), vec![&edit], Some(json!({"a": 1, "b": 2}))),
            (Some(&live), vec![&edit, &last], Some(json!({"a": 1, "b": 3, "c": 3}))),
            (Some(&live), vec![&edit, &delete], None),
            (Some(&gone), vec![&create], Some(json!({"z": 1}))),
            (Some(&live), vec![&delete, &create], Some(json!({"z": 1}))),
        ] {
            assert_eq!(rebase(base, entries.iter().copied()), expected.as_ref().map(|value| record(value).into()), "{entries:?}");
        }
    }

    #[test]
    fn deletion_is_read_in_each_of_its_spellings() {
        for (value, expected) in [
            (json!({"is_deleted": 1}), true),
            (json!({"is_deleted": true}), true),
            (json!({"is_deleted": "1"}), true),
            (json!({"is_deleted": 0}), false),
            (json!({"is_deleted": null}), false),
            (json!({"is_deleted": "0"}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_deleted(&record(&value)), expected, "{value}");
        }
    }
}
