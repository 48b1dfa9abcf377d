//! What is looked at at a start, most of it after a stop that was no clean one. sled may have lost, without a word, even what it had long before: it writes
//! over places whose content it has only just moved, and does not sync in between.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use aesync_protocol::Change;
use aesync_protocol::event::ChangeOp;

use super::check::{self, put, read};
use super::database::{Database, Tree, Writes};
use super::fault::Fault;
use super::finding::{Finding, FindingCode};
use super::{keys, restore, value};
use crate::engine::durable::{Cursor, EpochId, Ledger, Overlay, Registry};
use crate::engine::fingerprint::fingerprint;

/// The newest changes that are held against the records.
const TAIL: u64 = 1_000;
/// Records are counted when there are at most this many: a second's work. More are left to the full listing that follows.
const COUNT_ROWS: u64 = 200_000;
/// The same after a clean stop, when only a file that was damaged since can have lost some.
const COUNT_ROWS_AFTER_CLEAN_STOP: u64 = 20_000;

/// Counts the outbox anew where its overlays still have to be made: a start that was cut short may not have come to it.
pub(super) fn recount_outbox(database: &Database) -> Result<(), Fault> {
    each_ledger(database, |epoch, ledger| match ledger.rebuild {
        Some(_) => Ok(Ledger { outbox: restore::count(database, epoch)?.0, ..ledger }),
        None => Ok(ledger),
    })
}

/// Writes what `change` makes of each epoch's ledger, where that is another one.
pub(super) fn each_ledger(database: &Database, change: impl Fn(EpochId, Ledger) -> Result<Ledger, Fault>) -> Result<(), Fault> {
    let mut ledgers = Writes::new();
    for epoch in epochs(database)? {
        let ledger = read::<Ledger>(database, &keys::ledger(epoch), "a ledger")?.unwrap_or_default();
        let changed = change(epoch, ledger.clone())?;
        if changed != ledger {
            put(&mut ledgers, &keys::ledger(epoch), &changed)?;
        }
    }
    database.write(&ledgers)
}

/// Holds the number of records against what was counted: sled may come back with less than it had, without a word. After an unclean stop
/// the newest changes are held against the records too, every cursor steps back by `overlap`, and a full listing of each type is owed.
pub(super) fn verify(database: &Database, was_clean: bool, overlap: Duration, findings: &mut Vec<Finding>) -> Result<(), Fault> {
    let most = if was_clean { COUNT_ROWS_AFTER_CLEAN_STOP } else { COUNT_ROWS };
    let mut writes = Writes::new();
    for epoch in epochs(database)? {
        let Some(mut ledger) = read::<Ledger>(database, &keys::ledger(epoch), "a ledger")? else { continue };
        let mut doubts: Vec<String> = Vec::new();
        if !was_clean {
            doubts.extend(check_tail(database, epoch, &ledger)?);
        }
        doubts.extend(recount(database, epoch, &mut ledger, most)?);
        if doubts.is_empty() {
            if !was_clean {
                step_back(database, epoch, &ledger, overlap, &mut writes)?;
            }
            continue;
        }
        check::start_feed_anew(database, epoch, &mut ledger, &mut writes)?;
        findings.push(Finding::new(
            FindingCode::StoreInconsistent,
            format!("at the start {}; a new feed was started and all types are pulled again", doubts.join(", ")),
        ));
    }
    if writes.is_empty() {
        return Ok(());
    }
    database.write(&writes)?;
    database.sync()
}

pub(super) fn epochs(database: &Database) -> Result<Vec<EpochId>, Fault> {
    let registry: Registry = read(database, keys::REGISTRY, "the registry")?.unwrap_or_default();
    Ok(registry.epochs.into_keys().collect())
}

