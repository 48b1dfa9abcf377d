//! From a write set to what is written where.

use std::collections::HashMap;
use std::ops::Bound;

use aesync_protocol::response::EntryState;
use serde::{Deserialize, Serialize};

use super::check::TRIM_STEP;
use super::database::{Tree, Writes};
use super::fault::Fault;
use super::layered::Layered;
use super::{keys, value};
use crate::engine::durable::{Entry, EpochId};
use crate::engine::write_set::{Write, WriteSet};

/// Changes that are left to remove once the set is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trim {
    pub(super) epoch: EpochId,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Trim {
    /// The keys of the next changes that go, at most [`TRIM_STEP`].
    pub(super) fn next_step(self, database: Layered<'_>) -> Result<Vec<Vec<u8>>, Fault> {
        let mut step = Vec::new();
        let end = keys::change(self.epoch, self.to);
        let from = keys::change(self.epoch, self.from);
        database.scan(Tree::Feed, &keys::changes(self.epoch), Bound::Included(&from), &mut |key, _| {
            let goes = key < end.as_slice();
            if goes {
                step.push(key.to_vec());
            }
            goes && step.len() < TRIM_STEP
        })?;
        Ok(step)
    }
}

/// A write set, ready for the database.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) writes: Writes,
    pub(super) trims: Vec<Trim>,
}

/// What an entry's value tells about its place in the index, without the rest being built.
#[derive(Deserialize)]
struct Standing {
    state: EntryState,
}

/// Stages a set over what is stored now.
pub(super) fn stage(database: Layered<'_>, set: &WriteSet) -> Result<Staged, Fault> {
    let mut stage = Stage { database, staged: Staged::default(), states: HashMap::new() };
    for write in &set.writes {
        stage.add(write)?;
    }
    Ok(stage.staged)
}

struct Stage<'a> {
    database: Layered<'a>,
    staged: Staged,
    /// Where the entries that this set wrote stand by now.
    states: HashMap<(EpochId, u64), Option<EntryState>>,
}

impl Stage<'_> {
    fn add(&mut self, write: &Write) -> Result<(), Fault> {
        match write {
            Write::Registry(registry) => self.put(Tree::Meta, keys::REGISTRY.to_vec(), registry),
            Write::Notices(notices) => self.put(Tree::Meta, keys::NOTICES.to_vec(), notices),
            Write::Ledger(epoch, ledger) => self.put(Tree::Meta, keys::ledger(*epoch), ledger),
            Write::Row { epoch, entity_type, id, row } => {
                let key = keys::row(*epoch, entity_type, id);
                let bytes = row.as_ref().map(|row| value::encode_row(&key, row)).transpose().map_err(unwritable)?;
                self.staged.writes.insert((Tree::Replica, key), bytes);
                Ok(())
            }
            Write::Overlay { epoch, entity_type, id, overlay } => {
                let key = keys::overlay(*epoch, entity_type, id);
                match overlay {
                    Some(overlay) => self.put(Tree::Replica, key, overlay),
                    None => self.remove(Tree::Replica, key),
                }
            }
            Write::Entry(entry) => {
                self.leave_index(entry.epoch, entry.number)?;
                self.entry(entry)
            }
            Write::NewEntry(entry) => self.entry(entry),
            Write::RemoveEntry(epoch, number) => {
                self.leave_index(*epoch, *number)?;
                self.states.insert((*epoch, *number), None);
                self.remove(Tree::Outbox, keys::entry(*epoch, *number))
            }
            Write::Cursor(epoch, entity_type, cursor) => self.put(Tree::Meta, keys::cursor(*epoch, entity_type), cursor),
            Write::Change(epoch, change) => {
                let key = keys::change(*epoch, change.seq());
                let bytes = value::encode_json(&key, change.json());
                self.staged.writes.insert((Tree::Feed, key), Some(bytes));
                Ok(())
            }
            Write::TrimChanges { epoch, from, to } => self.trim(Trim { epoch: *epoch, from: *from, to: *to }),
            Write::Answer(epoch, request_id, answer) => self.put(Tree::Outbox, keys::answer(*epoch, request_id), answer),
            Write::RemoveAnswer(epoch, request_id) => self.remove(Tree::Outbox, keys::answer(*epoch, request_id)),
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Fault> {
        self.states.insert((entry.epoch, entry.number), Some(entry.state));
        let place = keys::place(entry.epoch, entry.state, entry.number);
        let mark = value::encode_mark(&place);
        self.staged.writes.insert((Tree::Outbox, place), Some(mark));
        self.put(Tree::Outbox, keys::entry(entry.epoch, entry.number), entry)
    }

    /// Takes an entry's place out of the index by state.
    fn leave_index(&mut self, epoch: EpochId, number: u64) -> Result<(), Fault> {
        let state = match self.states.get(&(epoch, number)) {
            Some(state) => *state,
            None => {
                let key = keys::entry(epoch, number);
                match self.database.get(Tree::Outbox, &key)?.map(|bytes| value::decode::<Standing>(&key, &bytes)) {
                    None => None,
                    Some(Ok(standing)) => Some(standing.state),
                    Some(Err(_)) => {
                        // The value does not tell any more, so wherever it may stand.
                        for state in keys::STATES {
                            self.remove(Tree::Outbox, keys::place(epoch, state, number))?;
                        }
                        None
                    }
                }
            }
        };
        state.map_or(Ok(()), |state| self.remove(Tree::Outbox, keys::place(epoch, state, number)))
    }

    /// A short range goes with the set; of a long one the rest goes once the set is durable.
    fn trim(&mut self, trim: Trim) -> Result<(), Fault> {
        if trim.from >= trim.to {
            return Ok(());
        }
        let range = (Tree::Feed, keys::change(trim.epoch, trim.from))..(Tree::Feed, keys::change(trim.epoch, trim.to));
        for (_, staged) in self.staged.writes.range_mut(range) {
            *staged = None;
        }
        let step = trim.next_step(self.database)?;
        if step.len() == TRIM_STEP {
            self.staged.trims.push(trim);
        }
        self.staged.writes.extend(step.into_iter().map(|key| ((Tree::Feed, key), None)));
        Ok(())
    }

    fn put(&mut self, tree: Tree, key: Vec<u8>, content: &impl Serialize) -> Result<(), Fault> {
        let bytes = value::encode(&key, content).map_err(unwritable)?;
        self.staged.writes.insert((tree, key), Some(bytes));
        Ok(())
    }

    fn remove(&mut self, tree: Tree, key: Vec<u8>) -> Result<(), Fault> {
        self.staged.writes.insert((tree, key), None);
        Ok(())
    }
}

/// JSON that can't be written, which no value of ours is.
fn unwritable(error: serde_json::Error) -> Fault {
    Fault::Io(std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
}
