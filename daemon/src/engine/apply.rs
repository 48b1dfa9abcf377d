//! A pull entering the replica: rows into the base, what they prove about the outbox, and how far the cursor may move.

use std::collections::BTreeMap;
use std::sync::Arc;

use aesync_protocol::event::Origin;
use aesync_protocol::response::{EntryOp, EntryState, Verdict};
use aesync_protocol::{Record, Timestamp};
use serde_json::Value;

use super::draft::{Draft, Key};
use super::drain::{key_of, overrule};
use super::durable::{Cursor, Entry, Row};
use super::fingerprint::fingerprint;
use super::rebase::is_deleted;
use super::transact::{Done, Tally, TypeEnd};
use super::verdict::compare;
use super::view::Read;
use super::without::{Mutation, Without};

/// Entries read at a time.
const PAGE: usize = 200;
/// An empty first answer is asked for again this often before it is believed: the server answers an error with an empty list, too.
const EMPTY_ANSWERS: u32 = 2;

/// The id of a row, in lower case.
#[must_use]
pub fn row_id(row: &Record) -> Option<String> {
    row.get("id").and_then(Value::as_str).filter(|id| !id.is_empty() && id.len() <= 64).map(str::to_ascii_lowercase)
}

/// The server's stamp of a row, cut to milliseconds.
#[must_use]
pub fn row_stamp(row: &Record) -> Option<Timestamp> {
    row.get("updatedAt").and_then(Value::as_str).and_then(|text| text.parse().ok())
}

/// Stores a page of rows. A row without an id is passed over: it can't be kept, shown or deleted.
///
/// # Errors
/// When the state can't be read.
pub fn rows(draft: &mut Draft<'_>, entity_type: &str, rows: &[Arc<Record>]) -> Read<Done> {
    let (mut changed, mut deleted) = (0, 0);
    if draft.settings().without.is(Mutation::CursorAheadOfItsRows) {
        let cursor = draft.view().cursor(draft.epoch(), entity_type)?;
        let high_water = cursor.high_water.max(rows.iter().filter_map(|row| row_stamp(row)).max());
        draft.set_cursor(entity_type, Cursor { high_water, ..cursor });
    }
    for row in rows {
        let Some(id) = row_id(row) else { continue };
        let key: Key = (entity_type.to_owned(), id);
        match store_row(draft, &key, row)? {
            Stored::Same => {}
            Stored::Changed => changed += 1,
            Stored::Deleted => deleted += 1,
        }
    }
    Ok(Done::Stored { entity_type: entity_type.to_owned(), changed, deleted })
}

enum Stored {
    Same,
    Changed,
    Deleted,
}

fn store_row(draft: &mut Draft<'_>, key: &Key, record: &Arc<Record>) -> Read<Stored> {
    let before = draft.seen(key)?;
    let old = draft.row(key)?;
    let stamp = row_stamp(record);
    let new = Row {
        hash: fingerprint(record),
        updated_at: stamp.max(old.as_ref().and_then(|row| row.updated_at)),
        deleted_at: is_deleted(record).then(|| draft.at()),
        missing_since: None,
        record: Arc::clone(record),
    };
    let stored = match &old {
        Some(old) if old.is_live() == new.is_live() && old.hash == new.hash => Stored::Same,
        _ if new.is_live() => Stored::Changed,
        Some(old) if old.is_live() => Stored::Deleted,
        _ => Stored::Same,
    };
    let entries = draft.live_entries(key)?;
    match &old {
        // Nothing but bookkeeping moved: what applications saw stays as it is, to the letter (rule R24).
        Some(old) if matches!(stored, Stored::Same) => {
            if old.updated_at != new.updated_at || old.missing_since.is_some() {
                draft.set_row(key, Row { updated_at: new.updated_at, missing_since: None, ..old.clone() })?;
            }
        }
        _ => draft.set_row(key, new)?,
    }
    if entries.is_empty() {
        if !matches!(stored, Stored::Same) {
            draft.settle(key, before, &[], Origin::Server)?;
        }
        return Ok(stored);
    }
    confirm(draft, key, record, before, entries)?;
    Ok(stored)
}

/// What a pulled row proves about the entries of its entity. The pull began after their push ended (rules R16, R27): one request is in
/// flight at a time, and an entry is acked or in doubt only once its push is over.
fn confirm(draft: &mut Draft<'_>, key: &Key, record: &Record, before: super::draft::Seen, entries: Vec<Entry>) -> Read<()> {
    let mut left = Vec::with_capacity(entries.len());
    let mut overruled = Vec::new();
    for entry in entries {
        match entry.state {
            EntryState::Acked if entry.op == EntryOp::Delete && !is_deleted(record) => {
                // Accepted, and yet alive in a later answer: somebody, or the server, thought otherwise.
                overruled.push((entry.clone(), Verdict::Overwritten { server: record.clone() }));
                left.push(entry);
            }
            EntryState::Acked => draft.retire(&entry, EntryState::Confirmed)?,
            EntryState::InDoubt => match judge_in_doubt(draft, &entry, record) {
                Some(verdict @ Verdict::Overwritten { .. }) => {
                    overruled.push((entry.clone(), verdict));
                    left.push(entry);
                }
                Some(verdict) => draft.retire(&Entry { verdict: Some(verdict), ..entry }, EntryState::Confirmed)?,
                None => left.push(entry),
            },
            _ => left.push(entry),
        }
    }
    draft.settle(key, before, &left, Origin::Server)?;
    for (entry, verdict) in overruled {
        overrule(draft, entry, verdict)?;
    }
    Ok(())
}

