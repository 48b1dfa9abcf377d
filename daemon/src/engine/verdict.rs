//! What a returned row says about the change that was sent: 200 is not acceptance (rule R15).

use aesync_protocol::response::Verdict;
use aesync_protocol::{Record, Timestamp};
use serde_json::Value;

use super::settings::{Settings, TypeRules};

/// Fields that the server sets whatever the client sends.
const SERVER_OWNED: [&str; 4] = ["id", "createdAt", "updatedAt", "sync_status"];

/// Compares what was sent with what came back for the same id.
///
/// Server-owned fields, secret fields and the link to a parent are left aside, since the server does not return them as sent.
/// A field that came back differently means that the server kept its own row; one that did not come back, that it has no such column.
#[must_use]
pub fn compare(sent: &Record, returned: &Record, rules: Option<&TypeRules>, settings: &Settings) -> Verdict {
    let parent = rules.and_then(|rules| rules.parent.as_ref()).map(|parent| parent.field.as_str());
    let mut dropped = Vec::new();
    for (field, value) in sent {
        let aside = SERVER_OWNED.contains(&field.as_str())
            || settings.secret_fields.iter().any(|secret| secret == field)
            || parent == Some(field.as_str());
        if aside {
            continue;
        }
        match returned.get(field) {
            None if value.is_null() => {}
            None => dropped.push(field.clone()),
            Some(kept) if equivalent(value, kept) => {}
            Some(_) => return Verdict::Overwritten { server: returned.clone() },
        }
    }
    if dropped.is_empty() { Verdict::Accepted } else { Verdict::FieldsDropped { fields: dropped } }
}

/// Whether two values mean the same to the server: instants to the millisecond, numbers however they are written, 0 and 1 as
/// booleans, and so on downwards.
fn equivalent(sent: &Value, kept: &Value) -> bool {
    if sent == kept {
        return true;
    }
    match (sent, kept) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equivalent(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(field, value)| b.get(field).is_some_and(|kept| equivalent(value, kept)))
        }
        _ => {
            instant(sent).zip(instant(kept)).is_some_and(|(a, b)| a == b)
                || number(sent).zip(number(kept)).is_some_and(|(a, b)| a == b)
        }
    }
}

/// An instant, or a bare date, which the server reads as midnight in UTC.
fn instant(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    text.parse().ok().or_else(|| (text.len() == 10).then(|| format!("{text}T00:00:00Z").parse().ok()).flatten())
}

/// A number, also as the text in which PostgreSQL's exact types come back, or as a boolean.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(set) => Some(f64::from(u8::from(*set))),
        Value::String(text) if text.len() <= 40 => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(sent: Value, returned: Value) -> Verdict {
        let settings = Settings::new("http://127.0.0.1", None, &["end_user", "interactions"]);
        let object = |value: Value| value.as_object().cloned().expect("an object");
        compare(&object(sent), &object(returned), settings.rules("interactions"), &settings)
    }

    #[test]
    fn what_the_server_keeps_for_itself_is_left_aside() {
        for (sent, returned) in [
            (json!({"id": "A"}), json!({"id": "a", "updatedAt": "2026-01-01T00:00:00.000Z"})),
            (json!({"sync_status": "pending"}), json!({"sync_status": "synced"})),
            (json!({"password": "secret"}), json!({})),
            (json!({"clientUser": {"id": "u"}}), json!({})),
            (json!({"nickname": null}), json!({})),
        ] {
            assert_eq!(verdict(sent.clone(), returned), Verdict::Accepted, "{sent}");
        }
    }

    #[test]
    fn the_same_value_in_another_spelling_is_accepted() {
        for (sent, kept) in [
            (json!("2026-01-01T10:00:00+02:00"), json!("2026-01-01T08:00:00.000Z")),
            (json!("2026-01-01T08:00:00.1239Z"), json!("2026-01-01T08:00:00.123Z")),
            (json!("2026-01-01"), json!("2026-01-01T00:00:00.000Z")),
            (json!(12.5), json!("12.50")),
            (json!(1), json!(true)),
            (json!([1, 2.0]), json!([1.0, 2])),
            (json!({"b": 1, "a": 2}), json!({"a": 2, "b": 1})),
        ] {
            assert_eq!(verdict(json!({"f": sent}), json!({"f": kept})), Verdict::Accepted, "{sent} {kept}");
        }
    }

    #[test]
    fn another_value_is_the_servers_own_row() {
        for (sent, kept) in [
            (json!("new"), json!("old")),
            (json!("new"), Value::Null),
            (json!(1), json!(0)),
            (json!("2026-01-01T08:00:00.124Z"), json!("2026-01-01T08:00:00.123Z")),
            (json!([1]), json!([1, 2])),
            (json!(""), json!(0)),
        ] {
            let returned = json!({"f": kept});
            let server = returned.as_object().cloned().expect("an object");
            assert_eq!(verdict(json!({"f": sent}), returned), Verdict::Overwritten { server }, "{sent} {kept}");
        }
    }

    #[test]
    fn a_field_that_does_not_come_back_was_dropped_unless_the_row_is_the_servers_own() {
        assert_eq!(
            verdict(json!({"title": "t", "colour": "red"}), json!({"title": "t"})),
            Verdict::FieldsDropped { fields: vec!["colour".to_owned()] }
        );
        assert!(matches!(verdict(json!({"colour": "red", "title": "t"}), json!({"title": "old"})), Verdict::Overwritten { .. }));
    }
}
