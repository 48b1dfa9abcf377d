//! One daemon per state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use aesync_protocol::Timestamp;

use super::error::OpenError;

/// More of a lock file than this was not written by a daemon.
const HOLDER_MAX: u64 = 128;

/// The state directory is this process's while the value lives; the kernel lets go of it when the process dies.
#[derive(Debug)]
pub(super) struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the lock, and leaves who holds it in the file.
    pub(super) fn acquire(dir: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| OpenError::NotWritable { dir: dir.to_path_buf(), source })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { dir: dir.to_path_buf(), holder: read_holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { doing: "locking", path, source }),
        }
        let holder = format!("{} {now}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(holder.as_bytes()))
            .map_err(|source| OpenError::NotWritable { dir: dir.to_path_buf(), source })?;
        Ok(Self { file })
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing would do, were there not the children that are between fork and exec at this moment: they hold the file too.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "unlocking the state directory failed");
        }
    }
}

/// `with pid 123 since 2026-01-31T12:00:00.000Z`, or what can be said when the file does not tell.
fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let holder = file.take(HOLDER_MAX).read_to_string(&mut text).ok().and_then(|_| {
        let (pid, since) = text.trim().split_once(' ')?;
        Some(format!("with pid {} since {}", pid.parse::<u32>().ok()?, since.parse::<Timestamp>().ok()?))
    });
    holder.unwrap_or_else(|| "of unknown pid".to_owned())
}
