//! The outbox on its way out: which entries go next, and what an answer, or none, makes of them.

use std::collections::{BTreeMap, BTreeSet};

use aesync_protocol::event::Origin;
use aesync_protocol::response::{EntryError, EntryOp, EntryState, Verdict};
use serde_json::Value;

use super::admit::parent_id;
use super::draft::{Draft, Key};
use super::durable::{Entry, Row};
use super::enqueue::held;
use super::transact::Done;
use super::verdict::compare;
use super::view::Read;
use super::without::Mutation;

/// Entries that one look for a batch passes at most; the next look goes on from there.
const SCAN: usize = 2_000;
/// Entries read at a time.
const PAGE: usize = 100;

/// After a start: a request that was under way may have reached the server, or not (rule R9).
///
/// # Errors
/// When the state can't be read.
pub fn recover(draft: &mut Draft<'_>) -> Read<Done> {
    let mut after = 0;
    loop {
        let sent = draft.view().entries_in(draft.epoch(), EntryState::Sent, after, PAGE)?;
        let Some(last) = sent.last() else { return Ok(Done::Recovered) };
        after = last.number;
        for entry in sent {
            draft.put_entry(Entry { state: EntryState::InDoubt, ..entry })?;
        }
    }
}

/// Puts the next entries behind the number `after` that make no overlay back into what applications see (rule R44). How far that came
/// stands in the ledger, in the same write set.
///
/// # Errors
/// When the state can't be read.
pub fn rebuild(draft: &mut Draft<'_>, after: u64) -> Read<()> {
    let page = draft.view().entries(draft.epoch(), after, PAGE)?;
    let next = page.last().filter(|_| page.len() == PAGE).map(|last| last.number);
    for entry in page.into_iter().filter(|entry| entry.state != EntryState::Conflict) {
        let key = key_of(&entry);
        let before = draft.seen(&key)?;
        let mut live = draft.live_entries(&key)?;
        if live.iter().all(|known| known.number != entry.number) {
            live.push(entry);
            live.sort_by_key(|entry| entry.number);
            draft.settle(&key, before, &live, Origin::Local)?;
        }
    }
    draft.edit_ledger(|ledger| ledger.rebuild = next);
    Ok(())
}

/// What keeps an entry from being sent now.
enum Hold {
    /// Nothing.
    Free,
    /// An earlier change of the entity, or its parent, has to arrive first.
    Later,
    /// A quarantined entry.
    Blocked(u64),
}

/// Picks the next batch: in order, an entity's earlier change before its later one and parents before children (rule R2), at most as
/// many bytes and entries as one request may have (rule R7). What waits for a quarantined entry is set aside (rule R12).
///
/// # Errors
/// When the state can't be read.
pub fn take(draft: &mut Draft<'_>, after: u64, count: usize, except: &BTreeSet<u64>) -> Read<Done> {
    let settings = draft.settings();
    let batch_bytes = if settings.without.is(Mutation::BatchesOfAnySize) { u64::MAX } else { settings.batch_bytes };
    let mut batch: Vec<Entry> = Vec::new();
    let (mut bytes, mut scanned, mut after) = (0_u64, 0_usize, after);
    let mut cut_short = false;
    'scan: loop {
        let page = draft.view().entries_in(draft.epoch(), EntryState::Pending, after, PAGE)?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            if batch.len() >= count.max(1) || scanned >= SCAN {
                cut_short = true;
                break 'scan;
            }
            scanned += 1;
            if except.contains(&entry.number) {
                after = entry.number;
                continue;
            }
            match hold(draft, &entry, &batch)? {
                Hold::Free if !batch.is_empty() && bytes.saturating_add(entry.bytes) > batch_bytes => {
                    cut_short = true;
                    break 'scan;
                }
                Hold::Free => {
                    bytes = bytes.saturating_add(entry.bytes).saturating_add(1);
                    after = entry.number;
                    batch.push(entry);
                }
                Hold::Later => after = entry.number,
                Hold::Blocked(number) => {
                    after = entry.number;
                    draft.put_entry(Entry { state: EntryState::Blocked, blocked_by: Some(number), ..entry })?;
                }
            }
        }
    }
    let rank: BTreeMap<&str, usize> = settings.type_names().enumerate().map(|(rank, name)| (name, rank)).collect();
    batch.sort_by_key(|entry| {
        (rank.get(entry.entity_type.as_str()).copied().unwrap_or(usize::MAX), entry.entity_type.clone(), entry.number)
    });
    for entry in &mut batch {
        entry.state = EntryState::Sent;
        entry.attempts = entry.attempts.saturating_add(1);
        entry.sent_at = Some(draft.at());
        entry.base_stamp = draft.row(&key_of(entry))?.and_then(|row| row.updated_at);
        draft.put_entry(entry.clone())?;
    }
    Ok(Done::Taken { entries: batch, scanned_to: cut_short.then_some(after) })
}

