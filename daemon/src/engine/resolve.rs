//! What a person decides about entries: try again, give up, change, or settle a conflict (rules R12, R13, R17).

use std::sync::Arc;

use aesync_protocol::event::Origin;
use aesync_protocol::response::{Count, Empty, EntryOp, EntryState};
use aesync_protocol::{Error, ErrorCode, Record};
use serde_json::Value;

use super::admit::{Place, admit, fit, parent_id, require, unknown_type};
use super::draft::{Draft, Key};
use super::drain::key_of;
use super::durable::{Entry, Row};
use super::effect::Reply;
use super::view::Read;

/// Entries read at a time.
const PAGE: usize = 200;

type Answer = Read<Result<Reply, Error>>;

/// Makes quarantined and blocked entries wait for their turn again, and what waits for them with them.
///
/// # Errors
/// When the state can't be read.
pub fn retry(draft: &mut Draft<'_>, entries: Option<&[u64]>) -> Answer {
    let chosen = match choose(draft, entries, &[EntryState::Quarantined, EntryState::Blocked])? {
        Ok(chosen) => chosen,
        Err(error) => return Ok(Err(error)),
    };
    let mut count = 0;
    for entry in chosen {
        match entry.state {
            EntryState::Quarantined => {
                let number = entry.number;
                draft.put_entry(Entry { state: EntryState::Pending, strikes: 0, ..entry })?;
                release(draft, number)?;
                count += 1;
            }
            // Those that waited were released with what they waited for; the others were asked for by themselves.
            EntryState::Blocked => {
                if draft.entry(entry.number)?.is_some_and(|now| now.state == EntryState::Blocked) {
                    draft.put_entry(Entry { state: EntryState::Pending, blocked_by: None, ..entry })?;
                }
                count += 1;
            }
            // They are on their way by themselves; asking for it makes it now.
            EntryState::Pending | EntryState::InDoubt | EntryState::Acked => count += 1,
            _ => return Ok(Err(wrong_state(&entry, "retried", "decide it: `aectl conflicts`"))),
        }
    }
    Ok(Ok(Reply::Count(Count { count })))
}

/// Gives entries up for good. With a new entity goes what depends on it; what waited for a mere change is released.
///
/// # Errors
/// When the state can't be read.
pub fn discard(draft: &mut Draft<'_>, entries: Option<&[u64]>) -> Answer {
    use EntryState::{Acked, Blocked, Conflict, InDoubt, Pending, Quarantined};
    let chosen = match choose(draft, entries, &[Pending, InDoubt, Acked, Quarantined, Blocked, Conflict])? {
        Ok(chosen) => chosen,
        Err(error) => return Ok(Err(error)),
    };
    let mut count = 0;
    for entry in chosen {
        if entry.state == EntryState::Sent {
            return Ok(Err(wrong_state(&entry, "discarded", "it is in a request that is under way: try again in a moment")));
        }
        count += drop_entry(draft, &entry)?;
    }
    Ok(Ok(Reply::Count(Count { count })))
}

/// Replaces what a quarantined entry sends, and sends it again.
///
/// # Errors
/// When the state can't be read.
pub fn edit(draft: &mut Draft<'_>, number: u64, fields: &Record) -> Answer {
    let Some(entry) = draft.entry(number)? else { return Ok(Err(no_entry(number))) };
    if entry.state != EntryState::Quarantined {
        return Ok(Err(wrong_state(&entry, "edited", "only quarantined entries can be: push a further change instead")));
    }
    let settings = draft.settings();
    let place = Place { entity_type: &entry.entity_type, index: 0 };
    let Some(rules) = settings.rules(&entry.entity_type) else { return Ok(Err(unknown_type(settings, &entry.entity_type))) };
    let admitted = match admit(rules, place, &Value::Object(fields.clone())) {
        Ok(admitted) => admitted,
        Err(error) => return Ok(Err(error)),
    };
    if admitted.id.as_ref().is_some_and(|id| *id != entry.id) {
        return Ok(Err(place.invalid(Some("id"), "an edit can't turn an entry into one of another entity", "keep the id")));
    }
    let mut fields = admitted.fields;
    fields.shift_insert(0, "id".to_owned(), Value::String(entry.id.clone()));
    if entry.op == EntryOp::Create
        && let Err(error) = require(rules, place, &fields)
    {
        return Ok(Err(error));
    }
    let bytes = match fit(settings, place, &fields) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    let key = key_of(&entry);
    let before = draft.seen(&key)?;
    let edited = Entry { state: EntryState::Pending, strikes: 0, fields: Arc::new(fields), bytes, last_error: None, ..entry };
    draft.put_entry(edited.clone())?;
    let live = draft.live_entries(&key)?;
    draft.settle(&key, before, &live, Origin::Local)?;
    release(draft, number)?;
    Ok(Ok(Reply::Entry(Box::new(edited.shown(&settings.secret_fields, false)))))
}

