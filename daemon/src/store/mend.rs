//! Values that were found damaged while the daemon runs: taken out, so that they can be fetched again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::check::{put, read};
use super::database::{Database, Fault, Place, Tree, Writes};
use super::journal::{self, Survey};
use super::{keys, value};
use crate::engine::durable::{EpochId, Ledger};

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
        // Nothing but these can be mended while the store serves.
        if !matches!(place.0, Tree::Replica | Tree::Outbox) {
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

    pub(super) fn take(&self) -> BTreeSet<Place> {
        std::mem::take(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was taken out or put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Values, in all.
    pub values: usize,
    /// The types that lack a record, or what applications see of one: their full listing brings it back.
    pub types: BTreeSet<String>,
    /// The epochs in which what applications see of local changes has to be made anew.
    pub rebuild: BTreeSet<EpochId>,
}

/// The writes that mend these places. A record goes, and is counted out; an outbox value is what the journal has for it.
pub(super) fn mend(
    places: BTreeSet<Place>,
    database: &Database,
    journal: &Path,
    committed: Survey,
) -> Result<(Writes, Mended), Fault> {
    let mut writes = Writes::new();
    let mut mended = Mended::default();
    let mut from_journal = BTreeSet::new();
    for place in places {
        let (tree, key) = &place;
        let Some(bytes) = database.get(*tree, key)? else { continue };
        if value::whole(key, &bytes).is_ok() {
            continue;
        }
        if *tree == Tree::Outbox {
            from_journal.insert(place);
            continue;
        }
        // Of the feed and the bookkeeping nothing can be taken out alone: the next start repairs them.
        let Some((epoch, is_row, entity_type)) = keys::parse_typed(key).filter(|_| *tree == Tree::Replica) else { continue };
        if is_row {
            let ledger_key = keys::ledger(epoch);
            let mut ledger: Ledger = match writes.get(&(Tree::Meta, ledger_key.clone())) {
                Some(Some(bytes)) => value::decode(&ledger_key, bytes).map_err(|damage| Fault::Damaged(damage.to_string()))?,
                _ => read(database, &ledger_key, "a ledger")?.unwrap_or_default(),
            };
            // A tombstone was not counted. What it says of that may be what is damaged, but that is one byte of many.
            if value::says_live(&bytes) {
                let count = ledger.records.entry(entity_type.to_owned()).or_default();
                *count = count.saturating_sub(1);
                put(&mut writes, &ledger_key, &ledger)?;
            }
        } else {
            mended.rebuild.insert(epoch);
        }
        mended.types.insert(entity_type.to_owned());
        writes.insert(place, None);
    }
    if !from_journal.is_empty() {
        journal::replay(journal, committed, 0, |place, value| {
            if from_journal.contains(&place) {
                writes.insert(place, value.map(<[u8]>::to_vec));
            }
            Ok(())
        })?;
    }
    mended.values = writes.keys().filter(|(tree, _)| *tree != Tree::Meta).count();
    Ok((writes, mended))
}