/// What does not fit together of the newest changes and what applications see.
fn check_tail(database: &Database, epoch: EpochId, ledger: &Ledger) -> Result<Option<String>, Fault> {
    let mut expected = ledger.last_seq.saturating_sub(TAIL).saturating_add(1).max(ledger.first_seq).max(1);
    let mut newest: BTreeMap<(String, String), Change> = BTreeMap::new();
    let mut doubt = None;
    let from = keys::change(epoch, expected);
    database.scan(Tree::Feed, &keys::changes(epoch), Bound::Included(&from), &mut |key, bytes| {
        match value::decode::<Change>(key, bytes) {
            Ok(change) if change.seq == expected => {
                newest.insert((change.entity_type.clone(), change.id.clone()), change);
            }
            Ok(_) => doubt = Some(format!("change {expected} was missing")),
            Err(damage) => doubt = Some(format!("change {expected} was damaged ({damage})")),
        }
        expected = expected.saturating_add(1);
        doubt.is_none()
    })?;
    if doubt.is_some() {
        return Ok(doubt);
    }
    for ((entity_type, id), change) in newest {
        if !agrees(database, epoch, &change)? {
            return Ok(Some(format!("the newest change of {entity_type} {id} did not fit what is stored of it")));
        }
    }
    Ok(None)
}

/// Whether applications see what the newest change of an entity told them.
fn agrees(database: &Database, epoch: EpochId, change: &Change) -> Result<bool, Fault> {
    let key = keys::overlay(epoch, &change.entity_type, &change.id);
    let seen = match database.get(Tree::Replica, &key)? {
        Some(bytes) => match value::decode::<Overlay>(&key, &bytes) {
            Ok(overlay) => overlay.visible,
            Err(_) => return Ok(false),
        },
        None => {
            let key = keys::row(epoch, &change.entity_type, &change.id);
            match database.get(Tree::Replica, &key)?.map(|bytes| value::decode_row(&key, &bytes)) {
                Some(Ok(row)) => Some(row).filter(|row| row.deleted_at.is_none()).map(|row| row.record),
                Some(Err(_)) => return Ok(false),
                None => None,
            }
        }
    };
    Ok(match (change.op, &change.record, &seen) {
        (ChangeOp::Delete, _, seen) => seen.is_none(),
        (ChangeOp::Upsert, Some(told), Some(seen)) => fingerprint(told) == fingerprint(seen),
        (ChangeOp::Upsert, _, _) => false,
    })
}

/// Counts the records of all types, and says where the ledger had counted otherwise. A damaged one is taken out.
fn recount(database: &Database, epoch: EpochId, ledger: &mut Ledger, most: u64) -> Result<Option<String>, Fault> {
    if ledger.records.values().copied().fold(0, u64::saturating_add) > most {
        return Ok(None);
    }
    let mut damaged = Writes::new();
    let mut doubt = None;
    for (entity_type, counted) in &mut ledger.records {
        let prefix = keys::rows(epoch, entity_type);
        let mut found = 0_u64;
        database.scan(Tree::Replica, &prefix, Bound::Included(&prefix), &mut |key, bytes| {
            match value::is_live_row(key, bytes) {
                Ok(live) => found = found.saturating_add(u64::from(live)),
                Err(_) => drop(damaged.insert((Tree::Replica, key.to_vec()), None)),
            }
            true
        })?;
        if found != *counted {
            doubt = Some(format!("{found} of {counted} records of {entity_type} were there"));
            *counted = found;
        }
    }
    database.write(&damaged)?;
    Ok(doubt)
}

/// Lets each type be pulled again from somewhat earlier, and be listed in full.
fn step_back(database: &Database, epoch: EpochId, ledger: &Ledger, overlap: Duration, writes: &mut Writes) -> Result<(), Fault> {
    let back = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
    check::owe_listings(database, epoch, ledger, writes, |cursor| {
        let high_water = cursor.high_water.map(|at| at.plus_millis(back.saturating_neg()));
        Cursor { high_water, ..cursor }
    })
}
