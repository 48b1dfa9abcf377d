//! The one writer.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check;
use super::database::{Database, Fault, Tree, Writes, catch_panic};
use super::error::StoreError;
use super::format;
use super::journal::Journal;
use super::keys;
use super::lock::DirLock;
use super::reader::{Reader, Slot};
use super::stage::{Trim, stage};
use crate::engine::write_set::WriteSet;

/// What must fit on the disk before the database is opened again after a failure, in bytes: two of sled's segments.
const PROBE_BYTES: usize = 1024 * 1024;

/// What a store begins with.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) journal: Journal,
    /// The number of the last write set.
    pub(super) number: u64,
}

/// The store, as its one writer has it.
///
/// The writer applies the write sets of a group, syncs once, and only then acknowledges them (rule R1).
///
/// When `apply` or `sync` fails, everything since the last successful `sync` is taken back, at once or, where the disk does
/// not even allow that, with the next call that finds it working again: nothing of it may be acknowledged. Until then reads
/// are answered from memory, and may show what is to be taken back (rule R45).
pub struct Store {
    dir: PathBuf,
    cache_bytes: u64,
    slot: Arc<Slot>,
    journal: Journal,
    /// The number of the last write set that was applied.
    number: u64,
    /// What stood where since the last sync something was written.
    before: Writes,
    /// Changes that go with the next sync.
    trims: Vec<Trim>,
    /// The database is to be opened again before it is written.
    failed: bool,
    _lock: DirLock,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Store {
    pub(super) fn new(dir: &Path, cache_bytes: u64, lock: DirLock, opened: Opened) -> Self {
        let Opened { database, journal, number } = opened;
        Self {
            dir: dir.to_path_buf(),
            cache_bytes,
            slot: Slot::new(database),
            journal,
            number,
            before: Writes::new(),
            trims: Vec::new(),
            failed: false,
            _lock: lock,
        }
    }

    /// A handle for reads, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.slot), self.dir.clone())
    }

    /// Writes a set: readers see all of it from now on, and after a crash all of it or nothing is there. It is not durable
    /// before [`sync`](Self::sync).
    ///
    /// Readers wait meanwhile, in the order of 30 µs for each write, so keep sets at some hundred writes.
    /// Of a [`TrimChanges`](crate::engine::write_set::Write::TrimChanges) over more than 1,000 changes the rest goes with the
    /// next sync; changes must not be written again below a trim.
    ///
    /// # Errors
    /// When it was not written, nothing of the group is: see [`Store`].
    pub fn apply(&mut self, set: &WriteSet) -> Result<(), StoreError> {
        const DOING: &str = "storing a change";
        if set.is_empty() {
            return Ok(());
        }
        let database = self.database()?;
        let outcome = self.write(&database, set);
        drop(database);
        outcome.map_err(|fault| self.fail(DOING, fault))
    }

    /// Makes everything that was applied durable: once this returns, a power cut takes nothing of it.
    ///
    /// # Errors
    /// When it is not durable, nothing of the group is: see [`Store`].
    pub fn sync(&mut self) -> Result<(), StoreError> {
        const DOING: &str = "making changes durable";
        let database = self.database()?;
        if self.before.is_empty() {
            return Ok(());
        }
        // The journal last: it must never know of more than sled does, or sled would pass for damaged (see `restore`).
        let outcome = database.sync().and_then(|()| Ok(self.journal.commit(self.number)?));
        if let Err(fault) = outcome {
            drop(database);
            return Err(self.fail(DOING, fault));
        }
        self.before.clear();
        for trim in std::mem::take(&mut self.trims) {
            if let Err(fault) = finish(&database, trim) {
                // The set is durable; what is left of the range goes at the next start.
                tracing::warn!(error = %fault, "trimming the change feed failed");
                self.failed = true;
                break;
            }
        }
        if let Err(fault) = self.journal.compact(&database, self.number) {
            tracing::warn!(error = %fault, "compacting the outbox journal failed; it goes on growing for now");
        }
        Ok(())
    }

