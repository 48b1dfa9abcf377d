//! What the journal is there for: the outbox comes back when sled is lost.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::Path;

use aesync_protocol::Timestamp;
use aesync_protocol::response::EntryState;
use aesync_protocol::status::OutboxStatus;

use super::check::{put, read};
use super::database::{Database, Fault, Tree, Writes};
use super::finding::{Finding, FindingCode};
use super::journal::{self, Journal, Survey};
use super::{keys, open, value};
use crate::engine::durable::{Entry, EpochId, Ledger, Registry};

/// Writes that are replayed in one step.
const REPLAY_STEP: usize = 1_000;

/// Opens the journal beside a sound database that is not behind it. Where the journal is behind, it is written anew: after an
/// unclean stop that is no damage, the daemon was killed between the two syncs.
pub(super) fn keep_journal(
    dir: &Path,
    now: Timestamp,
    survey: Survey,
    database: &Database,
    number: u64,
    was_clean: bool,
) -> Result<(Journal, Option<Finding>), Fault> {
    let path = dir.join("journal");
    if survey.end > 0 && survey.number == number {
        return Ok((Journal::open(&path, survey, database)?, None));
    }
    let mut finding = None;
    if was_clean && number > 0 {
        let evidence = if survey.size > 0 { format!("; it was copied to {}", set_aside(dir, now)?) } else { String::new() };
        let message = format!(
            "the outbox journal read up to byte {} of {}{evidence}; it was written anew from the store, nothing is lost",
            survey.end, survey.size
        );
        finding = Some(Finding::new(FindingCode::JournalDamaged, message));
    }
    Ok((Journal::rewrite(&path, database, number)?, finding))
}

/// Fills a fresh database with the outbox that the journal holds.
pub(super) fn restore(
    dir: &Path,
    now: Timestamp,
    survey: Survey,
    database: &Database,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let mut step = Writes::new();
    journal::replay(&dir.join("journal"), survey, |place, value| {
        step.insert(place, value.map(<[u8]>::to_vec));
        if step.len() >= REPLAY_STEP {
            database.commit(&std::mem::take(&mut step))?;
        }
        Ok(())
    })?;
    database.commit(&step)?;
    let mut restored = 0_u64;
    let mut last = Writes::new();
    let registry: Registry = read(database, keys::REGISTRY, "the registry")?.unwrap_or_default();
    for epoch in registry.epochs.into_keys() {
        let (outbox, entries) = count(database, epoch)?;
        restored = restored.saturating_add(entries);
        // The feed's positions are lost, so it starts under another name.
        let log = uuid::Uuid::new_v4().to_string();
        let ledger = Ledger { log, first_seq: 1, outbox, ..Ledger::default() };
        put(&mut last, &keys::ledger(epoch), &ledger)?;
    }
    // Only now: until the number is there, the next start begins this anew.
    put(&mut last, keys::NUMBER, &survey.number)?;
    database.sync()?;
    database.commit(&last)?;
    database.sync()?;
    let mut message = format!("{restored} outbox entries were restored from the journal; all types are pulled again");
    if survey.end < survey.size {
        let evidence = set_aside(dir, now)?;
        findings.push(Finding::new(
            FindingCode::JournalDamaged,
            format!(
                "the outbox journal read only up to byte {} of {}: the changes behind it are lost if they were acknowledged; \
                 it was copied to {evidence}",
                survey.end, survey.size
            ),
        ));
        message.push_str(", as far as the journal read");
    }
    findings.push(Finding::new(FindingCode::OutboxRestored, message));
    Ok(())
}

/// An epoch's outbox by state, and how many entries there are.
fn count(database: &Database, epoch: EpochId) -> Result<(OutboxStatus, u64), Fault> {
    let mut outbox = OutboxStatus::default();
    let mut entries = 0_u64;
    let prefix = keys::entries(epoch);
    database.scan(Tree::Outbox, &prefix, Bound::Included(&prefix), |key, bytes| {
        entries = entries.saturating_add(1);
        if let Ok(entry) = value::decode::<Entry>(key, bytes) {
            let place = match entry.state {
                EntryState::Pending => Some(&mut outbox.pending),
                EntryState::Sent => Some(&mut outbox.sent),
                EntryState::InDoubt => Some(&mut outbox.in_doubt),
                EntryState::Acked => Some(&mut outbox.acked),
                EntryState::Quarantined => Some(&mut outbox.quarantined),
                EntryState::Blocked => Some(&mut outbox.blocked),
                EntryState::Conflict => Some(&mut outbox.conflicts),
                EntryState::Confirmed | EntryState::Discarded => None,
            };
            if let Some(place) = place {
                *place = place.saturating_add(1);
                outbox.bytes = outbox.bytes.saturating_add(entry.bytes);
            }
        }
        true
    })?;
    Ok((outbox, entries))
}

/// Keeps a copy of a journal that is about to be replaced.
fn set_aside(dir: &Path, now: Timestamp) -> io::Result<String> {
    let evidence = open::evidence_dir(dir, now);
    fs::create_dir(&evidence)?;
    fs::copy(dir.join("journal"), evidence.join("journal"))?;
    Ok(evidence.display().to_string())
}
