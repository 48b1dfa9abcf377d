//! What is checked at every start, cheaply: that the few values on which everything hangs read, and agree with the feed.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::de::DeserializeOwned;

use super::database::{Database, Tree, Writes};
use super::fault::Fault;
use super::finding::{Finding, FindingCode};
use super::format::FORMAT;
use super::{keys, value};
use crate::engine::durable::{Cursor, EpochId, Ledger, Registry};
use crate::engine::notices::Notices;

/// Changes that are removed in one step.
pub(super) const TRIM_STEP: usize = 1_000;

/// What a check ends with.
pub(super) enum Checked {
    /// Everything agrees, by now; what did not is told.
    Sound(Vec<Finding>),
    /// A newer build wrote it.
    NewerFormat {
        /// Its format.
        found: u32,
    },
}

/// The number of the last write set that the database has.
pub(super) fn number(database: &Database) -> Result<u64, Fault> {
    Ok(read(database, keys::NUMBER, "the number of the last write set")?.unwrap_or(0))
}

/// Checks the store, and repairs what can be: a fault means that it can't be used.
pub(super) fn check(database: &Database) -> Result<Checked, Fault> {
    let mut writes = Writes::new();
    match read::<u32>(database, keys::FORMAT, "the format")? {
        Some(found) if found > FORMAT => return Ok(Checked::NewerFormat { found }),
        Some(FORMAT) => {}
        _ => put(&mut writes, keys::FORMAT, &FORMAT)?,
    }
    let mut findings = Vec::new();
    if let Err(Fault::Damaged(detail)) = read::<Notices>(database, keys::NOTICES, "what nobody has acknowledged") {
        findings.push(Finding::new(FindingCode::StoreInconsistent, format!("{detail}; it is forgotten")));
        writes.insert((Tree::Meta, keys::NOTICES.to_vec()), None);
    }
    let registry: Registry = read(database, keys::REGISTRY, "the registry")?.unwrap_or_default();
    for epoch in registry.epochs.into_keys() {
        check_cursors(database, epoch, &mut writes, &mut findings)?;
        check_feed(database, epoch, &mut writes, &mut findings)?;
    }
    if !writes.is_empty() {
        database.write(&writes)?;
        database.sync()?;
    }
    Ok(Checked::Sound(findings))
}

/// A cursor that does not read is forgotten: its type is then pulled from the beginning, with a full listing.
fn check_cursors(database: &Database, epoch: EpochId, writes: &mut Writes, findings: &mut Vec<Finding>) -> Result<(), Fault> {
    let prefix = keys::cursors(epoch);
    let mut damaged = Vec::new();
    database.scan(Tree::Meta, &prefix, Bound::Included(&prefix), &mut |key, bytes| {
        if let Err(damage) = value::decode::<Cursor>(key, bytes) {
            let entity_type = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default());
            findings.push(Finding::new(
                FindingCode::StoreInconsistent,
                format!("the cursor of {entity_type} was damaged ({damage}); {entity_type} is pulled from the beginning"),
            ));
            damaged.push(key.to_vec());
        }
        true
    })?;
    // What it said is not known any more, so that it may have said that a listing is owed.
    let fresh = Cursor { listing_owed: true, ..Cursor::default() };
    damaged.iter().try_for_each(|key| put(writes, key, &fresh))
}

/// Changes every cursor of an epoch, and lets a full listing be owed for each type that it has something of (rule R28).
pub(super) fn owe_listings(
    database: &Database,
    epoch: EpochId,
    ledger: &Ledger,
    writes: &mut Writes,
    change: impl Fn(Cursor) -> Cursor,
) -> Result<(), Fault> {
    let prefix = keys::cursors(epoch);
    let types = ledger.records.keys().map(|name| (keys::cursor(epoch, name), Cursor::default()));
    let mut cursors: BTreeMap<Vec<u8>, Cursor> = types.collect();
    database.scan(Tree::Meta, &prefix, Bound::Included(&prefix), &mut |key, bytes| {
        cursors.insert(key.to_vec(), value::decode(key, bytes).unwrap_or_default());
        true
    })?;
    cursors.into_iter().try_for_each(|(key, cursor)| put(writes, &key, &Cursor { listing_owed: true, ..change(cursor) }))
}

