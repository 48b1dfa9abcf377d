//! What a failure leaves: the group is gone, and the database is opened again before anything else is written.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::super::check;
use super::super::database::Database;
use super::super::disk;
use super::super::error::StoreError;
use super::super::fault::{Fault, catch_panic};
use super::super::over::Over;
use super::super::restore;
use super::{Store, store_error};

/// What must fit on the disk before the database is opened again after a failure, in bytes: two of sled's segments.
const PROBE_BYTES: usize = 1024 * 1024;

/// sled's files grow by so many times of what is written into them at most.
const AMPLIFIED: u64 = 4;

impl Store {
    /// The database, opened again when the last write failed.
    pub(super) fn database(&mut self) -> Result<Arc<Database>, StoreError> {
        const DOING: &str = "opening the store again after a write that failed";
        self.settle_when_due();
        if let Some(error) = self.dropped.take() {
            return Err(error);
        }
        if self.failed {
            self.recover().map_err(|fault| store_error(DOING, fault))?;
        } else if self.slot.over().is_full() {
            self.drop_group();
            return Err(StoreError::io("bringing the store in line with its journal", std::io::ErrorKind::StorageFull.into()));
        }
        self.slot.get().ok_or_else(|| StoreError::damaged(DOING, "it is not open"))
    }

    /// Drops the group, and sets about what failed, now if the disk allows it.
    pub(super) fn fail(&mut self, doing: &'static str, fault: Fault) -> StoreError {
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
        self.staged_bytes = 0;
        self.number = self.journal.committed().number;
    }

    /// Whether the disk has room for what sled makes of this. After an error sled refuses reads as well, so it must not come to that.
    pub(super) fn has_room(&self, over: &Over) -> bool {
        let wanted = (over.bytes() as u64).saturating_mul(AMPLIFIED).saturating_add(PROBE_BYTES as u64);
        disk::free(&self.dir).is_none_or(|free| free >= wanted)
    }

    /// Opens the database again, since sled refuses everything after an error, and brings it in line with the journal.
    fn recover(&mut self) -> Result<(), Fault> {
        probe(&self.dir)?;
        let former = self.slot.replace(None);
        catch_panic(|| drop(former))?;
        let database = Database::open(&self.home, self.cache_bytes)?;
        let (number, committed) = (check::number(&database)?, self.journal.committed());
        if number < committed.checkpoint {
            // What it lacks of that is not in the journal: reads of it would be of an earlier time.
            return Err(Fault::Damaged(format!("it came back as of change {number} of {}", committed.checkpoint)));
        }
        let outcome = self.catch_up(&database);
        if outcome.is_ok() {
            self.slot.uncover();
            self.failed = false;
        }
        self.slot.replace(Some(database));
        outcome
    }

    fn catch_up(&mut self, database: &Database) -> Result<(), Fault> {
        restore::catch_up(&self.dir.join("journal"), self.journal.committed(), database)?;
        self.journal.make_name_durable()?;
        if self.journal.wants_rewrite() {
            database.sync()?;
            self.slot.journal.moves();
            let rewritten = self.journal.rewrite_here(database);
            self.slot.journal.moved(self.journal.committed().end);
            rewritten?;
        }
        Ok(())
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
