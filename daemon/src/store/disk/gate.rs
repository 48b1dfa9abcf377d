//! A disk that takes its time, for tests: syncs below a directory wait until they are let through. And one that refuses a call.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

/// The directories that are held, each with whether a sync waits there.
static HELD: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());
static RELEASED: Condvar = Condvar::new();

/// A call that may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    /// The sync of a directory's entries.
    SyncDir,
    /// A write into the database whose files are in the directory.
    Exchange,
}

/// How often a call is refused from now on.
static REFUSED: Mutex<BTreeMap<(PathBuf, Call), usize>> = Mutex::new(BTreeMap::new());

/// Refuses the next `times` calls on a directory.
pub(crate) fn refuse(dir: &Path, call: Call, times: usize) {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner).insert((dir.to_path_buf(), call), times);
}

/// Whether a call on a directory goes on.
pub(in crate::store) fn ask(dir: &Path, call: Call) -> io::Result<()> {
    let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(times) = refused.get_mut(&(dir.to_path_buf(), call)).filter(|times| **times > 0) else { return Ok(()) };
    *times -= 1;
    Err(io::Error::other("refused by a test"))
}

/// Directories on a disk without free space.
static FULL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A directory whose disk tells no free space until this is dropped.
pub(crate) struct Full(PathBuf);

/// Lets a directory's disk tell that it is full.
pub(crate) fn fill(dir: &Path) -> Full {
    FULL.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_path_buf());
    Full(dir.to_path_buf())
}

impl Drop for Full {
    fn drop(&mut self) {
        FULL.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Whether a directory's disk is to tell that it is full.
pub(super) fn is_full(dir: &Path) -> bool {
    FULL.lock().unwrap_or_else(PoisonError::into_inner).contains(dir)
}

/// A directory whose syncs wait until this is dropped.
pub(crate) struct Held(PathBuf);

/// Holds all syncs of files in a directory from now on.
pub(crate) fn hold(dir: &Path) -> Held {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_path_buf(), false);
    Held(dir.to_path_buf())
}

impl Held {
    /// Whether a sync waits.
    pub(crate) fn is_met(&self) -> bool {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).get(&self.0).copied().unwrap_or_default()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        RELEASED.notify_all();
    }
}

/// Waits while the file's directory is held.
pub(super) fn pass(path: &Path) {
    let Some(dir) = path.parent() else { return };
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(met) = held.get_mut(dir) {
        *met = true;
        held = RELEASED.wait(held).unwrap_or_else(PoisonError::into_inner);
    }
}
