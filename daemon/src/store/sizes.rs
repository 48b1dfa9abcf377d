//! What the store takes up.

use std::io;
use std::path::Path;

use super::{evidence, home};

/// Sizes on disk, in bytes, as the file system lists them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// sled's files.
    pub sled: u64,
    /// The journal of the outbox.
    pub journal: u64,
    /// What was moved aside and waits for someone to look at it.
    pub damaged: u64,
}

impl Sizes {
    /// Measures a state directory.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let mut sizes = Self { sled: tree_bytes(&home::current(dir))?, journal: tree_bytes(&dir.join("journal"))?, damaged: 0 };
        for file in dir.read_dir()? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with(evidence::PREFIX) {
                sizes.damaged = sizes.damaged.saturating_add(tree_bytes(&file.path())?);
            }
        }
        Ok(sizes)
    }
}

/// The bytes of all files below `path`. Files that vanish meanwhile count nothing: sled removes old snapshots at any time.
pub(super) fn tree_bytes(path: &Path) -> io::Result<u64> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if !found.is_dir() {
        return Ok(found.len());
    }
    path.read_dir()?.try_fold(0_u64, |sum, file| Ok(sum.saturating_add(tree_bytes(&file?.path())?)))
}
