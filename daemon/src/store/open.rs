//! From a path to an open store, whatever lies there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aesync_protocol::Timestamp;

use super::choose;
use super::database::{Database, Fault};
use super::disk::{self, sync_dir};
use super::error::OpenError;
use super::finding::{Finding, FindingCode};
use super::format;
use super::home;
use super::lock::DirLock;
use super::writer::Store;

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What sled may keep of its pages in memory, in bytes. The process needs about 100 MB more with a million records.
    pub cache_bytes: u64,
    /// sled's files are rewritten when they are larger than this and than twice what they hold, in bytes.
    pub rewrite_floor: u64,
    /// How far cursors step back after an unclean stop.
    pub overlap: Duration,
    /// This machine's time, for the lock file and for the names of what is moved aside.
    pub now: Timestamp,
}

impl Store {
    /// Opens the store in `dir`, which is created with mode 0700 when it is missing.
    ///
    /// A damaged store is moved aside to `dir/damaged-<time>` and a fresh one is started; the findings say so (rule R44).
    ///
    /// # Errors
    /// When the directory can't be used, another daemon uses it, or a newer build wrote it (rule R46).
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Vec<Finding>), OpenError> {
        create_dir(dir)?;
        let lock = DirLock::acquire(dir, options.now)?;
        format::check(dir)?;
        let mut findings = Vec::new();
        let was_clean = take_clean_mark(dir)?;
        if !was_clean {
            findings.push(Finding::new(
                FindingCode::UncleanStop,
                "the last stop was not a clean one; what was acknowledged is kept, and the store was checked",
            ));
        }
        let opened = choose::open_checked(dir, options, was_clean, &mut findings)?;
        Ok((Self::new(dir, options, lock, opened), findings))
    }
}

/// For `map_err` on what is no damage, or was to be free of any.
pub(super) fn not_opened(doing: &'static str, path: &Path) -> impl FnOnce(Fault) -> OpenError {
    let path = path.to_path_buf();
    move |fault| match fault {
        Fault::Io(source) => OpenError::Io { doing, path, source },
        Fault::Busy => OpenError::Io { doing, path, source: io::ErrorKind::ResourceBusy.into() },
        Fault::Damaged(detail) => OpenError::Unusable { path, doing, detail },
    }
}

/// Opens sled, once more without its unfinished snapshots when it does not open with them.
pub(super) fn open_database(dir: &Path, path: &Path, options: Options) -> Result<Database, Fault> {
    let opened = match Database::open(path, options.cache_bytes) {
        Err(Fault::Damaged(_)) if set_snapshots_aside(path, &evidence_dir(dir, options.now))? => {
            Database::open(path, options.cache_bytes)
        }
        opened => opened,
    }?;
    sync_dir(dir)?;
    Ok(opened)
}

/// Moves snapshots that a kill left unfinished out of sled's way; whether there were any.
fn set_snapshots_aside(path: &Path, evidence: &Path) -> io::Result<bool> {
    let mut found = false;
    for file in path.read_dir()? {
        let name = file?.file_name();
        if name.to_string_lossy().ends_with(".generating") {
            fs::create_dir_all(evidence)?;
            fs::rename(path.join(&name), evidence.join(&name))?;
            found = true;
        }
    }
    Ok(found)
}

/// A name in `dir` for what is moved aside, that nothing has yet.
pub(super) fn evidence_dir(dir: &Path, now: Timestamp) -> PathBuf {
    let stamp = now.to_string().replace([':', '-'], "");
    let base = dir.join(format!("damaged-{stamp}"));
    let mut path = base.clone();
    let mut count = 1_u32;
    while path.symlink_metadata().is_ok() {
        count = count.saturating_add(1);
        path = base.with_file_name(format!("damaged-{stamp}-{count}"));
    }
    path
}

/// Creates the state directory, for its owner alone.
fn create_dir(dir: &Path) -> Result<(), OpenError> {
    match dir.metadata() {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(OpenError::NotADirectory(dir.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(OpenError::NotADirectory(dir.to_path_buf())),
        Err(source) => return Err(OpenError::NotWritable { dir: dir.to_path_buf(), source }),
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if parent.metadata().is_err() {
        return Err(OpenError::NoParent { dir: dir.to_path_buf(), parent: parent.to_path_buf() });
    }
    #[cfg_attr(not(unix), expect(unused_mut, reason = "other systems have no mode to set"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(dir)
        .and_then(|()| sync_dir(parent))
        .map_err(|source| OpenError::NotWritable { dir: dir.to_path_buf(), source })
}

/// Whether the last stop was a clean one, or there was none. The next stop has to prove itself again.
fn take_clean_mark(dir: &Path) -> Result<bool, OpenError> {
    let mark = dir.join("clean");
    match disk::remove(&mark) {
        Ok(()) => sync_dir(dir).map(|()| true).map_err(OpenError::io("syncing", dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let homes = home::find(dir).map_err(OpenError::io("listing", dir))?;
            Ok(!homes.paths.iter().any(|path| path.exists()))
        }
        Err(source) => Err(OpenError::NotWritable { dir: dir.to_path_buf(), source }),
    }
}
