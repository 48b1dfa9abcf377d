//! One step being drawn up: reads see its own writes, and the counters and the change feed follow by themselves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::sync::Arc;

use aesync_protocol::codec::EncodedChange;
use aesync_protocol::event::{ChangeOp, Origin};
use aesync_protocol::response::EntryState;
use aesync_protocol::status::OutboxStatus;
use aesync_protocol::{Change, Record, Timestamp};

use super::durable::{Cursor, Entry, EpochId, Ledger, Overlay, Registry, Row, StoredAnswer};
use super::fingerprint::fingerprint;
use super::rebase::rebase;
use super::settings::Settings;
use super::view::{Read, ReadError, View};
use super::without::Mutation;
use super::write_set::{Write, WriteSet};

/// An entity: its type and its id.
pub type Key = (String, String);

/// What applications saw of an entity before the step touched it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    record: Option<Arc<Record>>,
    pending: bool,
}

/// A step being drawn up. Nothing is written until [`Draft::finish`]'s write set is committed.
pub struct Draft<'v> {
    view: &'v dyn View,
    settings: &'v Settings,
    epoch: EpochId,
    at: Timestamp,
    ledger: Ledger,
    /// The counters were changed by hand.
    edited: bool,
    /// There were no local changes when the step began, so that nothing has an overlay that the step did not make.
    had_none: bool,
    /// What was read before: a step comes back to the same entity several times.
    read_rows: RefCell<BTreeMap<Key, Option<Row>>>,
    read_overlays: RefCell<BTreeMap<Key, Option<Overlay>>>,
    rows: BTreeMap<Key, Row>,
    overlays: BTreeMap<Key, Option<Overlay>>,
    entries: BTreeMap<u64, Option<Entry>>,
    reported: BTreeMap<u64, Entry>,
    answers: BTreeMap<String, StoredAnswer>,
    registry: Option<Registry>,
    /// The first number that this step gave to an entry.
    first_new: Option<u64>,
    changes: Vec<EncodedChange>,
    others: Vec<Write>,
}

/// What a finished step wrote, for those who are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// New entries of the change feed, in order.
    pub changes: Vec<EncodedChange>,
    /// The entries whose state changed, as they are now; those that left the outbox say `confirmed` or `discarded`.
    pub entries: Vec<Entry>,
    /// The counters afterwards.
    pub ledger: Option<Ledger>,
}

impl<'v> Draft<'v> {
    /// Starts a step of this epoch at this moment (by this machine's clock, for people).
    ///
    /// # Errors
    /// When the counters can't be read.
    pub fn new(view: &'v dyn View, settings: &'v Settings, epoch: EpochId, at: Timestamp) -> Read<Self> {
        let ledger = view.ledger(epoch)?;
        Ok(Self {
            view,
            settings,
            epoch,
            at,
            had_none: all_of(&ledger.outbox) == 0,
            ledger,
            edited: false,
            read_rows: RefCell::default(),
            read_overlays: RefCell::default(),
            rows: BTreeMap::new(),
            overlays: BTreeMap::new(),
            entries: BTreeMap::new(),
            reported: BTreeMap::new(),
            answers: BTreeMap::new(),
            registry: None,
            first_new: None,
            changes: Vec::new(),
            others: Vec::new(),
        })
    }

