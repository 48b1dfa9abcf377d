//! What can go wrong with the store as a whole.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// What lies below an error of the store.
type Source = Box<dyn Error + Send + Sync>;

/// Why the store could not be opened. A damaged store is no such reason: it is moved aside (rule R44).
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state directory's parent is missing.
    #[error("creating the state directory {}: {} does not exist; create it, or choose another state directory", dir.display(), parent.display())]
    NoParent {
        /// The state directory.
        dir: PathBuf,
        /// What is missing.
        parent: PathBuf,
    },
    /// Something else has the state directory's name.
    #[error("the state directory {} is not a directory; move it away, or choose another state directory", .0.display())]
    NotADirectory(PathBuf),
    /// The state directory can't be written.
    #[error("the state directory {} can't be written: {source}; it must belong to the user that runs aesyncd", dir.display())]
    NotWritable {
        /// The state directory.
        dir: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another daemon uses it.
    #[error("the state directory {} is in use by aesyncd {holder}; stop it first, or choose another state directory", dir.display())]
    InUse {
        /// The state directory.
        dir: PathBuf,
        /// `with pid 123 since 2026-01-31T12:00:00.000Z`
        holder: String,
    },
    /// A newer build wrote it (rule R46).
    #[error("the state directory {} has format {found}, and this build knows formats up to {known}; run a newer aesyncd", dir.display())]
    NewerFormat {
        /// The state directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// An import was cut short: what it left is no state.
    #[error("the state directory {} holds a part of an import that was cut short; remove the directory, and import again", .0.display())]
    HalfFilled(PathBuf),
    /// The disk failed in a way that another attempt may not meet.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Not even a fresh store opens.
    #[error("{doing} {}: {detail}; look at the disk, or choose another state directory", path.display())]
    Unusable {
        /// What was being tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What sled said.
        detail: String,
    },
}

impl OpenError {
    /// For `map_err` on calls that touch files.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}

/// Why something was not stored. Nothing since the last successful [`Store::sync`](super::Store::sync) is durable then, and
/// none of it may be acknowledged (rule R45). The next call tries again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No space is left, or the quota is used up.
    #[error("{doing}: the disk is full ({source}); free some space, the daemon goes on by itself")]
    Full {
        /// What was being tried.
        doing: &'static str,
        /// The reason.
        source: Source,
    },
    /// The file system, or the file, may not be written.
    #[error("{doing}: the state directory can't be written ({source}); the daemon goes on by itself once it can")]
    ReadOnly {
        /// What was being tried.
        doing: &'static str,
        /// The reason.
        source: Source,
    },
    /// Any other failure of the disk.
    #[error("{doing}: {source}; check the disk, the daemon tries again by itself")]
    Io {
        /// What was being tried.
        doing: &'static str,
        /// The reason.
        source: Source,
    },
    /// What is stored contradicts itself. The next start moves the store aside when it does not open (rule R44).
    #[error("{doing}: the store is damaged ({source}); restart the daemon if this persists")]
    Damaged {
        /// What was being tried.
        doing: &'static str,
        /// The reason.
        source: Source,
    },
}

impl StoreError {
    /// Sorts an I/O error by what the daemon can do about it.
    pub(super) fn io(doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { doing, source: source.into() }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { doing, source: source.into() }
            }
            _ => Self::Io { doing, source: source.into() },
        }
    }

    /// Something that can't be if the store is whole.
    pub(super) fn damaged(doing: &'static str, source: impl Into<Source>) -> Self {
        Self::Damaged { doing, source: source.into() }
    }
}
