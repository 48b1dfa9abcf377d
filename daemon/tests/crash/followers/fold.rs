//! What a follower has made of its changes.

use std::sync::{Mutex, MutexGuard};

use aesync_protocol::event::Change;

use crate::records::{Records, fold};

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
        fold(&mut self.records, change)
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