/// What a row says about an entry in doubt; `None` when it says nothing, since the server has not touched it since.
fn judge_in_doubt(draft: &Draft<'_>, entry: &Entry, record: &Record) -> Option<Verdict> {
    let verdict = compare(&entry.fields, record, draft.settings().rules(&entry.entity_type), draft.settings());
    let untouched = entry.base_stamp.is_some() && row_stamp(record) <= entry.base_stamp;
    match verdict {
        Verdict::Overwritten { .. } if untouched => None,
        verdict => Some(verdict),
    }
}

/// Ends a pull: moves the cursors, and judges what it should have shown and did not.
///
/// # Errors
/// When the state can't be read.
pub fn finish(draft: &mut Draft<'_>, tallies: &BTreeMap<String, Tally>, sync_timestamp: Timestamp) -> Read<Done> {
    let mut ends = BTreeMap::new();
    for (entity_type, tally) in tallies {
        let old = draft.view().cursor(draft.epoch(), entity_type)?;
        let (cursor, healthy) = advance(&old, tally, sync_timestamp, draft.at(), draft.settings().without);
        draft.set_cursor(entity_type, cursor.clone());
        let mut end = TypeEnd { cursor, healthy, invisible: 0, unseen: 0, returned: 0, quarantined: 0 };
        if healthy {
            judge_unseen(draft, entity_type, &mut end)?;
        }
        ends.insert(entity_type.clone(), end);
    }
    Ok(Done::Finished(ends))
}

/// Clamp, hold, overlap and canary (rules R20, R21): the cursor after an answer, and whether the answer can be believed.
///
/// The high water never passes the newest row that was received, nor the server's own stamp, and an empty answer leaves it alone.
#[must_use]
pub fn advance(old: &Cursor, tally: &Tally, sync_timestamp: Timestamp, at: Timestamp, without: Without) -> (Cursor, bool) {
    let mut cursor = Cursor { last_pulled_at: Some(at), ..old.clone() };
    if tally.received == 0 {
        if without.is(Mutation::CursorNotHeld) {
            cursor.high_water = Some(sync_timestamp);
        }
        cursor.empty_answers = old.empty_answers.saturating_add(1);
        // Without a high water nothing was ever there: that can only be believed after a second look.
        let believed = old.high_water.is_none() && cursor.empty_answers >= EMPTY_ANSWERS;
        cursor.first_sync_done = old.first_sync_done || believed;
        cursor.suspicious = old.suspicious || old.high_water.is_some();
        return (cursor, believed);
    }
    cursor.empty_answers = 0;
    cursor.first_sync_done = true;
    if let Some(newest) = tally.newest {
        let clamped = if without.is(Mutation::CursorNotClamped) { newest } else { newest.min(sync_timestamp) };
        cursor.high_water = old.high_water.max(Some(clamped));
    }
    if !tally.canary_seen && !without.is(Mutation::CanaryNotMissed) {
        cursor.suspicious = true;
        return (cursor, false);
    }
    cursor.suspicious = false;
    cursor.canary = tally.newest_id.clone().or_else(|| old.canary.clone());
    (cursor, true)
}

/// A healthy pull that did not show them: accepted entries get a miss, entries in doubt wait again or have struck out.
fn judge_unseen(draft: &mut Draft<'_>, entity_type: &str, end: &mut TypeEnd) -> Read<()> {
    for state in [EntryState::Acked, EntryState::InDoubt] {
        let mut after = 0;
        loop {
            let page = draft.view().entries_in(draft.epoch(), state, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for entry in page.into_iter().filter(|entry| entry.entity_type == entity_type) {
                judge_one_unseen(draft, entry, end)?;
            }
        }
    }
    Ok(())
}

fn judge_one_unseen(draft: &mut Draft<'_>, entry: Entry, end: &mut TypeEnd) -> Read<()> {
    let settings = draft.settings();
    let strikes = if settings.without.is(Mutation::CondemnedWithoutTrial) { 1 } else { settings.strikes };
    match entry.state {
        EntryState::Acked if entry.op == EntryOp::Delete || settings.without.is(Mutation::UnseenIsConfirmed) => {
            // The server shows no deleted rows: that it does not show this one is the confirmation.
            let key = key_of(&entry);
            let before = draft.seen(&key)?;
            let mut live = draft.live_entries(&key)?;
            live.retain(|other| other.number != entry.number);
            if let Some(row) = draft.row(&key)?.filter(Row::is_live) {
                let deleted_at = Some(draft.at());
                draft.set_row(&key, Row { deleted_at, ..row })?;
            }
            draft.retire(&entry, EntryState::Confirmed)?;
            draft.settle(&key, before, &live, Origin::Server)
        }
        EntryState::Acked => {
            let misses = entry.misses.saturating_add(1);
            let invisible = misses >= settings.misses;
            end.invisible += u64::from(invisible);
            end.unseen += u64::from(!invisible);
            draft.put_entry(Entry { misses, ..entry })
        }
        _ if entry.strikes >= strikes => {
            end.quarantined += 1;
            draft.put_entry(Entry { state: EntryState::Quarantined, ..entry })
        }
        _ => {
            end.returned += 1;
            draft.put_entry(Entry { state: EntryState::Pending, ..entry })
        }
    }
}

#[cfg(test)]
#[path = "cursor_table.rs"]
mod cursor_table;
