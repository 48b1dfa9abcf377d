//! The one writer.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::check;
use super::database::{Database, Fault, Tree, catch_panic};
use super::disk;
use super::error::StoreError;
use super::figures::Figures;
use super::format;
use super::home;
use super::journal::Journal;
use super::keys;
use super::layered::Layered;
use super::lock::DirLock;
use super::mend::{self, Mend, Mended};
use super::open::Options;
use super::over::Over;
use super::reader::{Reader, Slot, Staged};
use super::restore;
use super::rewrite::Rewriter;
use super::stage::{Trim, stage};
use crate::engine::write_set::WriteSet;

/// What must fit on the disk before the database is opened again after a failure, in bytes: two of sled's segments.
const PROBE_BYTES: usize = 1024 * 1024;

/// sled's files grow by so many times of what is written into them at most.
const AMPLIFIED: u64 = 4;

/// How long reads of a database that was replaced may take before it is removed.
const REMOVE_DEADLINE: Duration = Duration::from_secs(30);
/// How often that is looked at.
const REMOVE_POLL: Duration = Duration::from_millis(20);

/// What a store begins with.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) journal: Journal,
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
    cache_bytes: u64,
    slot: Arc<Slot>,
    journal: Journal,
    /// The group: what was applied since the last sync.
    staged: Staged,
    /// The number of the last write set that was applied.
    number: u64,
    /// Changes that go with the next sync.
    trims: Vec<Trim>,
    rewriter: Rewriter,
    /// The size of the files was not looked at since the start.
    look_soon: bool,
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
        let Opened { database, journal } = opened;
        let slot = Slot::new(database);
        slot.journal.reaches(journal.committed().end);
        Self {
            dir: dir.to_path_buf(),
            cache_bytes: options.cache_bytes,
            slot,
            number: journal.committed().number,
            journal,
            staged: Staged::default(),
            trims: Vec::new(),
            rewriter: Rewriter::new(options.rewrite_floor),
            look_soon: true,
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
    /// When it can't be written yet.
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

    /// Makes the group durable and shows it: once this returns, a power cut takes nothing of it.
    ///
    /// # Errors
    /// When it is not durable, the group is gone: see [`Store`].
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let database = self.database()?;
        let group = std::mem::take(&mut *self.staged.write().unwrap_or_else(PoisonError::into_inner));
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
        let written = written.and_then(|()| {
            self.slot.uncover();
            self.rewriter.written(merged.keys().copied());
            self.tidy(&database)
        });
        drop(database);
        self.rewrite();
        self.show_figures();
        if let Err(fault) = written {
            let error = self.fail("bringing the store in line with its journal", fault);
            tracing::warn!(%error, "the store's database failed; what was acknowledged is in the journal");
        }
    }

    /// Looks whether a rewrite pays, although the files have hardly grown since the last look, and switches to one that is complete. To be
    /// called when nothing was applied for a while; returns whether to call it again soon.
    pub fn rest(&mut self) -> bool {
        self.settle();
        self.rewriter.rest();
        self.look_soon = true;
        self.rewrite();
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

    fn take(&mut self, database: &Database, set: &WriteSet) -> Result<(), Fault> {
        let mut group = self.staged.write().unwrap_or_else(PoisonError::into_inner);
        let mut staged = stage(Layered::new(database, &self.slot.over(), Some(&group)), set)?;
        let number = self.number.saturating_add(1);
        check::put(&mut staged.writes, keys::NUMBER, &number)?;
        group.extend(staged.writes);
        self.number = number;
        self.trims.extend(staged.trims);
        Ok(())
    }

    fn show_figures(&self) {
        let (journal, live) = (self.journal.committed().end, self.journal.live());
        self.figures.show(journal, live, self.rewriter.live(), self.rewriter.is_under_way());
    }

    /// What is due now and then, once a group is in the database: the rest of trims, checkpoints, compaction.
    fn tidy(&mut self, database: &Database) -> Result<(), Fault> {
        for trim in std::mem::take(&mut self.trims) {
            // When this fails, what is left of the range goes at the next start.
            finish(database, trim)?;
        }
        if self.journal.wants_checkpoint() {
            self.checkpoint(database)?;
            self.slot.journal.moves();
            if let Err(fault) = self.journal.compact(database) {
                tracing::warn!(error = %fault, "compacting the outbox journal failed; it goes on growing for now");
            }
            self.slot.journal.moved(self.journal.committed().end);
        }
        Ok(())
    }

    /// Switches to a rewritten database when there is one, and begins a rewrite when it is due.
    pub(super) fn rewrite(&mut self) {
        if self.failed {
            return;
        }
        let Some(database) = self.slot.get() else { return };
        let former = home::current(&self.dir);
        let outcome = match self.rewriter.finish(&database) {
            Ok(Some((copy, path))) => home::switch(&self.dir, &path).map_err(Fault::Io).map(|()| Some(copy)),
            Ok(None) => Ok(None),
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok(Some(copy)) => {
                drop(database);
                let old = self.slot.replace(Some(copy));
                tracing::info!(former = %former.display(), "the store was rewritten");
                remove_former(old, former);
            }
            Ok(None) => {
                let committed = self.journal.committed();
                // A look costs a few system calls, so not after every group.
                if committed.checkpoint_end == committed.end || self.look_soon {
                    self.look_soon = false;
                    let looked = self.rewriter.look(&database, &former, || home::next(&self.dir), self.cache_bytes);
                    if let Err(error) = looked {
                        tracing::warn!(%error, "the store can't be rewritten now; it goes on growing");
                    }
                }
            }
            Err(fault) => tracing::warn!(error = %fault, "rewriting the store failed; it goes on as it is"),
        }
    }

    /// Makes sled durable, and notes that it is.
    fn checkpoint(&mut self, database: &Database) -> Result<(), Fault> {
        let committed = self.journal.committed();
        if committed.checkpoint_end == committed.end {
            return Ok(());
        }
        if !self.slot.over().is_empty() {
            return Err(Fault::Io(std::io::ErrorKind::StorageFull.into()));
        }
        database.sync()?;
        Ok(self.journal.checkpoint()?)
    }

    /// The database, opened again when the last write failed.
    fn database(&mut self) -> Result<Arc<Database>, StoreError> {
        const DOING: &str = "opening the store again after a write that failed";
        self.settle_when_due();
        if self.failed {
            self.recover().map_err(|fault| store_error(DOING, fault))?;
        } else if self.slot.over().is_full() {
            self.drop_group();
            return Err(StoreError::io("bringing the store in line with its journal", std::io::ErrorKind::StorageFull.into()));
        }
        self.slot.get().ok_or_else(|| StoreError::damaged(DOING, "it is not open"))
    }

    /// Drops the group, and sets about what failed, now if the disk allows it.
    fn fail(&mut self, doing: &'static str, fault: Fault) -> StoreError {
        self.failed = true;
        self.rewriter.abandon();
        self.drop_group();
        if let Err(fault) = self.recover() {
            tracing::debug!(error = %fault, "the store stays closed to writes");
        }
        store_error(doing, fault)
    }

    fn drop_group(&mut self) {
        self.trims.clear();
        self.staged.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.number = self.journal.committed().number;
    }

    /// Whether the disk has room for what sled makes of this. After an error sled refuses reads as well, so it must not come to that.
    fn has_room(&self, over: &Over) -> bool {
        let wanted = (over.bytes() as u64).saturating_mul(AMPLIFIED).saturating_add(PROBE_BYTES as u64);
        disk::free(&self.dir).is_none_or(|free| free >= wanted)
    }

    /// Opens the database again, since sled refuses everything after an error, and brings it in line with the journal.
    fn recover(&mut self) -> Result<(), Fault> {
        probe(&self.dir)?;
        let former = self.slot.replace(None);
        catch_panic(|| drop(former))?;
        let database = Database::open(&home::current(&self.dir), self.cache_bytes)?;
        let outcome = self.catch_up(&database);
        if outcome.is_ok() {
            self.slot.uncover();
            self.failed = false;
        }
        self.slot.replace(Some(database));
        outcome
    }

    fn catch_up(&mut self, database: &Database) -> Result<(), Fault> {
        let path = self.dir.join("journal");
        restore::catch_up(&path, self.journal.committed(), database)?;
        if self.journal.is_suspect() {
            database.sync()?;
            self.slot.journal.moves();
            let rewritten =
                Journal::rewrite(&path, database, self.journal.committed().number).map(|journal| self.journal = journal);
            self.slot.journal.moved(self.journal.committed().end);
            rewritten?;
        }
        Ok(())
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

/// Closes a database that nobody writes any more, and removes it, on a thread of its own: the close may take seconds.
fn remove_former(database: Option<Arc<Database>>, path: PathBuf) {
    let remove = move || {
        // Reads that are under way end first.
        let deadline = Instant::now() + REMOVE_DEADLINE;
        while database.as_ref().is_some_and(|database| Arc::strong_count(database) > 1) && Instant::now() < deadline {
            std::thread::sleep(REMOVE_POLL);
        }
        let closed = catch_panic(|| drop(database));
        let removed = fs::remove_dir_all(&path);
        if closed.is_err() || removed.is_err() {
            tracing::warn!(?closed, ?removed, path = %path.display(), "removing the former store; the next start removes it");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("aesync-remove".to_owned()).spawn(remove) {
        tracing::warn!(%error, "the former store is removed at the next start");
    }
}

/// Removes what is left of a range, in steps.
fn finish(database: &Database, trim: Trim) -> Result<(), Fault> {
    loop {
        let step = trim.next_step(Layered::new(database, &Over::default(), None))?;
        if step.is_empty() {
            return Ok(());
        }
        let writes = step.into_iter().map(|key| ((Tree::Feed, key), None)).collect();
        database.write(&writes)?;
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
