//! sled, fenced in: its errors sorted, its panics caught, its flush made durable.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::apart::{Apart, Mark};
use super::disk::{database_synced, open_to_sync, sync_dir};
use super::keys;
use super::patience::patient;

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
const SHARE: u64 = 8;
/// The least that sled's cache works with, in bytes.
const LEAST_CACHE: u64 = 256 * 1024;

/// How long sled's files may stay locked: whoever opens them holds the state directory, so only what is about to let go of
/// them does, such as a read that is under way in a database that failed.
const RELEASE_DEADLINE: Duration = Duration::from_secs(10);
/// How often a value that stands apart is looked up while the writer replaces it.
const LOOKS: usize = 100;
/// How often that is looked at.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Why sled did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The disk, or the system, did not let it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its files are locked by someone else.
    #[error("its files are in use")]
    Busy,
    /// Its files contradict themselves, or it panicked.
    #[error("{0}")]
    Damaged(String),
}

/// An open sled database.
pub(super) struct Database {
    db: sled::Db,
    trees: [sled::Tree; 4],
    apart: Apart,
    dir: PathBuf,
    /// sled's log, for an fdatasync of our own.
    log: File,
    /// The blob files that were synced before.
    synced_blobs: Mutex<HashSet<OsString>>,
}

impl Database {
    /// Opens the database in `dir`, or creates one there. sled gets an eighth of `cache_bytes`.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Fault> {
        let deadline = Instant::now() + RELEASE_DEADLINE;
        let (db, trees, apart) = loop {
            match Self::open_trees(dir, cache_bytes) {
                Err(Fault::Busy) if Instant::now() < deadline => thread::sleep(RELEASE_POLL),
                opened => break opened?,
            }
        };
        let log = open_to_sync(&dir.join("db"))?;
        let database = Self { db, trees, apart, dir: dir.to_path_buf(), log, synced_blobs: Mutex::default() };
        database.sync()?;
        sync_dir(dir)?;
        Ok(database)
    }

    fn open_trees(dir: &Path, cache_bytes: u64) -> Result<(sled::Db, [sled::Tree; 4], Apart), Fault> {
        let open = || {
            // No timer: whoever is promised durability calls `sync`.
            let cache = (cache_bytes / SHARE).max(LEAST_CACHE);
            let db = sled::Config::new().path(dir).cache_capacity(cache).flush_every_ms(None).open()?;
            let trees = [db.open_tree("replica")?, db.open_tree("outbox")?, db.open_tree("feed")?, db.open_tree("meta")?];
            let apart = Apart::open(&db)?;
            Ok((db, trees, apart))
        };
        patient(|| fenced(open))
    }

    /// The value at a place.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<sled::IVec>, Fault> {
        fenced(|| match self.tree(tree).get(key)? {
            Some(stored) => self.whole(tree, key, stored),
            None => Ok(None),
        })
    }

    /// The value for which `stored` stands in the tree.
    fn whole(&self, tree: Tree, key: &[u8], stored: sled::IVec) -> sled::Result<Option<sled::IVec>> {
        let mut stored = stored;
        for _ in 0..LOOKS {
            let Some(mark) = Mark::parse(&stored) else { return Ok(Some(stored)) };
            if let Some(value) = self.apart.get(mark)? {
                return Ok(Some(value));
            }
            // The writer removes the pieces of what it has replaced.
            match self.tree(tree).get(key)? {
                Some(again) if again == stored => break,
                Some(again) => stored = again,
                None => return Ok(None),
            }
        }
        // A mark is no value, so whoever decodes it finds it damaged.
        Ok(Some(stored))
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
        fenced(|| {
            for pair in self.tree(tree).range::<&[u8], _>((from, Bound::Unbounded)) {
                let (key, value) = pair?;
                if !key.starts_with(prefix) {
                    break;
                }
                let Some(value) = self.whole(tree, &key, value)? else { continue };
                if !each(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The pieces of values that stand apart, in order, as long as `each` wants more.
    pub(super) fn scan_pieces(&self, from: Bound<&[u8]>, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
        fenced(|| self.apart.scan(from, each))
    }

    /// The greatest number that follows `prefix` in a key that consists of both.
    ///
    /// Found by halves, looking forward: what goes backwards through a tree brings a constant of a megabyte into the program.
    pub(super) fn last_number(&self, tree: Tree, prefix: &[u8]) -> Result<Option<u64>, Fault> {
        let first_from = |number: u64| {
            let from = [prefix, &number.to_be_bytes()].concat();
            let first = self.tree(tree).range(from..).keys().next().transpose()?;
            Ok::<_, sled::Error>(first.filter(|key| key.starts_with(prefix)).map(|key| keys::last_number(&key).unwrap_or(number)))
        };
        fenced(|| {
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
        })
    }

    /// Writes all of it, one after the other: readers and a crash may find a part. Whoever needs it whole has it in the journal, and
    /// shows it to readers as a layer. sled's own transactions would be whole, but every reader would wait for them.
    pub(super) fn write(&self, writes: &Writes) -> Result<(), Fault> {
        self.exchange(writes.iter().map(|(place, value)| (place, value.as_deref())), |_, _, _| {})
    }

    /// Like [`write`](Self::write), and gives `each` what was written and the length of what stood there.
    pub(super) fn exchange<'w>(
        &self,
        writes: impl IntoIterator<Item = (&'w Place, Option<&'w [u8]>)>,
        mut each: impl FnMut(&Place, Option<&[u8]>, Option<usize>),
    ) -> Result<(), Fault> {
        #[cfg(test)]
        super::disk::gate::ask(&self.dir, super::disk::gate::Call::Exchange)?;
        fenced(|| {
            for (place, value) in writes {
                let (tree, key) = place;
                let previous = match value {
                    Some(value) if Apart::takes(*tree, value) => {
                        let mark = self.apart.put(value)?;
                        self.tree(*tree).insert(key, &mark.bytes())?
                    }
                    Some(value) => self.tree(*tree).insert(key, value)?,
                    None => self.tree(*tree).remove(key)?,
                };
                let length = match previous.as_deref().map(|previous| (Mark::parse(previous), previous.len())) {
                    Some((Some(mark), _)) => {
                        self.apart.remove(mark)?;
                        usize::try_from(mark.length).ok()
                    }
                    Some((None, length)) => Some(length),
                    None => None,
                };
                each(place, value, length);
            }
            Ok(())
        })
    }

    /// Makes everything that was written durable.
    pub(super) fn sync(&self) -> Result<(), Fault> {
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

    fn tree(&self, tree: Tree) -> &sled::Tree {
        let [replica, outbox, feed, meta] = &self.trees;
        match tree {
            Tree::Replica => replica,
            Tree::Outbox => outbox,
            Tree::Feed => feed,
            Tree::Meta => meta,
        }
    }
}

/// Runs a call into sled, which panics on many kinds of damage.
fn fenced<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    catch_panic(call)?.map_err(fault)
}

/// What a panic says, as a fault.
pub(super) fn catch_panic<T>(call: impl FnOnce() -> T) -> Result<T, Fault> {
    // Unwind safe enough: after a fault the writer drops the database and opens it again.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Fault::Damaged(format!("sled panicked: {}", text.unwrap_or("without a message")))
    })
}

/// Tells what the system refused from what the files make impossible.
fn fault(error: sled::Error) -> Fault {
    /// Too many open files in the system, or in this process: `ErrorKind` has no name for them.
    const NO_DESCRIPTORS: [i32; 2] = [23, 24];
    match error {
        sled::Error::Io(error) => {
            use io::ErrorKind as Kind;
            if error.to_string().contains("could not acquire lock") {
                return Fault::Busy;
            }
            let refused = matches!(
                error.kind(),
                Kind::FileTooLarge
                    | Kind::Interrupted
                    | Kind::OutOfMemory
                    | Kind::PermissionDenied
                    | Kind::QuotaExceeded
                    | Kind::ReadOnlyFilesystem
                    | Kind::StorageFull
                    | Kind::WouldBlock
            ) || error.raw_os_error().is_some_and(|number| NO_DESCRIPTORS.contains(&number));
            if refused { Fault::Io(error) } else { Fault::Damaged(error.to_string()) }
        }
        other => Fault::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_sled_is_damage_with_its_words() {
        let fault = fenced::<()>(|| panic!("tried to serialize Uninitialized")).expect_err("a fault");
        assert!(matches!(&fault, Fault::Damaged(text) if text.contains("serialize Uninitialized")), "{fault}");
    }

    #[test]
    fn the_last_number_is_found_wherever_it_stands() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::open(dir.path(), 1 << 20).expect("it opens");
        let epoch = crate::engine::durable::EpochId;
        let last = || database.last_number(Tree::Feed, &keys::changes(epoch(2))).expect("readable");
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

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        for number in [13, 23, 24, 28, 30] {
            let refused = fault(sled::Error::Io(io::Error::from_raw_os_error(number)));
            assert!(matches!(refused, Fault::Io(_)), "{number}: {refused}");
        }
        let locked = io::Error::other("could not acquire lock on \"db\"");
        assert!(matches!(fault(sled::Error::Io(locked)), Fault::Busy));
        assert!(matches!(fault(sled::Error::Io(io::ErrorKind::UnexpectedEof.into())), Fault::Damaged(_)));
        assert!(matches!(fault(sled::Error::ReportableBug("x".into())), Fault::Damaged(_)));
    }
}