    /// The state below, as it was when the step began.
    #[must_use]
    pub fn view(&self) -> &'v dyn View {
        self.view
    }

    /// The numbers and tables in force.
    #[must_use]
    pub fn settings(&self) -> &'v Settings {
        self.settings
    }

    /// Whose step it is.
    #[must_use]
    pub fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// When it happens.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The counters, with what the step did so far.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Changes the counters that don't follow by themselves.
    pub fn edit_ledger(&mut self, edit: impl FnOnce(&mut Ledger)) {
        self.edited = true;
        edit(&mut self.ledger);
    }

    /// A base row.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn row(&self, key: &Key) -> Read<Option<Row>> {
        self.look_at_row(key, |row| row.cloned())
    }

    fn look_at_row<T>(&self, key: &Key, look: impl FnOnce(Option<&Row>) -> T) -> Read<T> {
        if let Some(row) = self.rows.get(key) {
            return Ok(look(Some(row)));
        }
        let mut read = self.read_rows.borrow_mut();
        let row = match read.entry(key.clone()) {
            Place::Occupied(known) => known.into_mut(),
            Place::Vacant(place) => place.insert(self.view.row(self.epoch, &key.0, &key.1)?),
        };
        Ok(look(row.as_ref()))
    }

    /// Stores a base row; tell [`Draft::settle`] afterwards.
    ///
    /// # Errors
    /// When the row that it replaces can't be read.
    pub fn set_row(&mut self, key: &Key, row: Row) -> Read<()> {
        let was_live = self.look_at_row(key, |old| old.is_some_and(Row::is_live))?;
        let records = self.ledger.records.entry(key.0.clone()).or_default();
        match (was_live, row.is_live()) {
            (false, true) => *records = records.saturating_add(1),
            (true, false) => *records = records.saturating_sub(1),
            _ => {}
        }
        self.rows.insert(key.clone(), row);
        Ok(())
    }

    /// Removes a base row that is a tombstone.
    pub fn forget_tombstone(&mut self, key: &Key) {
        let (entity_type, id) = key.clone();
        self.others.push(Write::Row { epoch: self.epoch, entity_type, id, row: None });
    }

    /// An outbox entry.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn entry(&self, number: u64) -> Read<Option<Entry>> {
        match self.entries.get(&number) {
            Some(entry) => Ok(entry.clone()),
            None if self.first_new.is_some_and(|first| number >= first) => Ok(None),
            None => self.view.entry(self.epoch, number),
        }
    }

    /// Stores an outbox entry.
    ///
    /// # Errors
    /// When the entry that it replaces can't be read.
    pub fn put_entry(&mut self, entry: Entry) -> Read<()> {
        if let Some(old) = self.entry(entry.number)? {
            count(&mut self.ledger.outbox, &old, -1);
        }
        count(&mut self.ledger.outbox, &entry, 1);
        self.reported.insert(entry.number, entry.clone());
        self.entries.insert(entry.number, Some(entry));
        Ok(())
    }

    /// Takes an entry out of the outbox; `end` is what is told of it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn retire(&mut self, entry: &Entry, end: EntryState) -> Read<()> {
        if let Some(old) = self.entry(entry.number)? {
            count(&mut self.ledger.outbox, &old, -1);
        }
        for request_id in &entry.requests {
            if let Some(mut answer) = self.answer(request_id)? {
                answer.ends.insert(entry.number, end);
                self.set_answer(request_id, answer);
            }
        }
        self.reported.insert(entry.number, Entry { state: end, ..entry.clone() });
        self.entries.insert(entry.number, None);
        Ok(())
    }

    /// The overlay of an entity.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn overlay(&self, key: &Key) -> Read<Option<Overlay>> {
        if let Some(overlay) = self.overlays.get(key) {
            return Ok(overlay.clone());
        }
        if self.had_none {
            return Ok(None);
        }
        let mut read = self.read_overlays.borrow_mut();
        Ok(match read.entry(key.clone()) {
            Place::Occupied(known) => known.get().clone(),
            Place::Vacant(place) => place.insert(self.view.overlay(self.epoch, &key.0, &key.1)?).clone(),
        })
    }

    /// The entries that make an entity's overlay, oldest first.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn live_entries(&self, key: &Key) -> Read<Vec<Entry>> {
        let Some(overlay) = self.overlay(key)? else { return Ok(Vec::new()) };
        let mut entries = Vec::with_capacity(overlay.entries.len());
        for number in overlay.entries {
            entries.extend(self.entry(number)?);
        }
        Ok(entries)
    }

    /// What applications see of an entity now; to be taken before it is touched.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn seen(&self, key: &Key) -> Read<Seen> {
        Ok(match self.overlay(key)? {
            Some(overlay) => Seen { record: overlay.visible, pending: true },
            None => {
                let record = self.look_at_row(key, |row| row.filter(|row| row.is_live()).map(|row| row.record.clone()))?;
                Seen { record, pending: false }
            }
        })
    }

    /// Makes the overlay of an entity from these entries and its base, and puts a change into the feed if, and only if, applications
    /// see something else than `before` (rules R24, R26).
    ///
    /// # Errors
    /// When the base can't be read, or the change can't be written as JSON.
    pub fn settle(&mut self, key: &Key, before: Seen, entries: &[Entry], origin: Origin) -> Read<()> {
        let base = self.row(key)?;
        let without = self.settings.without;
        let shown = if without.is(Mutation::BaseHidesEdits) && base.is_some() { &[] } else { entries };
        let mut after = Seen { record: rebase(base.as_ref(), shown), pending: !entries.is_empty() };
        if let Some(record) = &mut after.record
            && self.settings.secret_fields.iter().any(|field| record.contains_key(field))
        {
            Arc::make_mut(record).retain(|field, _| !self.settings.secret_fields.contains(field));
        }
        let changed = match (&before.record, &after.record) {
            (None, None) => false,
            (Some(_), Some(_)) if without.is(Mutation::SameRowIsAChange) => true,
            (Some(old), Some(new)) => before.pending != after.pending || fingerprint(old) != fingerprint(new),
            _ => true,
        };
        if !changed {
            // Bookkeeping that moved under it is not worth a change, and must not show without one.
            after.record.clone_from(&before.record);
        }
        let overlay = (!entries.is_empty())
            .then(|| Overlay { visible: after.record.clone(), entries: entries.iter().map(|entry| entry.number).collect() });
        if overlay.is_some() || self.overlay(key)?.is_some() {
            self.overlays.insert(key.clone(), overlay);
        }
        if changed {
            self.emit(key, after, origin)?;
        }
        Ok(())
    }

    fn emit(&mut self, key: &Key, seen: Seen, origin: Origin) -> Read<()> {
        self.ledger.last_seq = self.ledger.last_seq.saturating_add(1);
        self.ledger.first_seq = self.ledger.first_seq.max(1);
        let change = Change {
            seq: self.ledger.last_seq,
            op: if seen.record.is_some() { ChangeOp::Upsert } else { ChangeOp::Delete },
            entity_type: key.0.clone(),
            id: key.1.clone(),
            record: seen.record.as_deref(),
            origin,
            pending: seen.pending,
            at: self.at,
        };
        let what = format_args!("the change of {} {}", key.0, key.1);
        let change = EncodedChange::new(&change).map_err(ReadError::unwritable(what))?;
        self.ledger.feed_bytes = self.ledger.feed_bytes.saturating_add(change.json().len() as u64);
        self.changes.push(change);
        Ok(())
    }

    /// Stores a cursor.
    pub fn set_cursor(&mut self, entity_type: &str, cursor: Cursor) {
        self.others.push(Write::Cursor(self.epoch, entity_type.to_owned(), cursor));
    }

    /// The answer to a request id (rule R4).
    ///
    /// # Errors
    /// When it can't be read.
    pub fn answer(&self, request_id: &str) -> Read<Option<StoredAnswer>> {
        match self.answers.get(request_id) {
            Some(answer) => Ok(Some(answer.clone())),
            None => self.view.answer(self.epoch, request_id),
        }
    }

    /// Stores the answer to a request id.
    pub fn set_answer(&mut self, request_id: &str, answer: StoredAnswer) {
        self.answers.insert(request_id.to_owned(), answer);
    }

    /// Forgets the answer to a request id.
    pub fn forget_answer(&mut self, request_id: &str) {
        self.others.push(Write::RemoveAnswer(self.epoch, request_id.to_owned()));
    }

    /// The number of a new outbox entry.
    ///
    /// # Errors
    /// When the registry can't be read.
    pub fn next_entry(&mut self) -> Read<u64> {
        let mut registry = match self.registry.take() {
            Some(registry) => registry,
            None => self.view.registry()?,
        };
        registry.last_entry = registry.last_entry.saturating_add(1);
        let number = registry.last_entry;
        self.registry = Some(registry);
        self.first_new.get_or_insert(number);
        Ok(number)
    }

    /// Removes the feed's changes before `to`; `bytes` are left.
    pub fn trim_changes(&mut self, to: u64, bytes: u64) {
        let from = self.ledger.first_seq;
        self.ledger.feed_bytes = bytes;
        self.ledger.first_seq = to;
        self.others.push(Write::TrimChanges { epoch: self.epoch, from, to });
    }

    /// Whether the step has changed nothing so far. What changes the counters writes something else, too, or has edited them.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let same_rows = self.rows.is_empty() && self.overlays.is_empty() && self.entries.is_empty();
        let same_rest = self.answers.is_empty() && self.changes.is_empty() && self.others.is_empty();
        same_rows && same_rest && self.registry.is_none() && !self.edited
    }

    /// Ends the step: what is to be committed, and what is to be told once it is.
    #[must_use]
    pub fn finish(self) -> (WriteSet, Written) {
        let (epoch, first_new) = (self.epoch, self.first_new);
        let mut writes = self.others;
        writes.extend(self.rows.into_iter().map(|((entity_type, id), row)| Write::Row {
            epoch,
            entity_type,
            id,
            row: Some(row),
        }));
        let overlays = self.overlays.into_iter();
        writes.extend(overlays.map(|((entity_type, id), overlay)| Write::Overlay { epoch, entity_type, id, overlay }));
        writes.extend(self.entries.into_iter().map(|(number, entry)| match entry {
            Some(entry) if first_new.is_some_and(|first| number >= first) => Write::NewEntry(entry),
            Some(entry) => Write::Entry(entry),
            None => Write::RemoveEntry(epoch, number),
        }));
        writes.extend(self.answers.into_iter().map(|(request_id, answer)| Write::Answer(epoch, request_id, answer)));
        writes.extend(self.changes.iter().cloned().map(|change| Write::Change(epoch, change)));
        writes.extend(self.registry.map(Write::Registry));
        writes.push(Write::Ledger(epoch, self.ledger.clone()));
        let written =
            Written { changes: self.changes, entries: self.reported.into_values().collect(), ledger: Some(self.ledger) };
        (WriteSet { writes }, written)
    }
}

