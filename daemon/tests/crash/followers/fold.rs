//! What a follower has made of its changes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use aesync_protocol::Record;
use aesync_protocol::event::{Change, ChangeOp};

/// By type and id.
pub(crate) type Records = BTreeMap<(String, String), Record>;

/// The changes so far, added up.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    pub(crate) last: u64,
    pub(crate) connections: u64,
    pub(crate) records: Records,
}

impl Fold {
    /// Every position comes once and in its turn.
    pub(crate) fn move_to(&mut self, seq: u64) -> Result<(), String> {
        if seq != self.last + 1 {
            return Err(format!("change {seq} came after {}", self.last));
        }
        self.last = seq;
        Ok(())
    }

    pub(crate) fn take(&mut self, change: Change) -> Result<(), String> {
        self.move_to(change.seq)?;
        let place = (change.entity_type, change.id);
        match (change.op, change.record) {
            (ChangeOp::Upsert, Some(record)) => {
                self.records.insert(place, record);
            }
            (ChangeOp::Delete, None) => {
                if self.records.remove(&place).is_none() {
                    return Err(format!("change {} deletes {place:?}, which was not there", change.seq));
                }
            }
            (op, record) => return Err(format!("change {} is {op:?} with {record:?}", change.seq)),
        }
        Ok(())
    }
}

/// One subscriber and its fold.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) name: &'static str,
    fold: Mutex<Fold>,
}

impl Follower {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, fold: Mutex::default() }
    }

    pub(crate) fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().expect("the fold")
    }
}
