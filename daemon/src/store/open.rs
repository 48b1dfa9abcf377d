//! From a path to an open store, whatever lies there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aesync_protocol::Timestamp;

use super::check::{self, Checked};
use super::database::{Database, Fault, sync_dir};
use super::error::OpenError;
use super::finding::{Finding, FindingCode};
use super::format;
use super::lock::DirLock;
use super::writer::Store;

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What sled may keep of its pages in memory, in bytes. The process needs about 100 MB more with a million records.
    pub cache_bytes: u64,
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
        if !take_clean_mark(dir)? {
            findings.push(Finding::new(
                FindingCode::UncleanStop,
                "the last stop was not a clean one; what was acknowledged is kept, and the store was checked",
            ));
        }
        let database = open_checked(dir, options, &mut findings)?;
        Ok((Self::new(dir, options.cache_bytes, lock, database), findings))
    }
}

/// Opens the database and repairs small damage; great damage is moved aside.
fn open_checked(dir: &Path, options: Options, findings: &mut Vec<Finding>) -> Result<Database, OpenError> {
    let path = dir.join("sled");
    let reason = match open_database(dir, &path, options) {
        Ok(database) => match check::check(&database) {
            Ok(Checked::Sound(repairs)) => {
                findings.extend(repairs);
                return Ok(database);
            }
            Ok(Checked::NewerFormat { found }) => {
                return Err(OpenError::NewerFormat { dir: dir.to_path_buf(), found, known: format::FORMAT });
            }
            Err(fault) => reason_to_replace("checking the store in", &path, fault)?,
        },
        Err(fault) => reason_to_replace("opening the store in", &path, fault)?,
    };
    let evidence = evidence_dir(dir, options.now);
    fs::create_dir(&evidence)
        .and_then(|()| fs::rename(&path, evidence.join("sled")))
        .and_then(|()| sync_dir(&evidence))
        .and_then(|()| sync_dir(dir))
        .map_err(OpenError::io("moving the damaged store aside to", &evidence))?;
    findings.push(Finding::new(
        FindingCode::StoreDamaged,
        format!("the store did not open ({reason}); it was moved to {} and a fresh one was started", evidence.display()),
    ));
    let unusable = |detail: String| OpenError::Unusable { dir: dir.to_path_buf(), detail };
    let database = Database::open(&path, options.cache_bytes).map_err(|fault| unusable(fault.to_string()))?;
    sync_dir(dir).map_err(OpenError::io("syncing", dir))?;
    check::check(&database).map_err(|fault| unusable(fault.to_string()))?;
    Ok(database)
}

/// Why the store is to be moved aside; an error when another attempt may succeed.
fn reason_to_replace(doing: &'static str, path: &Path, fault: Fault) -> Result<String, OpenError> {
    let source = match fault {
        Fault::Damaged(reason) => return Ok(reason),
        Fault::Io(source) => source,
        Fault::Busy => io::Error::from(io::ErrorKind::ResourceBusy),
    };
    Err(OpenError::Io { doing, path: path.to_path_buf(), source })
}

/// Opens sled, once more without its unfinished snapshots when it does not open with them.
fn open_database(dir: &Path, path: &Path, options: Options) -> Result<Database, Fault> {
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
fn evidence_dir(dir: &Path, now: Timestamp) -> PathBuf {
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
    match fs::remove_file(&mark) {
        Ok(()) => sync_dir(dir).map(|()| true).map_err(OpenError::io("syncing", dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(!dir.join("sled").exists()),
        Err(source) => Err(OpenError::NotWritable { dir: dir.to_path_buf(), source }),
    }
}
