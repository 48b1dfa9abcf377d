//! Values that were found damaged while the daemon runs: taken out, so that they can be fetched again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::check::{put, read};
use super::database::{Database, Place, Tree, Writes};
use super::fault::Fault;
use super::journal::{self, Survey};
use super::stage::Trim;
use super::{keys, value};
use crate::engine::durable::{Cursor, EpochId, Ledger};

/// Places that are remembered until the writer comes by; of more, the rest is found again.
const PLACES: usize = 1_000;

/// Damaged places that readers came upon.
#[derive(Default)]
pub(super) struct Found {
    places: Mutex<BTreeSet<Place>>,
    /// Calls the writer.
    wake: OnceLock<Wake>,
}

/// Calls the writer, which may be waiting for something to do. It must not block.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

impl Found {
    /// Leaves a place to the writer.
    pub(super) fn note(&self, place: Place) {
        // The bookkeeping can't be mended while the store serves.
        if place.0 == Tree::Meta {
            return;
        }
        let is_first = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.len() < PLACES && places.insert(place) && places.len() == 1
        };
        if is_first && let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// How the writer is called; the first way stays.
    pub(super) fn call(&self, wake: Wake) {
        let _ = self.wake.set(wake);
    }

    /// Keeps places that could not be mended yet. The writer knows of them, so it is not called.
    pub(super) fn put_back(&self, former: BTreeSet<Place>) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).extend(former);
    }

    pub(super) fn count(&self) -> usize {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn take(&self) -> BTreeSet<Place> {
        std::mem::take(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was taken out or put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Values, in all.
    pub values: usize,
    /// The types that lack a record, or what applications see of one: their full listing brings it back, and is owed.
    pub types: BTreeSet<String>,
    /// The epochs whose change feed begins later now: followers that are behind that load the records again.
    pub feeds: BTreeSet<EpochId>,
}

/// What mends damaged places.
#[derive(Debug, Default)]
pub(super) struct Mend {
    pub(super) writes: Writes,
    /// Changes that go with them.
    pub(super) trims: Vec<Trim>,
    pub(super) mended: Mended,
}

/// What mends these places. A record goes, and is counted out; an outbox value is what the journal has for it; a feed begins behind its
/// last damaged change, since a follower must not miss one without a word. That listings are owed and overlays are to be made is part
/// of the writes, so that no stop loses it.
pub(super) fn mend(places: BTreeSet<Place>, database: &Database, journal: &Path, committed: Survey) -> Result<Mend, Fault> {
    let mut mend = Mend::default();
    let mut ledgers = Ledgers { database, changed: BTreeMap::new() };
    let mut from_journal = BTreeSet::new();
    for place in places {
        let (tree, key) = &place;
        let Some(bytes) = database.get(*tree, key)? else { continue };
        if value::whole(key, &bytes).is_ok() {
            continue;
        }
        match tree {
            Tree::Outbox => from_journal.extend(damaged_beside(database, &place)?),
            Tree::Feed => mend.cut_feed(place, &mut ledgers)?,
            Tree::Replica => mend.take_out(place, value::says_live(&bytes), &mut ledgers)?,
            // Of the bookkeeping nothing can be taken out alone: the next start repairs it.
            Tree::Meta => {}
        }
    }
    if !from_journal.is_empty() {
        // What the journal does not have is not true.
        mend.writes.extend(from_journal.iter().cloned().map(|place| (place, None)));
        journal::replay(journal, committed, 0, |place, value| {
            if from_journal.contains(&place) {
                mend.writes.insert(place, value.map(<[u8]>::to_vec));
            }
            Ok(())
        })?;
    }
    mend.mended.values = mend.writes.keys().filter(|(tree, _)| *tree != Tree::Meta).count();
    for (epoch, ledger) in ledgers.changed {
        put(&mut mend.writes, &keys::ledger(epoch), &ledger)?;
    }
    Ok(mend)
}

impl Mend {
    fn take_out(&mut self, place: Place, says_live: bool, ledgers: &mut Ledgers<'_>) -> Result<(), Fault> {
        let Some((epoch, is_row, entity_type)) = keys::parse_typed(&place.1) else { return Ok(()) };
        let ledger = ledgers.of(epoch)?;
        if is_row && says_live {
            // A tombstone was not counted. What it says of that may be what is damaged, but that is one byte of many.
            let count = ledger.records.entry(entity_type.to_owned()).or_default();
            *count = count.saturating_sub(1);
        } else if !is_row {
            ledger.rebuild = Some(0);
        }
        let key = keys::cursor(epoch, entity_type);
        // A cursor that does not read either is as good as none.
        let cursor = read::<Cursor>(ledgers.database, &key, "a cursor").ok().flatten().unwrap_or_default();
        put(&mut self.writes, &key, &Cursor { listing_owed: true, ..cursor })?;
        self.mended.types.insert(entity_type.to_owned());
        self.writes.insert(place, None);
        Ok(())
    }

    fn cut_feed(&mut self, place: Place, ledgers: &mut Ledgers<'_>) -> Result<(), Fault> {
        let Some((epoch, seq)) = keys::parse_change(&place.1) else { return Ok(()) };
        let ledger = ledgers.of(epoch)?;
        let first = ledger.first_seq.max(1);
        if seq >= first {
            let (last, bytes) = last_damaged(ledgers.database, epoch, seq)?;
            let ledger = ledgers.of(epoch)?;
            // A block that does not read looks full of changes, which the newest one need not be.
            let surplus = ledger.last_seq.saturating_add(1)..=last;
            self.writes.extend(surplus.map(|seq| ((Tree::Feed, keys::change(epoch, seq)), None)));
            ledger.first_seq = last.min(ledger.last_seq).saturating_add(1);
            ledger.feed_bytes = bytes;
            self.trims.push(Trim { epoch, from: first, to: ledger.first_seq });
            self.mended.feeds.insert(epoch);
        }
        self.writes.insert(place, None);
        Ok(())
    }
}

/// What is damaged of the values that are in one block with the one at a place.
fn damaged_beside(database: &Database, place: &Place) -> Result<impl Iterator<Item = Place>, Fault> {
    let is_damaged =
        |((_, key), bytes): &(Place, Option<Vec<u8>>)| bytes.as_ref().is_some_and(|bytes| value::whole(key, bytes).is_err());
    Ok(database.beside(place)?.into_iter().filter(is_damaged).map(|(place, _)| place))
}

/// The last damaged change from `seq` on, which is one, and the bytes of the changes behind it.
fn last_damaged(database: &Database, epoch: EpochId, seq: u64) -> Result<(u64, u64), Fault> {
    let from = keys::change(epoch, seq);
    let (mut last, mut sum) = (seq, 0_u64);
    database.scan(Tree::Feed, &keys::changes(epoch), Bound::Excluded(&from), &mut |key, bytes| {
        match (value::body_len(key, bytes), keys::last_number(key)) {
            (Ok(length), _) => sum = sum.saturating_add(length as u64),
            (Err(_), Some(damaged)) => (last, sum) = (damaged, 0),
            (Err(_), None) => {}
        }
        true
    })?;
    Ok((last, sum))
}

/// The counters that change, each read once.
struct Ledgers<'d> {
    database: &'d Database,
    changed: BTreeMap<EpochId, Ledger>,
}

impl Ledgers<'_> {
    fn of(&mut self, epoch: EpochId) -> Result<&mut Ledger, Fault> {
        Ok(match self.changed.entry(epoch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(read(self.database, &keys::ledger(epoch), "a ledger")?.unwrap_or_default()),
        })
    }
}
