//! The one writer.

mod recover;
mod upkeep;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::check;
use super::database::Database;
use super::error::StoreError;
use super::fault::{Fault, catch_panic};
use super::figures::Figures;
use super::format;
use super::journal::Journal;
use super::keys;
use super::layered::Layered;
use super::lock::DirLock;
use super::mend::{self, Mend, Mended};
use super::open::Options;
use super::reader::{Reader, Slot, Staged};
use super::rewrite::Rewriter;
use super::stage::{Trim, stage};
use crate::engine::write_set::WriteSet;

/// What a store begins with.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) journal: Journal,
    /// The directory of the database.
    pub(super) home: PathBuf,
}

/// The store, as its one writer has it.
///
/// [`apply`](Self::apply) gathers write sets into a group, which is seen by the [writer's view](Self::view) alone.
/// [`sync`](Self::sync) makes the group durable with one append to the journal and one fdatasync (rule R1), and shows it to readers.
/// [`settle_when_due`](Self::settle_when_due) writes what has come together into sled, whose own flush nobody waits for: what sled may
/// lose of it the journal has.
///
/// When `apply` or `sync` fails, the group is gone and nothing of it may be acknowledged. The next call tries again, and opens sled
/// anew where it has to (rule R45).
pub struct Store {
    dir: PathBuf,
    /// The directory that sled lives in.
    home: PathBuf,
    cache_bytes: u64,
    slot: Arc<Slot>,
    journal: Journal,
    /// The group: what was applied since the last sync.
    staged: Staged,
    /// Bytes of its keys and values; what is written twice counts twice.
    staged_bytes: usize,
    /// Why a group was dropped of which nobody has heard yet.
    dropped: Option<StoreError>,
    /// The number of the last write set that was applied.
    number: u64,
    /// Changes that go with the next sync.
    trims: Vec<Trim>,
    rewriter: Rewriter,
    figures: Arc<Figures>,
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
    pub(super) fn new(dir: &Path, options: Options, lock: DirLock, opened: Opened) -> Self {
        let Opened { database, journal, home } = opened;
        let mut rewriter = Rewriter::new(options.rewrite_floor);
        // A fresh one is counted at once; any other takes its time.
        if journal.committed().number == 0
            && let Ok(live) = database.live(|| true)
        {
            rewriter.counted(live);
        }
        let slot = Slot::new(database);
        slot.journal.reaches(journal.committed().end);
        Self {
            dir: dir.to_path_buf(),
            home,
            cache_bytes: options.cache_bytes,
            slot,
            number: journal.committed().number,
            journal,
            staged: Staged::default(),
            staged_bytes: 0,
            dropped: None,
            trims: Vec::new(),
            rewriter,
            figures: Arc::default(),
            failed: false,
            _lock: lock,
        }
    }

