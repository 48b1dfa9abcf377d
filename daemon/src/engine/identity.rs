//! Whose state is served, and how long old things are kept (rule R38).

use std::collections::BTreeMap;

use aesync_protocol::Timestamp;
use aesync_protocol::status::OutboxStatus;

use super::draft::{Draft, Written};
use super::durable::{EpochId, Identity, Ledger, Registry};
use super::settings::Settings;
use super::transact::{Adopted, Done, Outcome};
use super::view::{Read, View};
use super::without::Mutation;
use super::write_set::{Write, WriteSet};

/// Changes that one step removes at most.
const TRIM: usize = 1_000;
/// How long the answer to a request id is kept, in milliseconds: far longer than any application retries.
const ANSWER_RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

/// Makes an identity the current one. A known one finds its state as it left it; a new one starts with an empty replica and a feed of
/// its own. The others' outboxes stay, and are counted as parked.
///
/// # Errors
/// When the state can't be read.
pub fn adopt(settings: &Settings, view: &dyn View, _at: Timestamp, identity: &Identity, log: &str) -> Read<(WriteSet, Outcome)> {
    let mut registry = view.registry()?;
    let one_for_all = settings.without.is(Mutation::OneEpochForAll);
    let known = registry.epochs.iter().find(|(_, known)| *known == identity || one_for_all).map(|(epoch, _)| *epoch);
    let epoch = known.unwrap_or_else(|| EpochId(registry.epochs.keys().next_back().map_or(1, |last| last.0.saturating_add(1))));
    registry.epochs.insert(epoch, identity.clone());
    registry.current = Some(epoch);
    let mut writes = vec![Write::Registry(registry.clone())];
    let mut ledger = view.ledger(epoch)?;
    if ledger.log.is_empty() {
        ledger = Ledger { log: log.to_owned(), ..ledger };
        writes.push(Write::Ledger(epoch, ledger));
    }
    let mut adopted = boot(settings, view, &registry)?;
    if let Some(Write::Ledger(_, ledger)) = writes.get(1) {
        adopted.ledger = ledger.clone();
    }
    let done = Done::Adopted(Box::new(adopted));
    Ok((WriteSet { writes }, Outcome { epoch, written: Written::default(), done }))
}

/// The state to start from.
///
/// # Errors
/// When it can't be read.
pub fn boot(settings: &Settings, view: &dyn View, registry: &Registry) -> Read<Adopted> {
    let mut adopted = Adopted { registry: registry.clone(), ..Adopted::default() };
    if let Some(current) = registry.current {
        adopted.ledger = view.ledger(current)?;
        let mut cursors = BTreeMap::new();
        for entity_type in settings.type_names() {
            cursors.insert(entity_type.to_owned(), view.cursor(current, entity_type)?);
        }
        adopted.cursors = cursors;
    }
    for epoch in registry.epochs.keys().filter(|epoch| Some(**epoch) != registry.current) {
        adopted.parked = adopted.parked.saturating_add(live_entries(&view.ledger(*epoch)?.outbox));
    }
    Ok(adopted)
}

/// All entries of an outbox.
#[must_use]
pub fn live_entries(outbox: &OutboxStatus) -> u64 {
    [outbox.pending, outbox.sent, outbox.in_doubt, outbox.acked, outbox.quarantined, outbox.blocked, outbox.conflicts]
        .into_iter()
        .fold(0, u64::saturating_add)
}

/// Stores whether the daemon is paused.
///
/// # Errors
/// When the registry can't be read.
pub fn set_paused(view: &dyn View, epoch: EpochId, paused: bool) -> Read<(WriteSet, Outcome)> {
    let registry = Registry { paused, ..view.registry()? };
    let write_set = WriteSet { writes: vec![Write::Registry(registry)] };
    Ok((write_set, Outcome { epoch, written: Written::default(), done: Done::PauseStored(paused) }))
}

/// Removes changes and answers that are older than their retention, a bounded piece at a time. The newest change always stays.
///
/// # Errors
/// When the state can't be read.
pub fn trim(draft: &mut Draft<'_>) -> Read<Done> {
    let (epoch, at) = (draft.epoch(), draft.at());
    let oldest = at.plus_millis(-draft.settings().feed_retention_ms);
    let first = draft.ledger().first_seq;
    let last = draft.ledger().last_seq;
    let page = draft.view().changes(epoch, first.saturating_sub(1), TRIM)?;
    let old = page.iter().take_while(|change| change.at < oldest && change.seq < last).last().map(|change| change.seq);
    let more_changes = old.is_some() && old == page.last().map(|change| change.seq) && page.len() == TRIM;
    if let Some(old) = old {
        draft.trim_changes(old.saturating_add(1));
    }
    let mut after = String::new();
    loop {
        let answers = draft.view().answers(epoch, &after, TRIM)?;
        let Some((request_id, _)) = answers.last() else { break };
        after.clone_from(request_id);
        for (request_id, answer) in &answers {
            if at.millis_since(answer.at) > ANSWER_RETENTION_MS {
                draft.forget_answer(request_id);
            }
        }
    }
    Ok(Done::Trimmed { more: more_changes })
}