fn hold(draft: &Draft<'_>, entry: &Entry, batch: &[Entry]) -> Read<Hold> {
    for earlier in draft.live_entries(&key_of(entry))? {
        if earlier.number >= entry.number {
            break;
        }
        if earlier.state == EntryState::Acked {
            continue;
        }
        // One change of an entity at a time: an old edit must not land on a newer one.
        return Ok(held(&earlier).map_or(Hold::Later, Hold::Blocked));
    }
    let rules = draft.settings().rules(&entry.entity_type);
    let Some((rules, parent)) = rules.and_then(|rules| Some((rules, rules.parent.as_ref()?))) else { return Ok(Hold::Free) };
    let Some(id) = parent_id(rules, &entry.fields) else { return Ok(Hold::Free) };
    let key: Key = (parent.entity_type.clone(), id.to_owned());
    if draft.row(&key)?.is_some_and(|row| row.is_live()) {
        return Ok(Hold::Free);
    }
    let parents = draft.live_entries(&key)?;
    if let Some(number) = parents.iter().find_map(held) {
        return Ok(Hold::Blocked(number));
    }
    // In the same batch the parent stands before its children; elsewhere it must have been accepted.
    let arrives = parents
        .first()
        .is_none_or(|first| first.state == EntryState::Acked || batch.iter().any(|sent| sent.number == first.number));
    Ok(if arrives { Hold::Free } else { Hold::Later })
}

/// Holds each returned row against what was sent (rule R15). Position and id must both match: an answer that does not line up with
/// its question says nothing, and a pull has to tell (rule R9).
///
/// # Errors
/// When the state can't be read.
pub fn judge(draft: &mut Draft<'_>, numbers: &[u64], rows: &[Value]) -> Read<Done> {
    let (mut accepted, mut overwritten, mut unclear) = (0, 0, 0);
    for (position, number) in numbers.iter().enumerate() {
        let Some(entry) = draft.entry(*number)?.filter(|entry| entry.state == EntryState::Sent) else { continue };
        let row = rows.get(position).and_then(Value::as_object).filter(|row| {
            rows.len() == numbers.len()
                && row.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(&entry.id))
        });
        let Some(row) = row else {
            unclear += 1;
            let error = EntryError {
                status: Some(200),
                message: "the server's answer does not line up with what was sent".to_owned(),
                at: draft.at(),
            };
            draft.put_entry(Entry { state: EntryState::InDoubt, last_error: Some(error), ..entry })?;
            continue;
        };
        let without = draft.settings().without;
        match compare(&entry.fields, row, draft.settings().rules(&entry.entity_type), draft.settings()) {
            verdict @ Verdict::Overwritten { .. } if !without.is(Mutation::AnyAnswerAccepts) => {
                overwritten += 1;
                overrule(draft, entry, verdict)?;
            }
            verdict => {
                accepted += 1;
                unlearn(draft, &entry)?;
                draft.put_entry(Entry {
                    state: EntryState::Acked,
                    misses: 0,
                    verdict: Some(verdict),
                    last_error: None,
                    ..entry
                })?;
            }
        }
    }
    Ok(Done::Judged { accepted, overwritten, unclear })
}