    /// The state directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Damaged values that reads came upon and that are not mended yet, as far as they are remembered.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.slot.damaged.count()
    }

    /// A handle for reads of what is durable, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.slot), None, self.dir.clone())
    }

    /// The writer's view: what is durable, and what was applied since.
    #[must_use]
    pub fn view(&self) -> Reader {
        Reader::new(Arc::clone(&self.slot), Some(Arc::clone(&self.staged)), self.dir.clone())
    }

    /// What the store tells of itself, for metrics.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Lets `wake` be called when a read comes upon a damaged value, so that [`mend`](Self::mend) need not wait for the next change. It is
    /// called on the reader's thread and must not block.
    pub fn when_damaged(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.slot.damaged.call(Box::new(wake));
    }

    /// Opens the database again when a write had failed. Call it before the view is read for a new group: what failed half-way shows
    /// there until then.
    ///
    /// # Errors
    /// When it can't be written yet, or a group was dropped of which [`apply`](Self::apply) and [`sync`](Self::sync) did not tell.
    pub fn ready(&mut self) -> Result<(), StoreError> {
        self.database().map(drop)
    }

    /// Takes damaged values out that reads came upon, or puts the journal's in their place. Call it between groups.
    ///
    /// # Errors
    /// As [`sync`](Self::sync); they are found again.
    pub fn mend(&mut self) -> Result<Option<Mended>, StoreError> {
        let places = self.slot.damaged.take();
        if places.is_empty() {
            return Ok(None);
        }
        self.settle();
        let database = self.database()?;
        if !self.slot.over().is_empty() {
            // A value that is on its way may take their place. They wait for the next call.
            self.slot.damaged.put_back(places);
            return Ok(None);
        }
        let mended = mend::mend(places, &database, &self.dir.join("journal"), self.journal.committed());
        drop(database);
        let Mend { mut writes, trims, mended } = mended.map_err(|fault| self.fail("mending damaged values", fault))?;
        if writes.is_empty() {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        check::put(&mut writes, keys::NUMBER, &self.number).map_err(|fault| self.fail("mending damaged values", fault))?;
        self.staged.write().unwrap_or_else(PoisonError::into_inner).extend(writes);
        self.trims.extend(trims);
        self.sync()?;
        Ok(Some(mended))
    }

    /// Takes a set into the group. Of a [`TrimChanges`](crate::engine::write_set::Write::TrimChanges) over more than 1,000 changes the
    /// rest goes with the sync; changes must not be written again below a trim.
    ///
    /// # Errors
    /// When what the set is based on can't be read, the group is gone: see [`Store`].
    pub fn apply(&mut self, set: &WriteSet) -> Result<(), StoreError> {
        if set.is_empty() {
            return Ok(());
        }
        let database = self.database()?;
        let outcome = self.take(&database, set);
        drop(database);
        outcome.map_err(|fault| self.fail("storing a change", fault))
    }

    /// The writes in the group: a group of some hundred goes into sled within some milliseconds.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.staged.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Bytes of the keys and values in the group, at least.
    #[must_use]
    pub const fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }

    /// Makes the group durable and shows it: once this returns, a power cut takes nothing of it.
    ///
    /// # Errors
    /// When it is not durable, the group is gone: see [`Store`].
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let database = self.database()?;
        let group = std::mem::take(&mut *self.staged.write().unwrap_or_else(PoisonError::into_inner));
        self.staged_bytes = 0;
        if group.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        if let Err(error) = self.journal.commit(&group, self.number) {
            drop(database);
            return Err(self.fail("making changes durable", Fault::Io(error)));
        }
        self.slot.journal.reaches(self.journal.committed().end);
        self.figures.synced(start.elapsed());
        self.slot.lay_over(group);
        self.show_figures();
        // What is left of a trim is in no group, and must be gone when readers see that it was made.
        if !self.trims.is_empty() {
            self.settle();
        }
        Ok(())
    }

    /// Settles when much has come together: to be called once the last sync was told to whom it may concern.
    pub fn settle_when_due(&mut self) {
        if self.slot.over().is_full() || self.journal.wants_checkpoint() {
            self.settle();
        }
    }

    /// Writes into sled what was made durable since the last time. Nothing depends on its success, since the journal has it: after a
    /// failure the next call brings sled in line.
    pub fn settle(&mut self) {
        let over = self.slot.over();
        let Some(database) = self.slot.get().filter(|_| !over.is_empty() && !self.failed) else { return };
        if !self.has_room(&over) {
            return;
        }
        let merged = over.merged();
        let writes = merged.iter().map(|(place, value)| (*place, *value));
        let written = database.exchange(writes, |place, value, previous| self.journal.account(place, value, previous));
        let written = written.and_then(|footprint| {
            self.rewriter.account(footprint);
            self.slot.uncover();
            self.rewriter.written(merged.keys().copied());
            self.tidy(&database)
        });
        drop(database);
        if written.is_ok() {
            self.rewrite(false);
        }
        self.show_figures();
        if let Err(fault) = written {
            let is_group = self.staged() > 0;
            let error = self.fail("bringing the store in line with its journal", fault);
            tracing::warn!(%error, "the store's database failed; what was acknowledged is in the journal");
            // Whoever is in the group has not asked for this, and must hear of it all the same.
            self.dropped = is_group.then_some(error);
        }
    }

    /// Looks whether a rewrite pays, although the files have hardly grown since the last look, and switches to one that is complete. To be
    /// called when nothing was applied for a while; returns whether to call it again soon.
    pub fn rest(&mut self) -> bool {
        self.settle();
        self.rewrite(true);
        self.show_figures();
        self.rewriter.is_under_way()
    }

    /// Makes everything durable and leaves the mark of a clean stop. Readers fail from now on.
    ///
    /// # Errors
    /// When the last sync or the mark failed: the next start then checks the store.
    pub fn close(mut self) -> Result<(), StoreError> {
        const DOING: &str = "closing the store";
        self.sync()?;
        self.settle();
        self.rewriter.abandon();
        let database = self.database()?;
        self.checkpoint(&database).map_err(|fault| store_error(DOING, fault))?;
        self.journal.cut_ahead().map_err(|error| StoreError::io(DOING, error))?;
        drop(database);
        let database = self.slot.replace(None);
        catch_panic(|| drop(database)).map_err(|fault| store_error(DOING, fault))?;
        format::replace(&self.dir, "clean", b"").map_err(|error| StoreError::io("marking the clean stop", error))
    }

    /// The database as it is, to do it harm.
    #[cfg(test)]
    pub(super) fn database_in_use(&self) -> Arc<Database> {
        self.slot.get().expect("an open database")
    }

    /// Whether a copy of the database is made and waits to be switched to.
    #[cfg(test)]
    pub(super) fn copy_is_made(&self) -> bool {
        self.rewriter.is_made()
    }

    fn take(&mut self, database: &Database, set: &WriteSet) -> Result<(), Fault> {
        let mut group = self.staged.write().unwrap_or_else(PoisonError::into_inner);
        let mut staged = stage(Layered::new(database, &self.slot.over(), Some(&group)), set)?;
        let number = self.number.saturating_add(1);
        check::put(&mut staged.writes, keys::NUMBER, &number)?;
        let bytes: usize = staged.writes.iter().map(|((_, key), value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        self.staged_bytes = self.staged_bytes.saturating_add(bytes);
        group.extend(staged.writes);
        self.number = number;
        self.trims.extend(staged.trims);
        Ok(())
    }

    fn show_figures(&self) {
        let (journal, live) = (self.journal.committed().end, self.journal.live());
        self.figures.show(journal, live, self.rewriter.live(), self.rewriter.is_under_way());
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.rewriter.abandon();
        let database = self.slot.replace(None);
        if let Err(fault) = catch_panic(|| drop(database)) {
            tracing::warn!(error = %fault, "closing the store failed");
        }
    }
}

fn store_error(doing: &'static str, fault: Fault) -> StoreError {
    match fault {
        Fault::Io(error) => StoreError::io(doing, error),
        Fault::Busy => StoreError::io(doing, std::io::Error::from(std::io::ErrorKind::ResourceBusy)),
        Fault::Damaged(detail) => StoreError::damaged(doing, detail),
    }
}
