//! Changes for the tests of the fan-out.

use aesync_protocol::codec::EncodedChange;
use aesync_protocol::event::{ChangeOp, Origin};
use aesync_protocol::{Change, Timestamp};

/// A change whose record holds a text of this length.
pub(super) fn change(seq: u64, entity_type: &str, length: usize) -> Change {
    let (entity_type, id, at) = (entity_type.to_owned(), seq.to_string(), Timestamp::EPOCH);
    let record = serde_json::json!({ "id": id, "text": "x".repeat(length) }).as_object().cloned();
    Change { seq, op: ChangeOp::Upsert, entity_type, id, record, origin: Origin::Server, pending: false, at }
}

/// The same, as the engine hands it on.
pub(super) fn encoded(seq: u64, entity_type: &str, length: usize) -> EncodedChange {
    EncodedChange::new(&change(seq, entity_type, length)).expect("JSON")
}
