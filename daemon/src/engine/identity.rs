//! Whose state is served (rule R38).

use std::collections::BTreeMap;

use aesync_protocol::Timestamp;
use aesync_protocol::status::OutboxStatus;

use super::draft::Written;
use super::durable::{EpochId, Identity, Ledger, Registry};
use super::settings::Settings;
use super::transact::{Adopted, Done, Outcome};
use super::view::{Read, View};
use super::without::Mutation;
use super::write_set::{Write, WriteSet};

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
    let mut adopted = Adopted { registry: registry.clone(), notices: view.notices()?, ..Adopted::default() };
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
