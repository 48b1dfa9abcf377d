//! sled's files only grow. When they are far larger than what they hold, it is copied into a fresh directory while everything goes on.

use std::collections::BTreeSet;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::database::{Database, Fault, Place, Tree, Writes};
use super::sizes::tree_bytes;

/// Values that are copied in one step.
const STEP: usize = 500;
/// Bytes that are copied in one step, but for the last value of it.
const STEP_BYTES: usize = 512 * 1024;
/// The copy's share of the cache, while both are open.
const COPY_SHARE: u64 = 4;
/// While writes go on, files may grow by so many times the size that is left alone before they are looked at again: a first sync would
/// be slowed down by copies that are out of date when they are made.
const BUSY_GROWTH: u64 = 32;
/// At rest, once they have grown by one of so many parts.
const REST_GROWTH: u64 = 16;
/// Places that may change during a copy; with more of them it is given up, and tried again when the files have grown.
const CHANGED: usize = 500_000;

/// What a copy ends with.
enum Copied {
    /// It is not worth it: the files hold so many bytes of keys and values.
    NotWorth(u64),
    /// The copy, without what was written meanwhile.
    Done(Box<Database>, PathBuf),
}

/// Watches the size of sled's files.
#[derive(Debug)]
pub(super) struct Rewriter {
    under_way: Option<UnderWay>,
    /// Smaller files are left as they are, in bytes.
    floor: u64,
    /// The next look is due when the files are larger than this, in bytes.
    look_at: u64,
    /// The size of the files at the last look, or after the last copy, in bytes.
    looked: u64,
    /// Bytes of keys and values, as they were found the last time.
    live: Option<u64>,
}

struct UnderWay {
    thread: Option<JoinHandle<Result<Copied, Fault>>>,
    stop: Arc<AtomicBool>,
    /// Places that were written since it began.
    changed: BTreeSet<Place>,
}

impl std::fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnderWay").field("changed", &self.changed.len()).finish_non_exhaustive()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It stops within a step, and lets go of both databases.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("a rewrite of the store that was given up had panicked");
        }
    }
}

impl Rewriter {
    /// Leaves files of less than `floor` bytes as they are.
    pub(super) const fn new(floor: u64) -> Self {
        Self { under_way: None, floor, look_at: 0, looked: 0, live: None }
    }

    /// Bytes of keys and values, when they were last counted.
    pub(super) const fn live(&self) -> Option<u64> {
        self.live
    }

    /// Whether a copy is being made.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Notes what was written, for a copy that is being made.
    pub(super) fn written<'w>(&mut self, places: impl IntoIterator<Item = &'w Place>) {
        let Some(under_way) = &mut self.under_way else { return };
        under_way.changed.extend(places.into_iter().cloned());
        if under_way.changed.len() > CHANGED {
            self.abandon();
        }
    }

    /// Makes the next look due sooner: while nothing else goes on, counting costs nobody anything.
    pub(super) fn rest(&mut self) {
        self.look_at = self.look_at.min(self.looked.saturating_add(self.looked / REST_GROWTH));
    }

    fn look_later(&mut self, size: u64) {
        self.looked = size;
        self.look_at = size.saturating_add(self.floor.saturating_mul(BUSY_GROWTH));
    }

    /// Gives a copy up; what there is of it is removed by the next one, or at the next start.
    pub(super) fn abandon(&mut self) {
        self.under_way = None;
    }

    /// Begins a copy into the directory that `next` gives, when the files in `path` have become large.
    pub(super) fn look(
        &mut self,
        database: &Arc<Database>,
        path: &Path,
        next: impl FnOnce() -> io::Result<PathBuf>,
        cache_bytes: u64,
    ) -> io::Result<()> {
        if self.under_way.is_some() {
            return Ok(());
        }
        let size = tree_bytes(path)?;
        if size <= self.look_at.max(self.floor) {
            return Ok(());
        }
        self.look_later(size);
        let (target, stop, from) = (next()?, Arc::new(AtomicBool::new(false)), Arc::clone(database));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("aesync-rewrite".to_owned())
            .spawn(move || copy(&from, size, target, cache_bytes, &stopped))?;
        self.under_way = Some(UnderWay { thread: Some(thread), stop, changed: BTreeSet::new() });
        Ok(())
    }

    /// A copy that is complete, brought up to date and made durable; to be switched to before anything else is written.
    pub(super) fn finish(&mut self, database: &Database) -> Result<Option<(Database, PathBuf)>, Fault> {
        let is_finished = |under_way: &mut UnderWay| under_way.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let Some(mut under_way) = self.under_way.take_if(is_finished) else { return Ok(None) };
        let Some(thread) = under_way.thread.take() else { return Ok(None) };
        let changed = std::mem::take(&mut under_way.changed);
        let (copy, path) = match thread.join().map_err(|_| Fault::Damaged("the rewrite panicked".to_owned()))?? {
            Copied::NotWorth(live) => {
                self.live = Some(live);
                return Ok(None);
            }
            Copied::Done(copy, path) => (*copy, path),
        };
        for (tree, key) in changed {
            let value = database.get(tree, &key)?.map(|value| value.to_vec());
            copy.write(&[((tree, key), value)].into())?;
        }
        copy.sync()?;
        self.look_later(tree_bytes(&path)?);
        Ok(Some((copy, path)))
    }
}

/// Counts what is there, and copies it when that is less than half of the files' `size`.
fn copy(from: &Database, size: u64, target: PathBuf, cache_bytes: u64, stop: &AtomicBool) -> Result<Copied, Fault> {
    const TREES: [Tree; 4] = [Tree::Replica, Tree::Outbox, Tree::Feed, Tree::Meta];
    let mut live = 0_u64;
    for tree in TREES {
        from.scan(tree, &[], Bound::Unbounded, |key, value| {
            live = live.saturating_add(key.len() as u64).saturating_add(value.len() as u64);
            !stop.load(Ordering::Relaxed)
        })?;
    }
    if size / 2 <= live || stop.load(Ordering::Relaxed) {
        return Ok(Copied::NotWorth(live));
    }
    let copy = Database::open(&target, cache_bytes / COPY_SHARE)?;
    for tree in TREES {
        let mut last: Option<Vec<u8>> = None;
        loop {
            let mut step = Writes::new();
            let mut bytes = 0_usize;
            let after = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            from.scan(tree, &[], after, |key, value| {
                step.insert((tree, key.to_vec()), Some(value.to_vec()));
                bytes = bytes.saturating_add(value.len());
                step.len() < STEP && bytes < STEP_BYTES
            })?;
            let Some(((_, key), _)) = step.last_key_value() else { break };
            last = Some(key.clone());
            copy.write(&step)?;
            if stop.load(Ordering::Relaxed) {
                return Ok(Copied::NotWorth(live));
            }
        }
    }
    // Most of the waiting for the disk is done here, so that little is left for the switch.
    copy.sync()?;
    Ok(Copied::Done(Box::new(copy), target))
}
