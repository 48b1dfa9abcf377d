//! The mark of an import that is under way: a part of one must not pass for a state, neither for a daemon's nor for another import's.

use std::fs;
use std::io;
use std::path::Path;

use super::disk::{self, sync_dir};
use super::error::{OpenError, StoreError};
use super::format;
use super::writer::Store;

/// The mark's name.
const MARK: &str = "filling";

/// Whether the directory holds no part of an import that was cut short.
///
/// # Errors
/// When it does, or can't be read.
pub(super) fn check(dir: &Path) -> Result<(), OpenError> {
    match fs::symlink_metadata(dir.join(MARK)) {
        Ok(_) => Err(OpenError::HalfFilled(dir.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io("looking for an import that was cut short in", dir)(error)),
    }
}

impl Store {
    /// What follows is an import: until [`filled`](Self::filled) the directory is not opened again.
    ///
    /// # Errors
    /// When the mark can't be written.
    pub fn begin_filling(&self) -> Result<(), StoreError> {
        format::replace(self.dir(), MARK, b"").map_err(|error| StoreError::io("marking the beginning of an import", error))
    }

    /// The import is complete, and durable.
    ///
    /// # Errors
    /// When the mark can't be removed.
    pub fn filled(&self) -> Result<(), StoreError> {
        disk::remove(&self.dir().join(MARK))
            .and_then(|()| sync_dir(self.dir()))
            .map_err(|error| StoreError::io("marking the end of an import", error))
    }
}
