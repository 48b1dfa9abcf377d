//! What the journal is there for: sled gets what it lost, and the outbox comes back when sled is lost altogether.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::Path;

use aesync_protocol::Timestamp;
use aesync_protocol::response::EntryState;
use aesync_protocol::status::OutboxStatus;

use super::check::{put, read};
use super::database::{Database, Tree, Writes};
use super::fault::Fault;
use super::finding::{Finding, FindingCode};
use super::journal::{self, Journal, Source, Survey};
use super::{evidence, keys, value};
use crate::engine::durable::{Entry, EpochId, Ledger, Registry};

/// Writes that are replayed in one step.
const REPLAY_STEP: usize = 1_000;

/// Writes once more what was committed since the last checkpoint. Whatever sled kept of it, afterwards it is as the journal's last
/// commit left it: the journal has every write since then, and the last one to a place wins.
pub(super) fn catch_up(path: &Path, survey: Survey, database: &Database) -> Result<(), Fault> {
    let mut step = Writes::new();
    journal::replay(path, survey, survey.checkpoint_end, |place, value| {
        step.insert(place, value.map(<[u8]>::to_vec));
        if step.len() >= REPLAY_STEP {
            database.write(&std::mem::take(&mut step))?;
        }
        Ok(())
    })?;
    database.write(&step)
}

/// Opens the journal beside a sound database that was brought in line with it. Where the journal does not read as far as the
/// database goes, it was damaged, and is written anew: nothing gets into the database that was not in the journal before.
pub(super) fn keep_journal(
    dir: &Path,
    now: Timestamp,
    survey: Survey,
    database: &Database,
    number: u64,
    was_clean: bool,
) -> Result<(Journal, Option<Finding>), Fault> {
    let path = dir.join("journal");
    let lost = survey.beyond.filter(|beyond| *beyond > number);
    if survey.end > 0 && number <= survey.number && lost.is_none() {
        return Ok((Journal::open(&path, survey, database)?, None));
    }
    let mut finding = None;
    if number > 0 {
        let evidence = if survey.size > 0 { format!("; it was copied to {}", set_aside(dir, now)?) } else { String::new() };
        let loss = match lost {
            Some(beyond) => format!(
                "the changes from {} to {beyond} in it are lost, unless it was a power cut in the middle of writing them",
                number.max(survey.number).saturating_add(1)
            ),
            None if was_clean => "nothing is lost".to_owned(),
            None => format!("nothing up to change {number} is lost, and whether there were later ones can't be told"),
        };
        let message = format!(
            "the outbox journal read up to byte {} of {}{evidence}; it was written anew from the store, {loss}",
            survey.end, survey.size
        );
        finding = Some(Finding::new(FindingCode::JournalDamaged, message));
    }
    database.sync()?;
    let mut journal = Journal::rewrite(&path, Source::Database(database), number.max(survey.number))?;
    journal.make_name_durable()?;
    Ok((journal, finding))
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
    journal::replay(&dir.join("journal"), survey, 0, |place, value| {
        // The rest only makes sense in a database that has all before it.
        if keys::is_journaled(&place) {
            step.insert(place, value.map(<[u8]>::to_vec));
        }
        if step.len() >= REPLAY_STEP {
            database.write(&std::mem::take(&mut step))?;
        }
        Ok(())
    })?;
    database.write(&step)?;
    let mut restored = 0_u64;
    let mut last = Writes::new();
    let registry: Registry = read(database, keys::REGISTRY, "the registry")?.unwrap_or_default();
    for epoch in registry.epochs.into_keys() {
        let (outbox, entries) = count(database, epoch)?;
        restored = restored.saturating_add(entries);
        // The feed's positions are lost, so it starts under another name.
        let log = uuid::Uuid::new_v4().to_string();
        // What applications saw of the entries is lost too, and is made anew by whoever works on the epoch next.
        let ledger = Ledger { log, first_seq: 1, outbox, rebuild: Some(0), ..Ledger::default() };
        put(&mut last, &keys::ledger(epoch), &ledger)?;
    }
    // Only now: until the number is there, the next start begins this anew.
    put(&mut last, keys::NUMBER, &survey.number)?;
    database.sync()?;
    database.write(&last)?;
    database.sync()?;
    let mut message = format!("{restored} outbox entries were restored from the journal; all types are pulled again");
    if survey.beyond.is_some() {
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
pub(super) fn count(database: &Database, epoch: EpochId) -> Result<(OutboxStatus, u64), Fault> {
    let mut outbox = OutboxStatus::default();
    let mut entries = 0_u64;
    let prefix = keys::entries(epoch);
    database.scan(Tree::Outbox, &prefix, Bound::Included(&prefix), &mut |key, bytes| {
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
    let evidence = evidence::dir_for(dir, now);
    fs::create_dir(&evidence)?;
    fs::copy(dir.join("journal"), evidence.join("journal"))?;
    Ok(evidence.display().to_string())
}