/// Decides a conflict: the server's row stays, or the local change is sent once more, because a person said so.
///
/// # Errors
/// When the state can't be read.
pub fn resolve(draft: &mut Draft<'_>, number: u64, keep_local: bool) -> Answer {
    let Some(entry) = draft.entry(number)? else { return Ok(Err(no_entry(number))) };
    if entry.state != EntryState::Conflict {
        return Ok(Err(wrong_state(&entry, "resolved", "it is no conflict: `aectl conflicts` lists those")));
    }
    if !keep_local {
        draft.retire(&entry, EntryState::Discarded)?;
        return Ok(Ok(Reply::Empty(Empty {})));
    }
    let key = key_of(&entry);
    let before = draft.seen(&key)?;
    let again = Entry { state: EntryState::Pending, verdict: None, strikes: 0, ..entry };
    draft.put_entry(again.clone())?;
    let mut live = draft.live_entries(&key)?;
    // Its old place: later changes of the entity still come after it.
    let place = live.partition_point(|other| other.number < again.number);
    live.insert(place, again);
    draft.settle(&key, before, &live, Origin::Local)?;
    Ok(Ok(Reply::Empty(Empty {})))
}

/// The entries that were named, or all in these states.
fn choose(draft: &Draft<'_>, entries: Option<&[u64]>, states: &[EntryState]) -> Read<Result<Vec<Entry>, Error>> {
    let mut chosen = Vec::new();
    if let Some(numbers) = entries {
        for number in numbers {
            match draft.entry(*number)? {
                Some(entry) => chosen.push(entry),
                None => return Ok(Err(no_entry(*number))),
            }
        }
        return Ok(Ok(chosen));
    }
    for state in states {
        let mut after = 0;
        loop {
            let page = draft.view().entries_in(draft.epoch(), *state, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            chosen.extend(page);
        }
    }
    Ok(Ok(chosen))
}

/// Takes an entry out, with what can't be without it; says how many went.
fn drop_entry(draft: &mut Draft<'_>, entry: &Entry) -> Read<u64> {
    if draft.entry(entry.number)?.is_none() {
        // It went with one before it.
        return Ok(0);
    }
    let key = key_of(entry);
    let before = draft.seen(&key)?;
    let mut live = draft.live_entries(&key)?;
    live.retain(|other| other.number != entry.number);
    draft.retire(entry, EntryState::Discarded)?;
    let mut count = 1;
    let takes_others = entry.op == EntryOp::Create && draft.row(&key)?.is_none_or(|row| !Row::is_live(&row));
    if takes_others {
        for later in live.extract_if(.., |other| other.number > entry.number && other.state != EntryState::Sent) {
            draft.retire(&later, EntryState::Discarded)?;
            count += 1;
        }
    }
    draft.settle(&key, before, &live, Origin::Local)?;
    for waiting in waiting_for(draft, entry.number)? {
        let child = draft.settings().rules(&waiting.entity_type).and_then(|rules| parent_id(rules, &waiting.fields));
        if takes_others && child == Some(entry.id.as_str()) {
            count += drop_entry(draft, &waiting)?;
        } else if draft.entry(waiting.number)?.is_some() {
            draft.put_entry(Entry { state: EntryState::Pending, blocked_by: None, ..waiting })?;
        }
    }
    Ok(count)
}

/// What waits for a quarantined entry waits no more (rule R12).
fn release(draft: &mut Draft<'_>, number: u64) -> Read<()> {
    for waiting in waiting_for(draft, number)? {
        if draft.entry(waiting.number)?.is_some_and(|now| now.state == EntryState::Blocked) {
            draft.put_entry(Entry { state: EntryState::Pending, blocked_by: None, ..waiting })?;
        }
    }
    Ok(())
}

fn waiting_for(draft: &Draft<'_>, number: u64) -> Read<Vec<Entry>> {
    let mut waiting = Vec::new();
    let mut after = 0;
    loop {
        let page = draft.view().entries_in(draft.epoch(), EntryState::Blocked, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(waiting) };
        after = last.number;
        waiting.extend(page.into_iter().filter(|entry| entry.blocked_by == Some(number)));
    }
}

fn no_entry(number: u64) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is no outbox entry {number}; it may have reached the server meanwhile"))
        .hint("`aectl outbox list` shows those that there are")
}

fn wrong_state(entry: &Entry, verb: &str, hint: &str) -> Error {
    let key: Key = key_of(entry);
    Error::new(
        ErrorCode::Unsupported,
        format!("entry {} ({} {}) is {} and can't be {verb}", entry.number, key.0, key.1, entry.state),
    )
    .with("state", entry.state.as_str())
    .hint(hint)
}
