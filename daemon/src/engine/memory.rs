//! The durable state on maps: what tests and models hold in place of the store, and what the store must be equal to.

use std::collections::BTreeMap;
use std::ops::Bound;

use aesync_protocol::Change;
use aesync_protocol::codec::EncodedChange;
use aesync_protocol::response::EntryState;
use serde_json::value::{RawValue, to_raw_value};

use super::admit::size;
use super::durable::{Cursor, Entry, EpochId, Ledger, Overlay, Registry, Row, StoredAnswer};
use super::notices::Notices;
use super::view::{Aged, Read, ReadError, View};
use super::write_set::{Write, WriteSet};

type ById<T> = BTreeMap<(EpochId, String, String), T>;

/// The state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    registry: Registry,
    notices: Notices,
    ledgers: BTreeMap<EpochId, Ledger>,
    rows: ById<Row>,
    overlays: ById<Overlay>,
    entries: BTreeMap<(EpochId, u64), Entry>,
    cursors: BTreeMap<(EpochId, String), Cursor>,
    changes: BTreeMap<(EpochId, u64), EncodedChange>,
    answers: BTreeMap<(EpochId, String), StoredAnswer>,
}

impl Memory {
    /// Writes a set.
    pub fn apply(&mut self, set: &WriteSet) {
        for write in set.writes.iter().cloned() {
            match write {
                Write::Registry(registry) => self.registry = registry,
                Write::Notices(notices) => self.notices = notices,
                Write::Ledger(epoch, ledger) => drop(self.ledgers.insert(epoch, ledger)),
                Write::Row { epoch, entity_type, id, row } => set_or_remove(&mut self.rows, (epoch, entity_type, id), row),
                Write::Overlay { epoch, entity_type, id, overlay } => {
                    set_or_remove(&mut self.overlays, (epoch, entity_type, id), overlay);
                }
                Write::Entry(entry) | Write::NewEntry(entry) => drop(self.entries.insert((entry.epoch, entry.number), entry)),
                Write::RemoveEntry(epoch, number) => drop(self.entries.remove(&(epoch, number))),
                Write::Cursor(epoch, entity_type, cursor) => drop(self.cursors.insert((epoch, entity_type), cursor)),
                Write::Change(epoch, change) => drop(self.changes.insert((epoch, change.seq()), change)),
                Write::TrimChanges { epoch, from, to } => {
                    self.changes.retain(|(owner, seq), _| *owner != epoch || *seq < from || *seq >= to);
                }
                Write::Answer(epoch, request, answer) => drop(self.answers.insert((epoch, request), answer)),
                Write::RemoveAnswer(epoch, request) => drop(self.answers.remove(&(epoch, request))),
            }
        }
    }

    fn numbered(&self, epoch: EpochId, after: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range((Bound::Excluded((epoch, after)), Bound::Included((epoch, u64::MAX)))).map(|(_, entry)| entry)
    }
}

fn set_or_remove<T>(map: &mut ById<T>, key: (EpochId, String, String), value: Option<T>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn page<T: Clone>(map: &ById<T>, epoch: EpochId, entity_type: &str, after: &str, limit: usize) -> Vec<(String, T)> {
    let start = (epoch, entity_type.to_owned(), after.to_owned());
    map.range((Bound::Excluded(start), Bound::Unbounded))
        .take_while(|((owner, kind, _), _)| *owner == epoch && kind == entity_type)
        .map(|((_, _, id), value)| (id.clone(), value.clone()))
        .take(limit)
        .collect()
}

impl View for Memory {
    fn registry(&self) -> Read<Registry> {
        Ok(self.registry.clone())
    }

    fn notices(&self) -> Read<Notices> {
        Ok(self.notices.clone())
    }

    fn ledger(&self, epoch: EpochId) -> Read<Ledger> {
        Ok(self.ledgers.get(&epoch).cloned().unwrap_or_default())
    }

    fn row(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Row>> {
        Ok(self.rows.get(&(epoch, entity_type.to_owned(), id.to_owned())).cloned())
    }

    fn record(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Box<RawValue>>> {
        let row = self.row(epoch, entity_type, id)?.filter(Row::is_live);
        let written = row.map(|row| to_raw_value(&row.record)).transpose();
        written.map_err(ReadError::unwritable(format_args!("{entity_type} {id}")))
    }

    fn rows(&self, epoch: EpochId, entity_type: &str, after: &str, limit: usize) -> Read<Vec<(String, Row)>> {
        Ok(page(&self.rows, epoch, entity_type, after, limit))
    }

    fn overlay(&self, epoch: EpochId, entity_type: &str, id: &str) -> Read<Option<Overlay>> {
        Ok(self.overlays.get(&(epoch, entity_type.to_owned(), id.to_owned())).cloned())
    }

    fn overlays(&self, epoch: EpochId, entity_type: &str, after: &str, limit: usize) -> Read<Vec<(String, Overlay)>> {
        Ok(page(&self.overlays, epoch, entity_type, after, limit))
    }

    fn entry(&self, epoch: EpochId, number: u64) -> Read<Option<Entry>> {
        Ok(self.entries.get(&(epoch, number)).cloned())
    }

    fn entries(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Entry>> {
        Ok(self.numbered(epoch, after).take(limit).cloned().collect())
    }

    fn entries_in(&self, epoch: EpochId, state: EntryState, after: u64, limit: usize) -> Read<Vec<Entry>> {
        Ok(self.numbered(epoch, after).filter(|entry| entry.state == state).take(limit).cloned().collect())
    }

    fn cursor(&self, epoch: EpochId, entity_type: &str) -> Read<Cursor> {
        Ok(self.cursors.get(&(epoch, entity_type.to_owned())).cloned().unwrap_or_default())
    }

    fn changes(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Change>> {
        let kept = self.changes.range((Bound::Excluded((epoch, after)), Bound::Included((epoch, u64::MAX))));
        let decoded = |(_, change): (_, &EncodedChange)| {
            let damaged = |error: serde_json::Error| ReadError { what: "a change".to_owned(), detail: error.to_string() };
            change.decode().map_err(damaged)
        };
        kept.take(limit).map(decoded).collect()
    }

    fn ages(&self, epoch: EpochId, after: u64, limit: usize) -> Read<Vec<Aged>> {
        let aged = |change: Change| Aged { seq: change.seq, at: change.at, bytes: size(&change) };
        Ok(self.changes(epoch, after, limit)?.into_iter().map(aged).collect())
    }

    fn answer(&self, epoch: EpochId, request_id: &str) -> Read<Option<StoredAnswer>> {
        Ok(self.answers.get(&(epoch, request_id.to_owned())).cloned())
    }

    fn answers(&self, epoch: EpochId, after: &str, limit: usize) -> Read<Vec<(String, StoredAnswer)>> {
        let later = self.answers.iter().filter(|((owner, id), _)| *owner == epoch && id.as_str() > after);
        Ok(later.map(|((_, id), answer)| (id.clone(), answer.clone())).take(limit).collect())
    }
}
