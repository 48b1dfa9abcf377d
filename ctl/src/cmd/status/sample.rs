//! A status for tests.

use aesync_protocol::Status;
use serde_json::{Value, json};

/// The status of a daemon that is synced, with what differs.
pub(crate) fn status(patch: Value) -> Status {
    let mut status = json!({
        "status": "synced", "since": "2026-01-31T11:58:00.000Z", "hasSynced": true,
        "lastSyncedAt": "2026-01-31T11:58:00.000Z", "seq": 1292, "paused": false,
        "server": {"url": "https://ae.example", "tenantId": "7f3a", "link": "online", "transport": "websocket",
                   "connectedSince": "2026-01-31T09:00:00.000Z", "rttMs": 23, "reconnects": 0},
        "auth": {"state": "valid", "expiresAt": "2026-02-03T12:00:00.000Z", "subject": "me@example.com"},
        "outbox": {"pending": 0, "sent": 0, "inDoubt": 0, "acked": 0, "quarantined": 0, "blocked": 0, "conflicts": 0, "bytes": 0},
        "types": {
            "end_user": {"records": 1204, "dirty": false, "firstSyncDone": true, "suspicious": false, "lastPulledAt": "2026-01-31T11:58:00.000Z"},
            "interactions": {"records": 88, "dirty": false, "firstSyncDone": true, "suspicious": false, "lastPulledAt": "2026-01-31T11:59:59.500Z"}
        },
        "feed": {"log": "l", "firstSeq": 1, "lastSeq": 1292}, "attention": [],
        "daemon": {"version": "0.1.0", "pid": 7, "startedAt": "2026-01-31T09:00:00.000Z", "instance": "default"}
    });
    merge(&mut status, patch);
    serde_json::from_value(status).expect("a status")
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}
