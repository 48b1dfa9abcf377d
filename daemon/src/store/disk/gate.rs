//! A disk that takes its time, for tests: syncs below a directory wait until they are let through.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

/// The directories that are held, each with whether a sync waits there.
static HELD: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());
static RELEASED: Condvar = Condvar::new();

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
