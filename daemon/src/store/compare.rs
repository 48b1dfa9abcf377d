//! The outbox in the database held against the journal, which is believed: of both a digest is made, and only where these differ is
//! looked which values do.

use std::ops::Bound;
use std::path::Path;

use super::database::{Database, Place, Tree, Writes};
use super::fault::Fault;
use super::finding::{Finding, FindingCode};
use super::journal::{self, Digest, Hasher, Part, Survey};
use super::verify::each_ledger;
use super::{keys, restore};
use crate::engine::durable::Ledger;

/// Values that are written again in one step.
const STEP: usize = 1_000;

/// Gives the outbox the values that the journal has for it. The database must be in line with the journal's tail.
pub(super) fn mend_outbox(path: &Path, survey: Survey, database: &Database, findings: &mut Vec<Finding>) -> Result<(), Fault> {
    let hasher = Hasher::default();
    if journal::digest(path, survey, &hasher)? == stored(database, &hasher)? {
        return Ok(());
    }
    // The marks first: killed behind any of these writes, the next start still knows that overlays are to be made.
    let marked = |ledger| Ledger { rebuild: Some(0), ..ledger };
    each_ledger(database, |_, ledger| Ok(marked(ledger)))?;
    let mut mended = 0_usize;
    journal::each_part(path, survey, &hasher, |part| {
        mended = mended.saturating_add(remove_surplus(database, &hasher, part)?);
        if !part.is_empty() {
            mended = mended.saturating_add(put_back(path, survey, database, &hasher, part)?);
        }
        Ok(())
    })?;
    if mended == 0 {
        return Ok(());
    }
    each_ledger(database, |epoch, ledger| Ok(Ledger { outbox: restore::count(database, epoch)?.0, ..marked(ledger) }))?;
    database.sync()?;
    findings.push(Finding::new(
        FindingCode::OutboxRestored,
        format!("the store differed from its journal in {mended} values of the outbox; the journal's were restored"),
    ));
    Ok(())
}

/// The digest of what the database has of what the journal keeps.
fn stored(database: &Database, hasher: &Hasher) -> Result<Digest, Fault> {
    let mut digest = Digest::default();
    database.scan(Tree::Outbox, &[], Bound::Unbounded, &mut |key, bytes| {
        digest.add(hasher, &(Tree::Outbox, key.to_vec()), hasher.content(bytes));
        true
    })?;
    for place in meta_places() {
        if let Some(value) = database.get(place.0, &place.1)? {
            digest.add(hasher, &place, hasher.content(&value));
        }
    }
    Ok(digest)
}

/// Removes what the journal has not, and lets the part forget what is stored as the journal has it. Gives the values that went.
fn remove_surplus(database: &Database, hasher: &Hasher, part: &mut Part<'_>) -> Result<usize, Fault> {
    for place in meta_places() {
        let stored = database.get(place.0, &place.1)?.map(|bytes| hasher.content(&bytes));
        if stored.is_some() && stored == part.content(&place) {
            part.forget(&place);
        }
    }
    let (mut removed, mut last) = (0_usize, None::<Vec<u8>>);
    loop {
        let mut step = Writes::new();
        let after = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut place = None;
        database.scan(Tree::Outbox, &[], after, &mut |key, bytes| {
            let here = place.insert((Tree::Outbox, key.to_vec()));
            match part.content(here) {
                Some(content) if content == hasher.content(bytes) => part.forget(here),
                None if part.covers(here) => drop(step.insert(here.clone(), None)),
                _ => {}
            }
            step.len() < STEP
        })?;
        database.write(&step)?;
        removed = removed.saturating_add(step.len());
        if step.len() < STEP {
            return Ok(removed);
        }
        last = place.map(|(_, key)| key);
    }
}

/// Writes what the part still has, as the journal has it. Gives the number of values.
fn put_back(path: &Path, survey: Survey, database: &Database, hasher: &Hasher, part: &mut Part<'_>) -> Result<usize, Fault> {
    let (mut step, mut put) = (Writes::new(), 0_usize);
    journal::replay(path, survey, 0, |place, value| {
        let Some(value) = value.filter(|value| part.content(&place) == Some(hasher.content(value))) else { return Ok(()) };
        part.forget(&place);
        put = put.saturating_add(1);
        step.insert(place, Some(value.to_vec()));
        if step.len() >= STEP { database.write(&std::mem::take(&mut step)) } else { Ok(()) }
    })?;
    database.write(&step)?;
    Ok(put)
}

/// Where there is more than the outbox that the journal keeps.
fn meta_places() -> impl Iterator<Item = Place> {
    keys::JOURNALED_META.into_iter().map(|key| (Tree::Meta, key.to_vec()))
}
