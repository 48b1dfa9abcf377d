//! What changes add up to, by the one rule that all followers share.

use std::collections::BTreeMap;

use aesync_protocol::Record;
use aesync_protocol::event::{Change, ChangeOp};

/// By type and id.
pub(crate) type Records = BTreeMap<(String, String), Record>;

/// Adds a change; an error when it is none that can come next.
pub(crate) fn fold(records: &mut Records, change: Change) -> Result<(), String> {
    let Change { seq, op, entity_type, id, record, .. } = change;
    let place = (entity_type, id);
    match (op, record) {
        (ChangeOp::Upsert, Some(record)) => {
            records.insert(place, record);
        }
        (ChangeOp::Delete, None) => {
            if records.remove(&place).is_none() {
                return Err(format!("change {seq} deletes {place:?}, which was not there"));
            }
        }
        (op, record) => return Err(format!("change {seq} is {op:?} with {record:?}")),
    }
    Ok(())
}
