//! From a path to an open store, whatever lies there.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use aesync_protocol::Timestamp;

use super::choose;
use super::database::Database;
use super::disk::{self, sync_dir};
use super::error::OpenError;
use super::evidence;
use super::fault::Fault;
use super::filling;
use super::finding::{Finding, FindingCode};
use super::format;
use super::home;
use super::lock::DirLock;
use super::writer::Store;
use crate::engine::view::View as _;
use crate::engine::write_set::{Write, WriteSet};

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
        filling::check(dir)?;
        let mut findings = Vec::new();
        let was_clean = take_clean_mark(dir)?;
        if !was_clean {
            findings.push(Finding::new(
                FindingCode::UncleanStop,
                "the last stop was not a clean one; what was acknowledged is kept, and the store was checked",
            ));
        }
        let opened = choose::open_checked(dir, options, was_clean, &mut findings)?;
        findings.extend(evidence::keep_the_newest(dir));
        let mut store = Self::new(dir, options, lock, opened);
        if let Err(problem) = store.keep(&findings) {
            tracing::warn!("what was found at the opening of the store can't be kept for later: {problem}");
        }
        Ok((store, findings))
    }
}

impl Store {
    /// Keeps what was found until somebody acknowledges it, whatever becomes of whoever opened the store.
    fn keep(&mut self, findings: &[Finding]) -> Result<(), String> {
        let kept = || findings.iter().filter(|finding| finding.code != FindingCode::UncleanStop);
        if kept().next().is_none() {
            return Ok(());
        }
        let mut notices = self.view().notices().map_err(|error| error.to_string())?;
        kept().for_each(|finding| notices.add(finding.code.as_str(), &finding.message));
        let set = WriteSet { writes: vec![Write::Notices(notices)] };
        self.apply(&set).and_then(|()| self.sync()).map_err(|error| error.to_string())
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
        Err(Fault::Damaged(_)) if set_snapshots_aside(path, &evidence::dir_for(dir, options.now))? => {
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
