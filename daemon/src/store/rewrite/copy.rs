//! The copy of a database, made on a thread of its own.

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::database::{Database, Tree, Writes};
use super::super::disk;
use super::super::fault::Fault;
use super::super::keys;

/// Values that are copied in one step.
const STEP: usize = 500;
/// Bytes that are copied in one step, but for the last value of it.
const STEP_BYTES: usize = 512 * 1024;
/// A copy takes up to so many times what it holds.
const COPY_TIMES: u64 = 2;
/// What others have left of the disk all the while, in bytes.
const RESERVE: u64 = if cfg!(test) { 2 * 1024 * 1024 } else { 64 * 1024 * 1024 };

/// What a copy ends with. What is counted are the bytes of keys and values.
pub(super) enum Copied {
    /// It is not worth it: the files hold so much.
    NotWorth(u64),
    /// The disk has not room for both: so many free bytes are wanted.
    NoRoom { live: u64, wanted: u64 },
    /// The copy, without what was written meanwhile, and what was counted.
    Done(Box<Database>, u64),
}

/// A copy to be made.
pub(super) struct Job {
    pub(super) from: Arc<Database>,
    /// The size of its files, in bytes.
    pub(super) size: u64,
    /// Smaller files are only counted.
    pub(super) floor: u64,
    pub(super) target: PathBuf,
    pub(super) cache_bytes: u64,
    pub(super) stop: Arc<AtomicBool>,
}

impl Job {
    /// Counts what is there, and copies it when that is less than half of the files' size.
    pub(super) fn run(self) -> Result<Copied, Fault> {
        const TREES: [Tree; 4] = [Tree::Replica, Tree::Outbox, Tree::Feed, Tree::Meta];
        let is_stopped = || self.stop.load(Ordering::Relaxed);
        let live = self.from.live(|| !is_stopped())?;
        if self.size <= self.floor || self.size / 2 <= live || is_stopped() {
            return Ok(Copied::NotWorth(live));
        }
        let wanted = live.saturating_mul(COPY_TIMES).saturating_add(RESERVE);
        if self.free() < wanted {
            return Ok(Copied::NoRoom { live, wanted });
        }
        let copy = Database::open_copy(&self.target, self.cache_bytes)?;
        for tree in TREES {
            let mut last: Option<Vec<u8>> = None;
            loop {
                let mut step = Writes::new();
                let mut bytes = 0_usize;
                let after = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                self.from.scan(tree, &[], after, &mut |key, value| {
                    step.insert((tree, key.to_vec()), Some(value.to_vec()));
                    bytes = bytes.saturating_add(value.len());
                    step.len() < STEP && bytes < STEP_BYTES
                })?;
                let Some(((_, key), _)) = step.last_key_value() else { break };
                last = Some(key.clone());
                step.remove(&(Tree::Meta, keys::NUMBER.to_vec()));
                copy.write(&step)?;
                if is_stopped() {
                    return Ok(Copied::NotWorth(live));
                }
                if self.free() < RESERVE {
                    return Ok(Copied::NoRoom { live, wanted });
                }
            }
        }
        // Most of the waiting for the disk is done here, so that little is left for the switch.
        copy.sync()?;
        Ok(Copied::Done(Box::new(copy), live))
    }

    /// Free bytes, as many as one likes where that can't be told.
    fn free(&self) -> u64 {
        self.target.parent().and_then(disk::free).unwrap_or(u64::MAX)
    }
}
