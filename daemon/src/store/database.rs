//! sled, fenced in: what is large stands apart from it, its keys are short, and its flush is made durable.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{self, Batch, Footprint};
use super::compact;
use super::disk::{database_synced, open_to_sync, sync_dir};
use super::fault::{Fault, fenced};
use super::keys;
use super::legacy::Legacy;
use super::mark_cache::{Known, MarkCache};
use super::packed::{self, Slots};
use super::patience::patient;
use super::value;
use super::values::{self, Mark, Values};

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

    /// The value at a place.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        fenced(|| {
            let Some((block, slot)) = packed::place(tree, key) else { return self.single(tree, key) };
            let stored = self.block(tree, &block)?.and_then(|mut slots| slots.remove(&slot));
            stored.map(|stored| self.whole(&stored)).transpose()
        })
    }

    /// The values at places that come in their order: a block is read once for all that are in it.
    pub(super) fn get_all(&self, places: impl Iterator<Item = Place>) -> Result<Writes, Fault> {
        let mut open: Option<(Place, Slots)> = None;
        let mut get = |(tree, key): &Place| {
            let Some((block, slot)) = packed::place(*tree, key) else { return self.single(*tree, key) };
            let block = (*tree, block);
            let slots = match open.take() {
                Some((place, slots)) if place == block => slots,
                _ => self.block(*tree, &block.1)?.unwrap_or_default(),
            };
            let value = slots.get(&slot).map(|stored| self.whole(stored)).transpose();
            open = Some((block, slots));
            value
        };
        fenced(|| places.map(|place| get(&place).map(|value| (place, value))).collect())
    }

    /// The value at a place that is in no block.
    fn single(&self, tree: Tree, key: &[u8]) -> sled::Result<Option<Vec<u8>>> {
        let place = compact::stored(tree, key);
        if tree != Tree::Replica {
            return self.tree(tree).get(&place)?.map(|stored| self.whole(&stored)).transpose();
        }
        let known = self.marks.find(&place);
        match known {
            Known::Absent => return Ok(None),
            Known::At(mark) => {
                if let Some(value) = self.values.get(mark)?.filter(|value| value::whole(key, value).is_ok()) {
                    return Ok(Some(value));
                }
            }
            Known::Unknown(_) => {}
        }
        let Some(stored) = self.tree(tree).get(&place)? else { return Ok(None) };
        if let Known::Unknown(writes) = known {
            self.marks.read(&place, &stored, writes);
        }
        self.whole(&stored).map(Some)
    }

    /// Writes what is to stand under a key as it is [stored](compact::stored), or takes it out; gives what stood there.
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

    /// The values of a block, those that are large as their marks; of one that does not read, all damaged.
    pub(super) fn block(&self, tree: Tree, block: &[u8]) -> sled::Result<Option<Slots>> {
        self.tree(tree).get(block)?.map(|stored| self.slots(&stored)).transpose()
    }

    /// The values that are in one block with the one at a place, which is among them; that one alone when it is in no block.
    pub(super) fn beside(&self, (tree, key): &Place) -> Result<Writes, Fault> {
        let Some((block, _)) = packed::place(*tree, key) else { return self.get_all(std::iter::once((*tree, key.clone()))) };
        let slots = fenced(|| self.block(*tree, &block))?.unwrap_or_default();
        self.get_all(slots.into_keys().filter_map(|slot| Some((*tree, packed::key(&block, slot)?))))
    }

    /// The value for which `stored` stands in a tree. A mark without its value is no value, so whoever decodes it finds it damaged.
    fn whole(&self, stored: &[u8]) -> sled::Result<Vec<u8>> {
        let value = match Mark::parse(stored) {
            Some(mark) => self.values.get(mark)?,
            None => self.legacy.value(stored)?,
        };
        Ok(value.unwrap_or_else(|| stored.to_vec()))
    }

    /// The values of the block for which `stored` stands, those that are large as their marks.
    fn slots(&self, stored: &[u8]) -> sled::Result<Slots> {
        Ok(packed::unpack(&self.whole(stored)?).unwrap_or_else(packed::lost))
    }

    /// The keys and values that begin with `prefix`, in order, as long as `each` wants more.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        from: Bound<&[u8]>,
        mut each: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Fault> {
        self.scan_each(tree, prefix, from, &mut each)
    }

    /// One copy in the program, whoever calls it.
    fn scan_each(
        &self,
        tree: Tree,
        prefix: &[u8],
        from: Bound<&[u8]>,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Fault> {
        let is_before = |key: &[u8]| match from {
            Bound::Included(from) => key < from,
            Bound::Excluded(from) => key <= from,
            Bound::Unbounded => false,
        };
        let start = match from {
            Bound::Included(from) | Bound::Excluded(from) => compact::stored(tree, &packed::floor(tree, from)).into_owned(),
            Bound::Unbounded => Vec::new(),
        };
        // Whether it goes on.
        let mut give = |key: &[u8], stored: &[u8]| -> sled::Result<bool> {
            Ok(is_before(key) || (key.starts_with(prefix) && each(key, &self.whole(stored)?)))
        };
        fenced(|| {
            for pair in self.tree(tree).range(start..) {
                let (key, stored) = pair?;
                if !packed::is_packed(tree, &key) {
                    if !give(&compact::key(tree, &key), &stored)? {
                        return Ok(());
                    }
                    continue;
                }
                for (slot, stored) in self.slots(&stored)? {
                    let Some(key) = packed::key(&key, slot) else { continue };
                    if !give(&key, &stored)? {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// Bytes of keys and values, as they are stored; counts as long as `goes_on`.
    pub(super) fn live(&self, goes_on: impl Fn() -> bool) -> Result<u64, Fault> {
        fenced(|| {
            let mut live = 0_u64;
            for tree in [Tree::Replica, Tree::Outbox, Tree::Feed, Tree::Meta] {
                for pair in self.tree(tree).iter().take_while(|_| goes_on()) {
                    let (key, stored) = pair?;
                    let bytes = key.len().saturating_add(values::length(&stored));
                    let apart = if packed::is_packed(tree, &key) { batch::apart(&self.slots(&stored)?) } else { 0 };
                    live = live.saturating_add(bytes as u64).saturating_add(apart as u64);
                }
            }
            Ok(live)
        })
    }

    /// The first values of a tree of an older format, at most so many, to be written to another one.
    pub(super) fn first_of(&self, old: &sled::Tree, most: usize, to: Tree) -> Result<Writes, Fault> {
        let write = |pair: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, stored) = pair?;
            Ok(((to, key.to_vec()), Some(self.whole(&stored)?)))
        };
        fenced(|| old.iter().take(most).map(write).collect())
    }

    /// The seq of the last change of those whose keys begin with `prefix`.
    pub(super) fn last_change(&self, prefix: &[u8]) -> Result<Option<u64>, Fault> {
        fenced(|| {
            let Some(number) = self.last_block(prefix)? else { return Ok(None) };
            let block = [prefix, &number.to_be_bytes()].concat();
            let last = self.block(Tree::Feed, &block)?.and_then(|slots| slots.into_keys().next_back());
            Ok(last.and_then(|slot| keys::last_number(&packed::key(&block, slot)?)))
        })
    }

    /// Found by halves, looking forward: what goes backwards through a tree brings a constant of a megabyte into the program.
    fn last_block(&self, prefix: &[u8]) -> sled::Result<Option<u64>> {
        let first_from = |number: u64| {
            let from = [prefix, &number.to_be_bytes()].concat();
            let first = self.tree(Tree::Feed).range(from..).keys().next().transpose()?;
            Ok::<_, sled::Error>(first.filter(|key| key.starts_with(prefix)).map(|key| keys::last_number(&key).unwrap_or(number)))
        };
        let Some(mut last) = first_from(0)? else { return Ok(None) };
        let mut most = u64::MAX;
        while last < most {
            let middle = last.saturating_add(most.saturating_sub(last).div_ceil(2));
            match first_from(middle)? {
                Some(found) => last = found.max(middle),
                None => most = middle.saturating_sub(1),
            }
        }
        Ok(Some(last))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_at_the_value_of_another_place_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::open(dir.path(), 1 << 20).expect("it opens");
        let key = |id| keys::row(crate::engine::durable::EpochId(1), "user", id);
        let value = |id| value::encode(&key(id), &"x".repeat(200)).expect("a value");
        let writes = ["a", "b"].map(|id| ((Tree::Replica, key(id)), Some(value(id))));
        database.write(&writes.into()).expect("written");
        // As if they had the same hash, and the hint were of the other one.
        let stored = |id| database.tree(Tree::Replica).get(compact::stored(Tree::Replica, &key(id))).expect("readable");
        let (a, b) = (stored("a"), stored("b"));
        database.marks.wrote(&compact::stored(Tree::Replica, &key("a")), b.as_deref(), a.as_deref());
        assert_eq!(database.get(Tree::Replica, &key("a")).expect("readable"), Some(value("a")));
        assert_eq!(database.get(Tree::Replica, &key("c")).expect("readable"), None);
    }

    #[test]
    fn the_last_change_is_found_wherever_it_stands() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::open(dir.path(), 1 << 20).expect("it opens");
        let epoch = crate::engine::durable::EpochId;
        let last = || database.last_change(&keys::changes(epoch(2))).expect("readable");
        let write = |epoch, number| {
            let writes = Writes::from([((Tree::Feed, keys::change(epoch, number)), Some(vec![1]))]);
            database.write(&writes).expect("written");
        };
        write(epoch(1), u64::MAX);
        write(epoch(3), 0);
        assert_eq!(last(), None, "of others' there are some");
        for number in [0, 1, 7, 1_000, 1 << 40, u64::MAX - 1, u64::MAX] {
            write(epoch(2), number);
            assert_eq!(last(), Some(number));
        }
    }
}
