//! A push entering the outbox: all of it or nothing, once, coalesced with what was never sent (rules R1 to R6, R18).

use std::sync::Arc;

use aesync_protocol::event::Origin;
use aesync_protocol::response::{EntryOp, EntryState, PushedEntry};
use aesync_protocol::{Error, ErrorCode, Record};
use serde_json::Value;

use super::Now;
use super::admit::{Admitted, Place, admit, fit, parent_id, require, unknown_type};
use super::draft::{Draft, Key, all_of};
use super::durable::{Entry, Row, StoredAnswer};
use super::fingerprint::value_hash;
use super::rebase::{is_deleted, overlay};
use super::settings::TypeRules;
use super::view::Read;
use super::without::Mutation;

/// The longest request id that is taken, in bytes.
const REQUEST_ID_BYTES: usize = 128;
/// How many request ids an entry remembers; entities that many calls coalesced into need no more.
const REQUESTS_OF_AN_ENTRY: usize = 16;

/// The answer to give, and the same entries as they stand now.
pub type Taken = (Vec<PushedEntry>, Vec<PushedEntry>);

/// Takes the changes in. The inner error is the application's: nothing may be written then.
///
/// # Errors
/// When the state can't be read.
pub fn enqueue(
    draft: &mut Draft<'_>,
    changes: &[(String, Vec<Value>)],
    request_id: Option<&str>,
    seed: &Now,
) -> Read<Result<Taken, Error>> {
    let changes_hash = request_id.map(|_| hash_of(changes));
    if let Some(request_id) = request_id {
        if request_id.is_empty() || request_id.len() > REQUEST_ID_BYTES {
            return Ok(Err(invalid_params(format!("requestId must have 1 to {REQUEST_ID_BYTES} bytes"))));
        }
        if let Some(answer) = draft.answer(request_id)? {
            return Ok(if Some(answer.changes_hash) == changes_hash {
                Ok((answer.entries.clone(), stand_now(draft, answer)?))
            } else {
                Err(invalid_params("this requestId was used before, for other changes; give each push its own".to_owned()))
            });
        }
    }
    if let Err(full) = check_room(draft, changes) {
        return Ok(Err(full));
    }
    let mut pushed = Vec::new();
    for (entity_type, entities) in changes {
        let settings = draft.settings();
        let Some(rules) = settings.rules(entity_type) else {
            // It is wrong for the first of its entities as for all of them.
            return Ok(Err(unknown_type(settings, entity_type).with("index", 0).with("field", "entityType")));
        };
        for (index, value) in entities.iter().enumerate() {
            let salt = pushed.len() as u64;
            match enqueue_one(draft, rules, Place { entity_type, index }, value, seed.uuid(salt).to_string(), request_id)? {
                Ok(entry) => pushed.push(entry),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    if let (Some(request_id), Some(changes_hash)) = (request_id, changes_hash) {
        let at = draft.at();
        let mut answer = StoredAnswer { entries: pushed.clone(), ends: std::collections::BTreeMap::new(), changes_hash, at };
        for entry in &pushed {
            if entry.state == EntryState::Discarded {
                answer.ends.insert(entry.entry, entry.state);
            }
        }
        draft.set_answer(request_id, answer);
    }
    Ok(Ok((pushed.clone(), pushed)))
}

/// The entries of an earlier answer as they stand now; those that left the outbox say how.
fn stand_now(draft: &Draft<'_>, answer: StoredAnswer) -> Read<Vec<PushedEntry>> {
    let mut current = answer.entries;
    for pushed in &mut current {
        if let Some(entry) = draft.entry(pushed.entry)? {
            pushed.state = entry.state;
            pushed.verdict = entry.verdict;
        } else if let Some(end) = answer.ends.get(&pushed.entry) {
            pushed.state = *end;
        }
    }
    Ok(current)
}

fn enqueue_one(
    draft: &mut Draft<'_>,
    rules: &TypeRules,
    place: Place<'_>,
    value: &Value,
    minted: String,
    request_id: Option<&str>,
) -> Read<Result<PushedEntry, Error>> {
    let Admitted { id, mut fields, mut warnings } = match admit(rules, place, value) {
        Ok(admitted) => admitted,
        Err(error) => return Ok(Err(error)),
    };
    let id_is_minted = id.is_none();
    let id = id.unwrap_or(minted);
    if !(id_is_minted && draft.settings().without.is(Mutation::MintedIdStaysHere)) {
        fields.shift_insert(0, "id".to_owned(), Value::String(id.clone()));
    }
    let fields = Arc::new(fields);
    let key: Key = (place.entity_type.to_owned(), id);
    let before = draft.seen(&key)?;
    let base = draft.row(&key)?.filter(Row::is_live);
    let mut live = draft.live_entries(&key)?;
    let exists = match live.last() {
        Some(last) => last.op != EntryOp::Delete,
        None => base.is_some(),
    };
    let op = match (is_deleted(&fields), exists) {
        (true, _) => EntryOp::Delete,
        (false, true) => EntryOp::Update,
        (false, false) => EntryOp::Create,
    };
    if op == EntryOp::Delete && !exists {
        warnings
            .push("the replica does not know this entity: whether the deletion takes effect is for the server to say".to_owned());
    }

    let mergeable =
        live.last().is_some_and(|last| last.attempts == 0 && matches!(last.state, EntryState::Pending | EntryState::Blocked));
    let entry = if mergeable { live.pop() } else { None };
    let entry = match entry {
        Some(last) if last.op == EntryOp::Create && op == EntryOp::Delete && live.is_empty() && base.is_none() => {
            // It was never sent, so nobody else ever knew of it.
            draft.retire(&last, EntryState::Discarded)?;
            draft.settle(&key, before, &live, Origin::Local)?;
            return Ok(Ok(pushed_entry(&Entry { state: EntryState::Discarded, ..last }, warnings)));
        }
        Some(last) => coalesce(last, op, fields, base.is_some()),
        None => {
            let blocked_by = blocker(draft, rules, &fields, &live)?;
            let state = if blocked_by.is_some() { EntryState::Blocked } else { EntryState::Pending };
            let number = draft.next_entry()?;
            Entry { state, blocked_by, ..Entry::new(draft.epoch(), number, (&key.0, &key.1), op, fields, draft.at()) }
        }
    };
    if entry.op == EntryOp::Create
        && let Err(error) = require(rules, place, &entry.fields)
    {
        return Ok(Err(error));
    }
    let bytes = match fit(draft.settings(), place, &entry.fields) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    warnings.extend(capability_warning(draft, place.entity_type, entry.op, base.is_some()));
    let entry = remember_request(Entry { bytes, ..entry }, request_id);
    draft.put_entry(entry.clone())?;
    let pushed = pushed_entry(&entry, warnings);
    live.push(entry);
    draft.settle(&key, before, &live, Origin::Local)?;
    Ok(Ok(pushed))
}

/// Two changes of an entity, the first of which was never sent, as one (rule R5).
fn coalesce(last: Entry, op: EntryOp, fields: Arc<Record>, in_base: bool) -> Entry {
    let (op, fields) = match (last.op, op) {
        // Bringing back what was going to be deleted: the server still has it, unless it never did.
        (EntryOp::Delete, EntryOp::Create | EntryOp::Update) => (if in_base { EntryOp::Update } else { EntryOp::Create }, fields),
        (EntryOp::Create, EntryOp::Create | EntryOp::Update) => (EntryOp::Create, overlay(last.fields, &fields)),
        (_, op) => (op, overlay(last.fields, &fields)),
    };
    Entry { op, fields, ..last }
}

/// The quarantined entry that a new one has to wait for: an earlier one of the same entity, or the parent's (rule R12).
fn blocker(draft: &Draft<'_>, rules: &TypeRules, fields: &Record, live: &[Entry]) -> Read<Option<u64>> {
    if let Some(number) = live.iter().find_map(held) {
        return Ok(Some(number));
    }
    let (Some(parent), Some(id)) = (&rules.parent, parent_id(rules, fields)) else { return Ok(None) };
    let key: Key = (parent.entity_type.clone(), id.to_owned());
    if draft.row(&key)?.is_some_and(|row| row.is_live()) {
        return Ok(None);
    }
    Ok(draft.live_entries(&key)?.iter().find_map(held))
}

/// The number of the quarantined entry that this one is, or waits for.
#[must_use]
pub fn held(entry: &Entry) -> Option<u64> {
    match entry.state {
        EntryState::Quarantined => Some(entry.number),
        EntryState::Blocked => entry.blocked_by,
        _ => None,
    }
}

/// Says at once what the server was found to drop (rule R18); a new probe is due after a day.
fn capability_warning(draft: &Draft<'_>, entity_type: &str, op: EntryOp, in_base: bool) -> Option<String> {
    let dropped = draft.ledger().dropped.get(entity_type)?;
    let (found, what) = match op {
        EntryOp::Update if in_base => (dropped.updates?, "updates"),
        EntryOp::Delete if in_base => (dropped.deletes?, "deletions"),
        _ => return None,
    };
    Some(format!(
        "the server drops {what} of existing {entity_type} rows (last seen {found}): this one will probably end as a conflict"
    ))
}

fn check_room(draft: &Draft<'_>, changes: &[(String, Vec<Value>)]) -> Result<(), Error> {
    let settings = draft.settings();
    let outbox = &draft.ledger().outbox;
    let entries = all_of(outbox);
    let coming = changes.iter().map(|(_, entities)| entities.len() as u64).sum::<u64>();
    if entries.saturating_add(coming) > settings.outbox_entries || outbox.bytes > settings.outbox_bytes {
        return Err(Error::new(
            ErrorCode::StorageFull,
            format!("the outbox holds {entries} entries of {} bytes and takes no more; nothing was enqueued", outbox.bytes),
        )
        .hint("wait until the server has taken some of them, or discard what is not needed: `aectl outbox`"));
    }
    Ok(())
}

fn remember_request(mut entry: Entry, request_id: Option<&str>) -> Entry {
    if let Some(request_id) = request_id
        && !entry.requests.iter().any(|known| known == request_id)
    {
        if entry.requests.len() >= REQUESTS_OF_AN_ENTRY {
            entry.requests.remove(0);
        }
        entry.requests.push(request_id.to_owned());
    }
    entry
}

fn pushed_entry(entry: &Entry, warnings: Vec<String>) -> PushedEntry {
    PushedEntry {
        entry: entry.number,
        entity_type: entry.entity_type.clone(),
        id: entry.id.clone(),
        state: entry.state,
        verdict: None,
        warnings,
    }
}

fn hash_of(changes: &[(String, Vec<Value>)]) -> u128 {
    let pairs = changes
        .iter()
        .map(|(entity_type, entities)| Value::Array(vec![Value::String(entity_type.clone()), Value::Array(entities.clone())]));
    value_hash(&Value::Array(pairs.collect()))
}

fn invalid_params(message: String) -> Error {
    Error::protocol(aesync_protocol::error::rpc::INVALID_PARAMS, message)
}