    /// Makes everything durable and leaves the mark of a clean stop. Readers fail from now on.
    ///
    /// # Errors
    /// When the last sync or the mark failed: the next start then checks the store.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.sync()?;
        let database = self.slot.replace(None);
        catch_panic(|| drop(database)).map_err(|fault| store_error("closing the store", fault))?;
        format::replace(&self.dir, "clean", b"").map_err(|error| StoreError::io("marking the clean stop", error))
    }

    fn write(&mut self, database: &Database, set: &WriteSet) -> Result<(), Fault> {
        let mut staged = stage(database, set)?;
        let number = self.number.saturating_add(1);
        check::put(&mut staged.writes, keys::NUMBER, &number)?;
        let (previous, outcome) = database.exchange(&staged.writes);
        for ((place, value), previous) in staged.writes.iter().zip(&previous) {
            if outcome.is_ok() {
                self.journal.record(place, value.as_deref(), previous.as_deref())?;
            }
            if !self.before.contains_key(place) {
                self.before.insert(place.clone(), previous.as_deref().map(<[u8]>::to_vec));
            }
        }
        outcome?;
        self.number = number;
        self.trims.extend(staged.trims);
        Ok(())
    }

    /// The database, opened again when the last write failed.
    fn database(&mut self) -> Result<Arc<Database>, StoreError> {
        const DOING: &str = "opening the store again after a write that failed";
        if self.failed {
            self.recover().map_err(|fault| store_error(DOING, fault))?;
        }
        self.slot.get().ok_or_else(|| StoreError::damaged(DOING, "it is not open"))
    }

    /// Takes the group back, now if the disk allows it.
    fn fail(&mut self, doing: &'static str, fault: Fault) -> StoreError {
        self.failed = true;
        self.trims.clear();
        if let Err(fault) = self.recover() {
            tracing::debug!(error = %fault, "the store stays closed to writes");
        }
        store_error(doing, fault)
    }

    /// Opens the database again, since sled refuses everything after an error, and takes back what was not synced.
    fn recover(&mut self) -> Result<(), Fault> {
        self.failed = true;
        probe(&self.dir)?;
        let former = self.slot.replace(None);
        catch_panic(|| drop(former))?;
        let database = Database::open(&self.dir.join("sled"), self.cache_bytes)?;
        let outcome = self.take_back(&database);
        self.slot.replace(Some(database));
        outcome?;
        self.before.clear();
        self.failed = false;
        Ok(())
    }

    /// Writes what stood there before the group, into the database and into a new journal.
    fn take_back(&mut self, database: &Database) -> Result<(), Fault> {
        database.commit(&self.before)?;
        database.sync()?;
        self.number = check::read(database, keys::NUMBER, "the number of the last write set")?.unwrap_or(0);
        // A file whose sync failed may have lost what was synced before: only a new one is sure.
        self.journal = Journal::rewrite(&self.dir.join("journal"), database, self.number)?;
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let database = self.slot.replace(None);
        if let Err(fault) = catch_panic(|| drop(database)) {
            tracing::warn!(error = %fault, "closing the store failed");
        }
    }
}

/// Removes what is left of a range, in steps.
fn finish(database: &Database, trim: Trim) -> Result<(), Fault> {
    loop {
        let step = trim.next_step(database)?;
        if step.is_empty() {
            return Ok(());
        }
        let writes = step.into_iter().map(|key| ((Tree::Feed, key), None)).collect();
        database.commit(&writes)?;
    }
}

/// Whether the disk takes anything again.
fn probe(dir: &Path) -> Result<(), Fault> {
    let path = dir.join("probe");
    let outcome =
        fs::File::create(&path).and_then(|mut file| file.write_all(&vec![0; PROBE_BYTES]).and_then(|()| file.sync_all()));
    let removed = fs::remove_file(&path);
    outcome?;
    removed?;
    Ok(())
}

fn store_error(doing: &'static str, fault: Fault) -> StoreError {
    match fault {
        Fault::Io(error) => StoreError::io(doing, error),
        Fault::Busy => StoreError::io(doing, std::io::Error::from(std::io::ErrorKind::ResourceBusy)),
        Fault::Damaged(detail) => StoreError::damaged(doing, detail),
    }
}