/// All entries, in whatever state.
pub(crate) fn all_of(outbox: &OutboxStatus) -> u64 {
    let OutboxStatus { pending, sent, in_doubt, acked, quarantined, blocked, conflicts, .. } = outbox;
    [*sent, *in_doubt, *acked, *quarantined, *blocked, *conflicts].iter().fold(*pending, |sum, count| sum.saturating_add(*count))
}

/// Counts an entry in (`+1`) or out (`-1`).
pub(crate) fn count(outbox: &mut OutboxStatus, entry: &Entry, step: i64) {
    let field = match entry.state {
        EntryState::Pending => &mut outbox.pending,
        EntryState::Sent => &mut outbox.sent,
        EntryState::InDoubt => &mut outbox.in_doubt,
        EntryState::Acked => &mut outbox.acked,
        EntryState::Quarantined => &mut outbox.quarantined,
        EntryState::Blocked => &mut outbox.blocked,
        EntryState::Conflict => &mut outbox.conflicts,
        // Never stored: they are what is told of entries that left.
        EntryState::Confirmed | EntryState::Discarded => return,
    };
    *field = field.saturating_add_signed(step);
    let bytes = i64::try_from(entry.bytes).unwrap_or(i64::MAX).saturating_mul(step);
    outbox.bytes = outbox.bytes.saturating_add_signed(bytes);
}