/// The feed must end where the ledger says. Where it does not, a batch was torn: the feed starts anew under another name, so
/// that every subscriber loads the records again, and all types are pulled from the beginning.
fn check_feed(database: &Database, epoch: EpochId, writes: &mut Writes, findings: &mut Vec<Finding>) -> Result<(), Fault> {
    let key = keys::ledger(epoch);
    let Some(mut ledger) = read::<Ledger>(database, &key, "a ledger")? else { return Ok(()) };
    let tail = database.last_change(&keys::changes(epoch))?;
    let kept = ledger.first_seq <= ledger.last_seq && ledger.last_seq > 0;
    // Changes below the first one are what a trim that was cut short left over.
    let agrees = match tail {
        Some(tail) if kept => tail == ledger.last_seq,
        Some(tail) => tail < ledger.first_seq.max(1),
        None => !kept,
    };
    if agrees {
        return remove_changes(database, epoch, ledger.first_seq);
    }
    findings.push(Finding::new(
        FindingCode::StoreInconsistent,
        format!(
            "the change feed ends at {} but its ledger says {}; a new feed was started and all types are pulled again",
            tail.unwrap_or(0),
            ledger.last_seq
        ),
    ));
    start_feed_anew(database, epoch, &mut ledger, writes)
}

/// Empties the feed and gives it another name, so that every subscriber loads the records again, and forgets the cursors, so that all
/// types are pulled from the beginning, with a full listing of each.
pub(super) fn start_feed_anew(
    database: &Database,
    epoch: EpochId,
    ledger: &mut Ledger,
    writes: &mut Writes,
) -> Result<(), Fault> {
    let tail = database.last_change(&keys::changes(epoch))?;
    remove_changes(database, epoch, u64::MAX)?;
    if let Some(last) = tail.filter(|last| *last == u64::MAX) {
        writes.insert((Tree::Feed, keys::change(epoch, last)), None);
    }
    ledger.last_seq = ledger.last_seq.max(tail.unwrap_or(0));
    ledger.first_seq = ledger.last_seq.saturating_add(1);
    ledger.feed_bytes = 0;
    ledger.log = uuid::Uuid::new_v4().to_string();
    put(writes, &keys::ledger(epoch), ledger)?;
    owe_listings(database, epoch, ledger, writes, |_| Cursor::default())
}

/// Removes the changes before `end`, in steps.
fn remove_changes(database: &Database, epoch: EpochId, end: u64) -> Result<(), Fault> {
    let prefix = keys::changes(epoch);
    let end = keys::change(epoch, end);
    loop {
        let mut step = Writes::new();
        database.scan(Tree::Feed, &prefix, Bound::Included(&prefix), &mut |key, _| {
            let goes = key < end.as_slice();
            if goes {
                step.insert((Tree::Feed, key.to_vec()), None);
            }
            goes && step.len() < TRIM_STEP
        })?;
        if step.is_empty() {
            return Ok(());
        }
        database.write(&step)?;
    }
}

pub(super) fn read<T: DeserializeOwned>(database: &Database, key: &[u8], what: &str) -> Result<Option<T>, Fault> {
    let bytes = database.get(Tree::Meta, key)?;
    bytes
        .map(|bytes| value::decode(key, &bytes))
        .transpose()
        .map_err(|damage| Fault::Damaged(format!("{what} does not read: {damage}")))
}

pub(super) fn put<T: serde::Serialize>(writes: &mut Writes, key: &[u8], content: &T) -> Result<(), Fault> {
    let bytes = value::encode(key, content).map_err(|error| Fault::Damaged(error.to_string()))?;
    writes.insert((Tree::Meta, key.to_vec()), Some(bytes));
    Ok(())
}
