//! sled, fenced in: what is large stands apart from it, its keys are short, and its flush is made durable.

mod read;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{Batch, Footprint};
use super::disk::{database_synced, open_to_sync, sync_dir};
use super::fault::{Fault, fenced};
use super::legacy::Legacy;
use super::mark_cache::MarkCache;
use super::patience::patient;
use super::values::Values;

/// The trees. Their numbers are on disk: only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tree {
    /// Base rows and overlays.
    Replica,
    /// Entries, their index, and answers.
    Outbox,
    /// Changes.
    Feed,
    /// Registry, ledgers, cursors, format.
    Meta,
}

impl Tree {
    /// The tree that has this number in the journal.
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Replica),
            1 => Some(Self::Outbox),
            2 => Some(Self::Feed),
            3 => Some(Self::Meta),
            _ => None,
        }
    }
}

/// A tree and a key in it.
pub(super) type Place = (Tree, Vec<u8>);
/// What to write where; `None` removes.
pub(super) type Writes = BTreeMap<Place, Option<Vec<u8>>>;

/// sled's share of the cache: besides the pages that it counts, it keeps up to sixteen thousand that it has not counted yet, a table of
/// all pages, and what the allocator can't give back of them.
const SHARE: u64 = 4;
/// The share of the marks: at the default, those of a million and more.
const MARKS_SHARE: u64 = 4;
/// The part of sled's share that a copy has, since the one that it is copied from is open all the while.
const COPY_SHARE: u64 = 4;
/// The least that sled's cache works with, in bytes.
const LEAST_CACHE: u64 = 256 * 1024;

/// How long sled's files may stay locked: whoever opens them holds the state directory, so only what is about to let go of
/// them does, such as a read that is under way in a database that failed.
const RELEASE_DEADLINE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// An open sled database, with what stands apart from it.
pub(super) struct Database {
    db: sled::Db,
    trees: [sled::Tree; 4],
    values: Values,
    /// Of base rows and overlays.
    marks: MarkCache,
    legacy: Legacy,
    dir: PathBuf,
    /// sled's log, for an fdatasync of our own.
    log: File,
    /// The blob files that were synced before.
    synced_blobs: Mutex<HashSet<OsString>>,
}

impl Database {
    /// Opens the database in `dir`, or creates one there. sled gets a quarter of `cache_bytes`, and so do the marks.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        Self::open_with(dir, cache_bytes / SHARE, cache_bytes / MARKS_SHARE)
    }

    /// Creates one in `dir` that another one is copied into.
    pub(super) fn open_copy(dir: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        Self::open_with(dir, cache_bytes / SHARE / COPY_SHARE, cache_bytes / MARKS_SHARE)
    }

    fn open_with(dir: &Path, cache: u64, marks: u64) -> Result<Self, Fault> {
        let deadline = Instant::now() + RELEASE_DEADLINE;
        let (db, trees, legacy) = loop {
            match Self::open_trees(dir, cache.max(LEAST_CACHE)) {
                Err(Fault::Busy) if Instant::now() < deadline => thread::sleep(RELEASE_POLL),
                opened => break opened?,
            }
        };
        let log = open_to_sync(&dir.join("db"))?;
        let values = Values::open(dir)?;
        let [replica, ..] = &trees;
        let marks = MarkCache::new(marks, fenced(|| Ok(replica.is_empty()))?);
        let database = Self { db, trees, values, marks, legacy, dir: dir.to_path_buf(), log, synced_blobs: Mutex::default() };
        database.sync()?;
        sync_dir(dir)?;
        database.legacy.bring_over(&database)?;
        Ok(database)
    }

    fn open_trees(dir: &Path, cache: u64) -> Result<(sled::Db, [sled::Tree; 4], Legacy), Fault> {
        let open = || {
            // No timer: whoever is promised durability calls `sync`.
            let db = sled::Config::new().path(dir).cache_capacity(cache).flush_every_ms(None).open()?;
            let trees = [db.open_tree("replica-5")?, db.open_tree("outbox-4")?, db.open_tree("feed-4")?, db.open_tree("meta")?];
            let legacy = Legacy::of(&db)?;
            Ok((db, trees, legacy))
        };
        patient(|| fenced(open))
    }

    /// Writes what is to stand under a key as it is [stored](super::compact::stored), or takes it out; gives what stood there.
    pub(super) fn set(&self, tree: Tree, key: &[u8], stored: Option<&sled::IVec>) -> sled::Result<Option<sled::IVec>> {
        let previous = match stored {
            Some(stored) => self.tree(tree).insert(key, stored)?,
            None => self.tree(tree).remove(key)?,
        };
        if tree == Tree::Replica {
            self.marks.wrote(key, stored.map(|stored| &**stored), previous.as_deref());
        }
        Ok(previous)
    }

    /// Writes all of it, one after the other: readers and a crash may find a part. Whoever needs it whole has it in the journal, and
    /// shows it to readers as a layer. sled's own transactions would be whole, but every reader would wait for them.
    pub(super) fn write(&self, writes: &Writes) -> Result<(), Fault> {
        self.exchange(writes.iter().map(|(place, value)| (place, value.as_deref())), |_, _, _| {}).map(drop)
    }

    /// Like [`write`](Self::write), and gives `each` what was written: where, the length of its value, and that of what stood there. Places
    /// come in their order, as they stand in [`Writes`].
    pub(super) fn exchange<'w>(
        &self,
        writes: impl IntoIterator<Item = (&'w Place, Option<&'w [u8]>)>,
        mut each: impl FnMut(&Place, Option<usize>, Option<usize>),
    ) -> Result<Footprint, Fault> {
        #[cfg(test)]
        super::disk::gate::ask(&self.dir, super::disk::gate::Call::Exchange)?;
        fenced(|| {
            let mut batch = Batch::new(self, self.values.end(), &mut each);
            for (place, value) in writes {
                batch.put(place, value)?;
            }
            batch.finish()
        })
    }

    /// Makes everything that was written durable.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        // First, so that no mark is durable before its value.
        self.values.sync()?;
        patient(|| fenced(|| self.db.flush()))?;
        // sled uses sync_file_range, which leaves out the metadata without which a file that grew is cut off by a power cut.
        self.log.sync_data()?;
        self.sync_blobs()?;
        database_synced(&self.dir);
        Ok(())
    }

    /// sled puts what is larger than an eighth of a segment into files of their own, and never syncs them.
    fn sync_blobs(&self) -> io::Result<()> {
        let dir = self.dir.join("blobs");
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut present = HashSet::new();
        let mut fresh = false;
        for blob in dir.read_dir()? {
            let name = blob?.file_name();
            if !synced.contains(&name) {
                match open_to_sync(&dir.join(&name)) {
                    Ok(file) => file.sync_all()?,
                    // sled removes what it no longer needs at any time.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                fresh = true;
            }
            present.insert(name);
        }
        if fresh {
            sync_dir(&dir)?;
        }
        *synced = present;
        Ok(())
    }

    /// The directory of its files.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn tree(&self, tree: Tree) -> &sled::Tree {
        let [replica, outbox, feed, meta] = &self.trees;
        match tree {
            Tree::Replica => replica,
            Tree::Outbox => outbox,
            Tree::Feed => feed,
            Tree::Meta => meta,
        }
    }
}
