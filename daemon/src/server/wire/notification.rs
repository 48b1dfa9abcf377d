//! Socket events. All of them are hints (rule R34): anyone can send them, and they are bounded before they are queued.

use serde_json::{Map, Value};

use super::text::cut;
use crate::engine::input::{Hint, SessionEvent};

/// The most types that are taken from one `batch` notification.
const MAX_BATCH_TYPES: usize = 64;

/// A socket event of the server.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) enum Incoming {
    /// `authenticated`
    Authenticated,
    /// `authentication_error`, or an `authenticated` that says it failed.
    Refused {
        /// The server's text.
        message: String,
    },
    /// `pong`
    Pong,
    /// For the engine.
    Event(SessionEvent),
}

/// Reads an event with its arguments.
pub(in crate::server) fn read(event: &str, args: &[Value]) -> Incoming {
    let object = args.first().and_then(Value::as_object);
    match event {
        "authenticated" => match object.and_then(|answer| answer.get("success")) {
            Some(Value::Bool(false)) => Incoming::Refused { message: message(object) },
            _ => Incoming::Authenticated,
        },
        "authentication_error" => Incoming::Refused { message: message(object) },
        "pong" => Incoming::Pong,
        "sync_notification" => Incoming::Event(object.and_then(hint).map_or_else(|| unknown(event), SessionEvent::Notification)),
        "sync_status_update" => Incoming::Event(object.and_then(peer_status).unwrap_or_else(|| unknown(event))),
        _ => Incoming::Event(unknown(event)),
    }
}

fn unknown(event: &str) -> SessionEvent {
    SessionEvent::Unknown { event: cut(event) }
}

fn message(answer: Option<&Map<String, Value>>) -> String {
    answer.and_then(|answer| text(answer, "message")).unwrap_or_else(|| "no reason given".to_owned())
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) if !text.is_empty() => Some(cut(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn hint(notification: &Map<String, Value>) -> Option<Hint> {
    let types = notification.get("data").and_then(|data| data.get("entityTypes")).and_then(Value::as_array);
    Some(Hint {
        kind: text(notification, "type")?,
        entity_type: text(notification, "entityType")?,
        entity_id: text(notification, "entityId"),
        message: text(notification, "message").unwrap_or_default(),
        timestamp: notification.get("timestamp").and_then(Value::as_str).and_then(|text| text.parse().ok()),
        batch_types: types.into_iter().flatten().filter_map(Value::as_str).take(MAX_BATCH_TYPES).map(cut).collect(),
    })
}

fn peer_status(update: &Map<String, Value>) -> Option<SessionEvent> {
    Some(SessionEvent::PeerStatus { status: text(update, "status")?, entity_type: text(update, "entityType") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let name = prop_oneof![
                Just("type".to_owned()),
                Just("entityType".to_owned()),
                Just("data".to_owned()),
                Just("entityTypes".to_owned()),
                Just("status".to_owned()),
                ".{0,8}"
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((name, inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn the_control_events_are_told_apart() {
        let refused = |message: &str| Incoming::Refused { message: message.into() };
        for (event, args, incoming) in [
            ("authenticated", vec![json!({"success": true})], Incoming::Authenticated),
            ("authenticated", vec![], Incoming::Authenticated),
            ("authenticated", vec![json!({"success": false, "message": "no"})], refused("no")),
            ("authentication_error", vec![json!({"message": "Invalid token"})], refused("Invalid token")),
            ("authentication_error", vec![json!("Invalid token")], refused("no reason given")),
            ("authentication_error", vec![], refused("no reason given")),
            ("pong", vec![json!({"timestamp": "2026-01-01T00:00:00.000Z"})], Incoming::Pong),
            ("pong", vec![], Incoming::Pong),
        ] {
            assert_eq!(read(event, &args), incoming, "{event} {args:?}");
        }
    }

    #[test]
    fn a_notification_becomes_a_hint_without_its_row() {
        let args = [json!({"type": "sync_complete", "entityType": "end_user", "entityId": "7f", "message": "End user\nupdated",
            "timestamp": "2026-01-01T00:00:00.120Z", "data": {"id": "7f", "password": "hunter2"}})];
        let hint = Hint {
            kind: "sync_complete".into(),
            entity_type: "end_user".into(),
            entity_id: Some("7f".into()),
            message: "End user updated".into(),
            timestamp: "2026-01-01T00:00:00.120Z".parse().ok(),
            batch_types: vec![],
        };
        assert_eq!(read("sync_notification", &args), Incoming::Event(SessionEvent::Notification(hint)));
    }

    #[test]
    fn a_batch_names_its_types() {
        let args = [json!({"type": "sync_complete", "entityType": "batch", "timestamp": 5,
            "data": {"count": 2, "entityTypes": ["end_user", 4, "interactions"]}})];
        let Incoming::Event(SessionEvent::Notification(hint)) = read("sync_notification", &args) else { panic!("a hint") };
        assert_eq!(hint.batch_types, ["end_user", "interactions"]);
        assert_eq!((hint.timestamp, hint.entity_id), (None, None));
    }

    #[test]
    fn other_shapes_are_unknown_and_bounded() {
        for (event, args) in [
            ("sync_notification", vec![]),
            ("sync_notification", vec![json!(null)]),
            ("sync_notification", vec![json!("data_available")]),
            ("sync_notification", vec![json!({"type": "data_available"})]),
            ("sync_notification", vec![json!({"type": {}, "entityType": "end_user"})]),
            ("sync_status_update", vec![json!(null)]),
            ("sync_status_update", vec![json!({"status": null})]),
            ("something_new", vec![json!(1)]),
        ] {
            assert_eq!(read(event, &args), Incoming::Event(SessionEvent::Unknown { event: event.into() }), "{args:?}");
        }
        let Incoming::Event(SessionEvent::Unknown { event }) = read(&"x".repeat(9_999), &[]) else { panic!("unknown") };
        assert_eq!(event.len(), 1_000);
        let types: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        let flood = json!({"type": "y".repeat(9_999), "entityType": "batch", "data": {"entityTypes": types}});
        let Incoming::Event(SessionEvent::Notification(hint)) = read("sync_notification", &[flood]) else { panic!("a hint") };
        assert_eq!((hint.kind.len(), hint.batch_types.len()), (1_000, MAX_BATCH_TYPES));
    }

    #[test]
    fn a_peer_status_is_passed_on() {
        let incoming = read("sync_status_update", &[json!({"status": "syncing", "entityType": "end_user"})]);
        let status = SessionEvent::PeerStatus { status: "syncing".into(), entity_type: Some("end_user".into()) };
        assert_eq!(incoming, Incoming::Event(status));
    }

    proptest! {
        #[test]
        fn no_shape_makes_the_reader_panic(event in 0..5_usize, args in proptest::collection::vec(any_json(), 0..3)) {
            let names = ["sync_notification", "sync_status_update", "authenticated", "authentication_error", "pong"];
            let _ = read(names[event], &args);
        }
    }
}
