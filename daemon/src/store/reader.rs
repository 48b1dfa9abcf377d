//! Reads of the durable state, from any thread.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::database::{Database, Tree, Writes};
use super::journal::Seen;
use super::layered::Layered;
use super::mend::Found;
use super::over::Over;
use super::scrub;
use super::sizes::Sizes;
use super::value::Damage;
use super::{keys, value};
use crate::engine::durable::{Cursor, Entry, EpochId, Ledger, Overlay, Registry, Row, StoredAnswer};
use crate::engine::notices::Notices;
use crate::engine::view::{Aged, Read, ReadError, View};
use aesync_protocol::response::{CheckedSlice, EntryState};
use aesync_protocol::{Change, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a page's vector starts with at most, whatever limit is asked for.
const FIRST_CAPACITY: usize = 256;

/// Why nothing can be read for the moment.
const CLOSED: &str = "the store is closed after a write that failed; it is opened again with the next one";

/// What readers see.
#[derive(Clone)]
pub(super) struct Shown {
    /// The database that is open; none while it is opened again after a failed write.
    database: Option<Arc<Database>>,
    /// Groups that are durable in the journal and on their way into the database.
    over: Over,
}

/// What readers see now. It is held for the length of a copy only.
pub(super) struct Slot {
    shown: RwLock<Shown>,
    /// Damaged values that reads came upon.
    pub(super) damaged: Found,
    /// Up to where the journal must read.
    pub(super) journal: Seen,
}

impl Slot {
    /// A slot that shows `database`.
    pub(super) fn new(database: Database) -> Arc<Self> {
        let shown = Shown { database: Some(Arc::new(database)), over: Over::default() };
        Arc::new(Self { shown: RwLock::new(shown), damaged: Found::default(), journal: Seen::default() })
    }

    /// What is seen now, for one call.
    fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The database, for one call.
    pub(super) fn get(&self) -> Option<Arc<Database>> {
        self.shown().database
    }

    /// Puts another database in its place, and gives back the former.
    pub(super) fn replace(&self, database: Option<Database>) -> Option<Arc<Database>> {
        std::mem::replace(&mut self.shown.write().unwrap_or_else(PoisonError::into_inner).database, database.map(Arc::new))
    }

    /// What lies over the database.
    pub(super) fn over(&self) -> Over {
        self.shown().over
    }

    /// Shows a group, all of it at this moment.
    pub(super) fn lay_over(&self, group: Writes) {
        let over = self.over().with(group);
        self.shown.write().unwrap_or_else(PoisonError::into_inner).over = over;
    }

    /// The database has all groups that were laid over it.
    pub(super) fn uncover(&self) {
        self.shown.write().unwrap_or_else(PoisonError::into_inner).over = Over::default();
    }
}

/// What was applied and is not durable yet: for the writer alone to see.
pub(super) type Staged = Arc<RwLock<Writes>>;

/// Reads of a [`Store`](super::Store), cheap to clone, for any thread.
///
/// A write set shows once it is durable, whole or not at all. Two calls may see different states. No call waits for the writer; it
/// waits for the disk where a page is not cached.
#[derive(Clone)]
pub struct Reader {
    slot: Arc<Slot>,
    staged: Option<Staged>,
    dir: Arc<PathBuf>,
    /// A page ends once it holds this many bytes.
    page_bytes: usize,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn new(slot: Arc<Slot>, staged: Option<Staged>, dir: PathBuf) -> Self {
        Self { slot, staged, dir: Arc::new(dir), page_bytes: usize::MAX }
    }

    /// The same reads in pages that end once they hold `bytes` bytes, however many values were asked for, with one value at least: only
    /// an empty page is the last one.
    #[must_use]
    pub fn in_pages_of(mut self, bytes: usize) -> Self {
        self.page_bytes = bytes;
        self
    }

    /// What the store takes up on disk; looks at each file's metadata.
    ///
    /// # Errors
    /// When the state directory can't be listed.
    pub fn sizes(&self) -> io::Result<Sizes> {
        Sizes::of(&self.dir)
    }

    /// Checks the checksums of one slice of the store, which begins where the slice before said: [`CheckedSlice::next`]. It takes some
    /// 50 ms, and neither the writer nor other readers wait for it. Damaged values are left to [`Store::mend`](super::Store::mend).
    ///
    /// # Errors
    /// When the disk does not let it read; `None` when `after` is no position.
    pub fn check(&self, after: Option<&str>) -> Read<Option<CheckedSlice>> {
        let what = "a slice of the store to be checked";
        let Some(position) = after.map_or(Some(scrub::Position::START), scrub::Position::parse) else { return Ok(None) };
        let Some(database) = self.slot.get() else { return Err(failed(&what)(CLOSED)) };
        scrub::check(&self.slot, &database, &self.dir.join("journal"), position).map(Some).map_err(failed(&what))
    }

    fn value<T>(&self, tree: Tree, key: &[u8], what: &dyn fmt::Display, decode: Decode<'_, T>) -> Read<Option<T>> {
        let bytes = self.layered(what, |layered| layered.get(tree, key))?.map_err(failed(what))?;
        match bytes.map(|bytes| decode(key, &bytes)).transpose() {
            Err(Damage::Checksum | Damage::Short(_)) if self.staged.is_some() && tree == Tree::Replica => {
                // The writer goes on without it, and what is fetched again takes its place.
                self.slot.damaged.note((tree, key.to_vec()));
                Ok(None)
            }
            Err(damage) => {
                self.slot.damaged.note((tree, key.to_vec()));
                Err(failed(what)(damage))
            }
            Ok(value) => Ok(value),
        }
    }

    /// The values that begin with `prefix`, from the first whose key is greater than `after`.
    fn page<T>(
        &self,
        tree: Tree,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
        what: &dyn fmt::Display,
        decode: Decode<'_, T>,
    ) -> Read<Vec<T>> {
        let mut page = Vec::with_capacity(limit.min(FIRST_CAPACITY));
        if limit == 0 {
            return Ok(page);
        }
        let (mut damage, mut held) = (None, 0_usize);
        let scanned = self.layered(what, |layered| {
            layered.scan(tree, prefix, Bound::Excluded(after), &mut |key, bytes| {
                match decode(key, bytes) {
                    Ok(value) => {
                        page.push(value);
                        held = held.saturating_add(bytes.len());
                    }
                    Err(found) => {
                        self.slot.damaged.note((tree, key.to_vec()));
                        // A record is fetched again, so the others need not wait for it.
                        if tree != Tree::Replica || matches!(found, Damage::Version(_)) {
                            damage = Some((key.to_vec(), found));
                        }
                    }
                }
                damage.is_none() && page.len() < limit && held < self.page_bytes
            })
        })?;
        scanned.map_err(failed(what))?;
        let Some((key, damage)) = damage else { return Ok(page) };
        let rest = key.strip_prefix(prefix).unwrap_or_default();
        // What follows the prefix is a number or an id; either tells which value it is.
        let which = keys::last_number(rest).filter(|_| rest.len() == 8).map(|number| number.to_string());
        let which = which.unwrap_or_else(|| String::from_utf8_lossy(rest).into_owned());
        Err(ReadError { what: format!("{what}, {which}"), detail: damage.to_string() })
    }

    /// Reads from the database, under what lies over it.
    fn layered<T>(&self, what: &dyn fmt::Display, read: impl FnOnce(Layered<'_>) -> T) -> Read<T> {
        let shown = self.slot.shown();
        let Some(database) = shown.database else {
            return Err(failed(what)(CLOSED));
        };
        let staged = self.staged.as_ref().map(|staged| staged.read().unwrap_or_else(PoisonError::into_inner));
        Ok(read(Layered::new(&database, &shown.over, staged.as_deref())))
    }
}

type Decode<'a, T> = &'a dyn Fn(&[u8], &[u8]) -> Result<T, Damage>;

impl View for Reader {
    fn registry(&self) -> Read<Registry> {
        Ok(self.value(Tree::Meta, keys::REGISTRY, &"the registry", &value::decode)?.unwrap_or_default())
    }

    fn notices(&self) -> Read<Notices> {
        Ok(self.value(Tree::Meta, keys::NOTICES, &"what nobody has acknowledged", &value::decode)?.unwrap_or_default())
    }

    fn ledger(&self, epoch: EpochId) -> Read<Ledger> {
        let what = format_args!("the ledger of epoch {}", epoch.0);
        Ok(self.value(Tree::Meta, &keys::ledger(epoch), &what, &value::decode)?.unwrap_or_default())
    }

    fn row(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Row>> {
        self.value(Tree::Replica, &keys::row(epoch, entity_type, id), &format_args!("{entity_type} {id}"), &value::decode_row)
    }

    fn record(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Box<RawValue>>> {
        let what = format_args!("{entity_type} {id}");
        let key = keys::row(epoch, entity_type, id);
        Ok(self.value(Tree::Replica, &key, &what, &value::decode_live_record)?.flatten())
    }

    fn rows(&self, epoch: EpochId, entity_type: &str, after: &str, limit: usize) -> Read<Vec<(String, Row)>> {
        let prefix = keys::rows(epoch, entity_type);
        let after = keys::row(epoch, entity_type, after);
        let what = format_args!("the {entity_type} rows");
        self.page(Tree::Replica, &prefix, &after, limit, &what, &with_id(&prefix, &value::decode_row))
    }

    fn overlay(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Overlay>> {
        let what = format_args!("the local changes of {entity_type} {id}");
        self.value(Tree::Replica, &keys::overlay(epoch, entity_type, id), &what, &value::decode)
    }

    fn overlays(&self, epoch: EpochId, entity_type: &str, after: &str, limit: usize) -> Read<Vec<(String, Overlay)>> {
        let prefix = keys::overlays(epoch, entity_type);
        let after = keys::overlay(epoch, entity_type, after);
        let what = format_args!("the local changes of {entity_type}");
        self.page(Tree::Replica, &prefix, &after, limit, &what, &with_id(&prefix, &value::decode))
    }

    fn entry(&self, epoch: EpochId, number: u64) -> Read<Option<Entry>> {
        self.value(Tree::Outbox, &keys::entry(epoch, number), &format_args!("outbox entry {number}"), &value::decode)
    }

    fn entries(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Entry>> {
        let after = keys::entry(epoch, after);
        self.page(Tree::Outbox, &keys::entries(epoch), &after, limit, &"the outbox", &value::decode)
    }

    fn entries_in(&self, epoch: EpochId, state: EntryState, after: u64, limit: usize) -> Read<Vec<Entry>> {
        let prefix = keys::places(epoch, state);
        let mut entries: Vec<Entry> = Vec::with_capacity(limit.min(FIRST_CAPACITY));
        let (mut after, mut held) = (after, 0_u64);
        loop {
            let wanted = limit.saturating_sub(entries.len());
            let start = keys::place(epoch, state, after);
            let numbers = self.page(Tree::Outbox, &prefix, &start, wanted, &"the outbox's index", &|key, _| {
                keys::last_number(key).ok_or(Damage::Short(key.len()))
            })?;
            for number in &numbers {
                after = *number;
                // Between the two reads the writer may have moved the entry on.
                let Some(entry) = self.entry(epoch, *number)?.filter(|entry| entry.state == state) else { continue };
                held = held.saturating_add(entry.bytes);
                entries.push(entry);
                if usize::try_from(held).unwrap_or(usize::MAX) >= self.page_bytes {
                    return Ok(entries);
                }
            }
            if numbers.len() < wanted || entries.len() >= limit {
                return Ok(entries);
            }
        }
    }

    fn cursor(&self, epoch: EpochId, entity_type: &str) -> Read<Cursor> {
        let what = format_args!("the cursor of {entity_type}");
        Ok(self.value(Tree::Meta, &keys::cursor(epoch, entity_type), &what, &value::decode)?.unwrap_or_default())
    }

    fn changes(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Change>> {
        let after = keys::change(epoch, after);
        self.page(Tree::Feed, &keys::changes(epoch), &after, limit, &"the change feed", &value::decode)
    }

    fn ages(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Aged>> {
        let after = keys::change(epoch, after);
        self.page(Tree::Feed, &keys::changes(epoch), &after, limit, &"the ages of changes", &|key, bytes| {
            let happened: Happened = value::decode(key, bytes)?;
            let seq = keys::last_number(key).ok_or(Damage::Short(key.len()))?;
            Ok(Aged { seq, at: happened.at, bytes: value::body_len(key, bytes)? as u64 })
        })
    }

    fn answer(&self, epoch: EpochId, request_id: &str) -> Read<Option<StoredAnswer>> {
        let what = format_args!("the answer to request {request_id:?}");
        self.value(Tree::Outbox, &keys::answer(epoch, request_id), &what, &value::decode)
    }

    fn answers(&self, epoch: EpochId, after: &str, limit: usize) -> Read<Vec<(String, StoredAnswer)>> {
        let prefix = keys::answers(epoch);
        let after = keys::answer(epoch, after);
        self.page(Tree::Outbox, &prefix, &after, limit, &"the answers to request ids", &with_id(&prefix, &value::decode))
    }
}

/// When a change happened, without the rest of it being built.
#[derive(Deserialize)]
struct Happened {
    at: Timestamp,
}

/// Reads a value together with the id in its key.
fn with_id<T>(
    prefix: &[u8],
    decode: impl Fn(&[u8], &[u8]) -> Result<T, Damage>,
) -> impl Fn(&[u8], &[u8]) -> Result<(String, T), Damage> {
    move |key, bytes| {
        let value = decode(key, bytes)?;
        let id = keys::text_after(key, prefix).ok_or(Damage::Short(key.len()))?;
        Ok((id.to_owned(), value))
    }
}

/// For `map_err`: says what was being read.
fn failed<E: fmt::Display>(what: &dyn fmt::Display) -> impl FnOnce(E) -> ReadError {
    move |error| ReadError { what: what.to_string(), detail: error.to_string() }
}
