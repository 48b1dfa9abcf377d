//! The bodies of requests. The server refuses every key that it does not know, so they hold exactly these.

use aesync_protocol::{Record, Timestamp};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// Rows by type, in the order given: parents stand before children (rule R2).
struct InOrder<'a>(&'a [(String, Vec<Record>)]);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (entity_type, rows) in self.0 {
            map.serialize_entry(entity_type, rows)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Push<'a> {
    changes: InOrder<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pull<'a> {
    last_sync_timestamp: Timestamp,
    entity_types: &'a [String],
}

/// `POST /api/client/sync/push`
pub(in crate::server) fn push(changes: &[(String, Vec<Record>)]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Push { changes: InOrder(changes) })
}

/// `POST /api/client/sync/pull`
pub(in crate::server) fn pull(entity_types: &[String], since: Timestamp) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Pull { last_sync_timestamp: since, entity_types })
}

/// `POST /api/client/sync/pull-pending`. The server refuses the documented body without a timestamp and ignores its value.
pub(in crate::server) fn pull_pending(entity_types: &[String]) -> Result<Vec<u8>, serde_json::Error> {
    pull(entity_types, Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: Result<Vec<u8>, serde_json::Error>) -> String {
        String::from_utf8(body.expect("serializable")).expect("UTF-8")
    }

    #[test]
    fn a_push_is_the_changes_alone_in_the_order_given() {
        let row = |id: &str| serde_json::json!({"id": id, "b": 1, "a": 2}).as_object().cloned().expect("an object");
        let changes = [("end_user".to_owned(), vec![row("2"), row("1")]), ("a_type".to_owned(), vec![])];
        assert_eq!(
            text(push(&changes)),
            r#"{"changes":{"end_user":[{"id":"2","b":1,"a":2},{"id":"1","b":1,"a":2}],"a_type":[]}}"#
        );
    }

    #[test]
    fn a_pull_is_a_timestamp_with_z_and_the_types_alone() {
        let types = ["end_user".to_owned(), "interactions".to_owned()];
        assert_eq!(
            text(pull(&types, Timestamp::from_millis(1_767_225_600_120))),
            r#"{"lastSyncTimestamp":"2026-01-01T00:00:00.120Z","entityTypes":["end_user","interactions"]}"#
        );
        assert_eq!(
            text(pull_pending(&types)),
            r#"{"lastSyncTimestamp":"1970-01-01T00:00:00.000Z","entityTypes":["end_user","interactions"]}"#
        );
    }
}