/// The server kept its own row: the entry is a conflict, applications see the base again, and it is never sent by itself again
/// (rules R15, R17, R18).
///
/// # Errors
/// When the state can't be read.
pub fn overrule(draft: &mut Draft<'_>, entry: Entry, verdict: Verdict) -> Read<()> {
    let at = draft.at();
    let without = draft.settings().without;
    if without.is(Mutation::OverruledIsSentAgain) {
        return draft.put_entry(Entry { state: EntryState::Pending, ..entry });
    }
    draft.edit_ledger(|ledger| {
        if without.is(Mutation::NothingIsLearned) {
            return;
        }
        let dropped = ledger.dropped.entry(entry.entity_type.clone()).or_default();
        match entry.op {
            EntryOp::Update => dropped.updates = Some(at),
            EntryOp::Delete => dropped.deletes = Some(at),
            EntryOp::Create => {}
        }
    });
    let key = key_of(&entry);
    let before = draft.seen(&key)?;
    let mut live = draft.live_entries(&key)?;
    live.retain(|other| other.number != entry.number);
    let error = EntryError { status: Some(200), message: "the server kept its own row".to_owned(), at };
    draft.put_entry(Entry { state: EntryState::Conflict, verdict: Some(verdict), last_error: Some(error), ..entry })?;
    draft.settle(&key, before, &live, Origin::Server)
}

/// A change of a row that exists was accepted, and it did change something: the server can do it after all (rule R18).
fn unlearn(draft: &mut Draft<'_>, entry: &Entry) -> Read<()> {
    let settings = draft.settings();
    let Some(row) = draft.row(&key_of(entry))?.filter(Row::is_live) else { return Ok(()) };
    let same = compare(&entry.fields, &row.record, settings.rules(&entry.entity_type), settings) == Verdict::Accepted;
    let known = draft.ledger().dropped.contains_key(&entry.entity_type);
    if known && !same {
        draft.edit_ledger(|ledger| {
            let Some(dropped) = ledger.dropped.get_mut(&entry.entity_type) else { return };
            match entry.op {
                EntryOp::Update => dropped.updates = None,
                EntryOp::Delete => dropped.deletes = None,
                EntryOp::Create => {}
            }
        });
    }
    Ok(())
}

/// The batch did not take effect: its entries wait again, in their old places.
///
/// # Errors
/// When the state can't be read.
pub fn give_back(draft: &mut Draft<'_>, numbers: &[u64], seen: bool, error: Option<&EntryError>) -> Read<Done> {
    for number in numbers {
        let Some(entry) = draft.entry(*number)?.filter(|entry| entry.state == EntryState::Sent) else { continue };
        let attempts = if seen { entry.attempts } else { entry.attempts.saturating_sub(1) };
        let last_error = error.cloned().or_else(|| entry.last_error.clone());
        draft.put_entry(Entry { state: EntryState::Pending, attempts, last_error, ..entry })?;
    }
    Ok(Done::PutBack)
}

/// Nobody knows what became of the batch: a pull has to tell (rule R9). `strike` counts against an entry that was alone (rule R11).
///
/// # Errors
/// When the state can't be read.
pub fn doubt(draft: &mut Draft<'_>, numbers: &[u64], strike: bool, error: &EntryError) -> Read<Done> {
    for number in numbers {
        let Some(entry) = draft.entry(*number)?.filter(|entry| entry.state == EntryState::Sent) else { continue };
        let refused = draft.settings().without.is(Mutation::DoubtCountsAsRefusal);
        let strikes = entry.strikes.saturating_add(u32::from(strike || refused));
        let condemned = refused && strikes >= draft.settings().strikes;
        let state = if condemned { EntryState::Quarantined } else { EntryState::InDoubt };
        draft.put_entry(Entry { state, strikes, last_error: Some(error.clone()), ..entry })?;
    }
    Ok(Done::PutBack)
}

/// The entity that an entry changes.
#[must_use]
pub fn key_of(entry: &Entry) -> Key {
    (entry.entity_type.clone(), entry.id.clone())
}
