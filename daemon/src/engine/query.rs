//! What applications read, answered from the durable state as it is at that moment.

use std::sync::Arc;

use aesync_protocol::request::OutboxList;
use aesync_protocol::response::{
    ChangePage, Conflict, Conflicts, EntryPage, EntryState, ListedRecord, RecordFound, RecordPage, Verdict,
};
use aesync_protocol::{Error, ErrorCode, Record};
use serde_json::value::{RawValue, to_raw_value};

use super::admit::{size, unknown_type};
use super::durable::{Entry, EpochId};
use super::settings::Settings;
use super::view::{Read, ReadError, View};

/// Rows read at a time, at most.
const PAGE: usize = 256;

/// How many bytes of rows an answer holds, one row at least: no client takes a line of any length.
pub const ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// How many bytes of conflicts an answer holds. It is not one of several pages: the rest shows once the first are resolved.
const CONFLICTS_BYTES: u64 = 32 * 1024 * 1024;

/// The state that reads are answered from.
#[derive(Clone, Copy)]
pub struct Query<'v> {
    /// The durable state. Its pages may end before their limits: only an empty one is the last.
    pub view: &'v dyn View,
    /// The settings in force.
    pub settings: &'v Settings,
    /// Whose state is served; none before the first sign-in.
    pub epoch: Option<EpochId>,
    /// The last change that was published: what is newer is not durable yet.
    pub last_seq: u64,
}

impl Query<'_> {
    /// One record as applications see it (rule R26).
    ///
    /// # Errors
    /// `not_found`, also for a type that is not configured; `storage_failed`.
    pub fn record(&self, entity_type: &str, id: &str) -> Result<RecordFound<Box<RawValue>>, Error> {
        self.check_type(entity_type)?;
        let id = id.to_ascii_lowercase();
        let missing = || Error::new(ErrorCode::NotFound, format!("there is no {entity_type} with id {id:?} in the replica"));
        let epoch = self.epoch.ok_or_else(missing)?;
        let base = self.view.record(epoch, entity_type, &id).map_err(failed)?;
        let seq = self.last_seq;
        match self.view.overlay(epoch, entity_type, &id).map_err(failed)? {
            Some(overlay) => {
                let visible = overlay.visible.ok_or_else(missing)?;
                let record = to_raw_value(&visible).map_err(ReadError::unwritable(format_args!("{entity_type} {id}")));
                Ok(RecordFound { record: record.map_err(failed)?, pending: true, base, seq })
            }
            None => Ok(RecordFound { record: base.ok_or_else(missing)?, pending: false, base: None, seq }),
        }
    }

    /// Records ordered by id, from the first id greater than `after`, at most `limit` and about [`ANSWER_BYTES`].
    ///
    /// # Errors
    /// `not_found` for a type that is not configured; `storage_failed`.
    pub fn records(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<RecordPage, Error> {
        self.check_type(entity_type)?;
        let seq = self.last_seq;
        let Some(epoch) = self.epoch else { return Ok(RecordPage { records: Vec::new(), next: None, seq }) };
        let mut after = after.unwrap_or_default().to_ascii_lowercase();
        let mut page = Page::new(limit, ANSWER_BYTES);
        while page.has_room() {
            let (stretch, last) = merged(self.view, epoch, entity_type, &after).map_err(failed)?;
            stretch.into_iter().for_each(|listed| page.take(size(&listed.1.record), listed));
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        let next = if page.has_room() { None } else { page.rows.last().map(|(id, _)| id.clone()) };
        Ok(RecordPage { records: page.rows.into_iter().map(|(_, record)| record).collect(), next, seq })
    }

    /// The durable feed from the first position greater than `since`: at most `limit` changes and about `bytes` bytes of them.
    ///
    /// # Errors
    /// `gone` when what follows `since` is no longer there; `storage_failed`.
    pub fn changes(&self, since: u64, limit: usize, bytes: u64) -> Result<ChangePage, Error> {
        let Some(epoch) = self.epoch else {
            return Ok(ChangePage { log: String::new(), changes: Vec::new(), next: since, last_seq: 0 });
        };
        let log = self.resumable(epoch, since)?;
        let mut page = Page::new(limit, bytes);
        let mut next = since;
        while page.has_room() {
            let mut stretch = self.view.changes(epoch, next, limit.saturating_sub(page.rows.len())).map_err(failed)?;
            stretch.retain(|change| change.seq <= self.last_seq);
            let Some((first, last)) = stretch.first().zip(stretch.last()).map(|(first, last)| (first.seq, last.seq)) else {
                break;
            };
            if first > next.saturating_add(1) {
                // What lies between may have been trimmed after the ledger was read.
                self.resumable(epoch, next)?;
            }
            next = last;
            stretch.into_iter().for_each(|change| page.take(size(&change), change));
            if page.rows.len() >= limit {
                break;
            }
        }
        let next = page.rows.last().map_or(since, |change| change.seq);
        Ok(ChangePage { log, changes: page.rows, next, last_seq: self.last_seq })
    }

    /// The feed's log, if the feed still holds what follows `since`.
    fn resumable(&self, epoch: EpochId, since: u64) -> Result<String, Error> {
        let ledger = self.view.ledger(epoch).map_err(failed)?;
        if since.saturating_add(1) >= ledger.first_seq {
            return Ok(ledger.log);
        }
        let message = format!("the change feed begins at {} and no longer holds what follows {since}", ledger.first_seq);
        Err(Error::new(ErrorCode::Gone, message)
            .with("reason", "trimmed")
            .with("log", ledger.log)
            .with("firstSeq", ledger.first_seq)
            .hint("list the records, then subscribe from the seq that came with them"))
    }

    /// Outbox entries, oldest first, those of other sign-ins included and marked (rule R38): at most `limit` and about [`ANSWER_BYTES`].
    ///
    /// # Errors
    /// `storage_failed`.
    pub fn entries(&self, filter: &OutboxList, limit: usize) -> Result<EntryPage, Error> {
        let registry = self.view.registry().map_err(failed)?;
        let mut found: Vec<Entry> = Vec::new();
        for epoch in registry.epochs.keys() {
            found.extend(self.matching(*epoch, filter, limit).map_err(failed)?);
        }
        found.sort_by_key(|entry| entry.number);
        let mut page = Page::new(limit, ANSWER_BYTES);
        found.into_iter().for_each(|entry| page.take(shown_size(&entry), entry));
        let next = if page.has_room() { None } else { page.rows.last().map(|entry| entry.number) };
        let shown = |entry: &Entry| entry.shown(&self.settings.secret_fields, Some(entry.epoch) != self.epoch);
        Ok(EntryPage { entries: page.rows.iter().map(shown).collect(), next })
    }

    /// The entries of an epoch that may come on a page, and one more if there is one.
    fn matching(&self, epoch: EpochId, filter: &OutboxList, limit: usize) -> Read<Vec<Entry>> {
        let mut found = Vec::new();
        let (mut bytes, mut after) = (0_u64, filter.after.unwrap_or(0));
        loop {
            let page = match filter.state {
                Some(state) => self.view.entries_in(epoch, state, after, PAGE)?,
                None => self.view.entries(epoch, after, PAGE)?,
            };
            let Some(last) = page.last() else { return Ok(found) };
            after = last.number;
            for entry in page {
                if filter.entity_type.as_ref().is_some_and(|name| *name != entry.entity_type) {
                    continue;
                }
                bytes = bytes.saturating_add(shown_size(&entry));
                found.push(entry);
                if found.len() > limit || (found.len() > 1 && bytes > ANSWER_BYTES) {
                    return Ok(found);
                }
            }
        }
    }

    /// The changes that the server overruled, oldest first, as many as make 32 MiB.
    ///
    /// # Errors
    /// `storage_failed`.
    pub fn conflicts(&self) -> Result<Conflicts, Error> {
        let Some(epoch) = self.epoch else { return Ok(Conflicts { conflicts: Vec::new() }) };
        let mut conflicts = Page::new(usize::MAX, CONFLICTS_BYTES);
        let mut after = 0;
        while conflicts.has_room() {
            let page = self.view.entries_in(epoch, EntryState::Conflict, after, PAGE).map_err(failed)?;
            let Some(last) = page.last() else { break };
            after = last.number;
            let shown =
                page.into_iter().filter_map(|entry| Some((shown_size(&entry), conflict(&entry, &self.settings.secret_fields)?)));
            shown.for_each(|(bytes, conflict)| conflicts.take(bytes, conflict));
        }
        Ok(Conflicts { conflicts: conflicts.rows })
    }

    fn check_type(&self, entity_type: &str) -> Result<(), Error> {
        if self.settings.rules(entity_type).is_some() {
            return Ok(());
        }
        // With a push it is the entity that is wrong; what is read just is not there.
        let mut error = unknown_type(self.settings, entity_type);
        if let Some(data) = &mut error.data {
            data.code = ErrorCode::NotFound.as_str().to_owned();
        }
        Err(error)
    }
}

/// Rows of an answer, up to a number and up to their bytes as JSON.
struct Page<T> {
    rows: Vec<T>,
    limit: usize,
    bytes: u64,
    is_full: bool,
}

impl<T> Page<T> {
    fn new(limit: usize, bytes: u64) -> Self {
        Self { rows: Vec::new(), limit, bytes, is_full: false }
    }

    /// Whether everything so far was taken.
    fn has_room(&self) -> bool {
        !self.is_full
    }

    /// Takes a row of so many bytes, unless one did not fit before it. The first always does.
    fn take(&mut self, bytes: u64, row: T) {
        self.is_full |= self.rows.len() >= self.limit || (bytes > self.bytes && !self.rows.is_empty());
        if !self.is_full {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.rows.push(row);
        }
    }
}

/// About how many bytes an entry has in an answer: a verdict may hold the server's row beside the one that was sent.
fn shown_size(entry: &Entry) -> u64 {
    let server = match &entry.verdict {
        Some(Verdict::Overwritten { server }) => size(server),
        _ => 0,
    };
    entry.bytes.saturating_add(server)
}

/// Visible records by id, and the id up to which they go; none when there are no more.
type Stretch = (Vec<(String, ListedRecord)>, Option<String>);

/// The visible records of the next stretch of ids.
fn merged(view: &dyn View, epoch: EpochId, entity_type: &str, after: &str) -> Read<Stretch> {
    let rows = view.rows(epoch, entity_type, after, PAGE)?;
    let overlays = view.overlays(epoch, entity_type, after, PAGE)?;
    // A page may be followed by more: nothing beyond its last id is known yet.
    let bound = [rows.last().map(|(id, _)| id), overlays.last().map(|(id, _)| id)].into_iter().flatten().min().cloned();
    let within = |id: &String| bound.as_ref().is_none_or(|bound| id <= bound);
    let mut listed: std::collections::BTreeMap<String, Option<Arc<Record>>> = std::collections::BTreeMap::new();
    let mut pending = std::collections::BTreeSet::new();
    for (id, row) in rows.into_iter().filter(|(id, _)| within(id)) {
        listed.insert(id, row.is_live().then_some(row.record));
    }
    for (id, overlay) in overlays.into_iter().filter(|(id, _)| within(id)) {
        pending.insert(id.clone());
        listed.insert(id, overlay.visible);
    }
    let visible = listed.into_iter().filter_map(|(id, record)| {
        let pending = pending.contains(&id);
        Some((id, ListedRecord { record: Arc::unwrap_or_clone(record?), pending }))
    });
    Ok((visible.collect(), bound))
}

fn conflict(entry: &Entry, secret_fields: &[String]) -> Option<Conflict> {
    let Some(Verdict::Overwritten { server }) = &entry.verdict else { return None };
    Some(Conflict {
        entry: entry.number,
        entity_type: entry.entity_type.clone(),
        id: entry.id.clone(),
        sent: entry.shown(secret_fields, false).data,
        server: server.clone(),
        at: entry.last_error.as_ref().map_or(entry.enqueued_at, |error| error.at),
    })
}

fn failed(error: ReadError) -> Error {
    Error::new(ErrorCode::StorageFailed, error.to_string()).hint("see the daemon's log")
}

#[cfg(test)]
mod tests {
    use aesync_protocol::codec::EncodedChange;
    use aesync_protocol::event::{ChangeOp, Origin};
    use aesync_protocol::response::EntryOp;
    use aesync_protocol::{Change, Timestamp};
    use serde_json::json;

    use super::super::durable::{Identity, Ledger, Registry, Row};
    use super::super::memory::Memory;
    use super::super::write_set::{Write, WriteSet};
    use super::*;

    const EPOCH: EpochId = EpochId(1);
    /// So many rows of a megabyte.
    const LARGE: u64 = 11;

    fn record(number: u64) -> Record {
        json!({"id": id(number), "text": "x".repeat(1 << 20)}).as_object().cloned().expect("an object")
    }

    fn id(number: u64) -> String {
        format!("{number:04}")
    }

    /// Large rows, and as many changes and entries.
    fn state() -> Memory {
        let (entity_type, at) = ("end_user".to_owned(), Timestamp::EPOCH);
        let mut registry = Registry { current: Some(EPOCH), ..Registry::default() };
        let identity = Identity { server: String::new(), tenant: String::new(), user: String::new() };
        registry.epochs.insert(EPOCH, identity);
        let mut writes = vec![
            Write::Registry(registry),
            Write::Ledger(EPOCH, Ledger { log: "log".to_owned(), first_seq: 1, last_seq: LARGE, ..Ledger::default() }),
        ];
        for number in 1..=LARGE {
            let row = Row { record: record(number).into(), hash: 0, updated_at: None, deleted_at: None, missing_since: None };
            writes.push(Write::Row { epoch: EPOCH, entity_type: entity_type.clone(), id: id(number), row: Some(row) });
            let change = Change {
                seq: number,
                op: ChangeOp::Upsert,
                entity_type: entity_type.clone(),
                id: id(number),
                record: Some(record(number)),
                origin: Origin::Server,
                pending: false,
                at,
            };
            writes.push(Write::Change(EPOCH, EncodedChange::new(&change).expect("JSON")));
            writes.push(Write::Entry(entry(number)));
        }
        let mut memory = Memory::default();
        memory.apply(&WriteSet { writes });
        memory
    }

    fn entry(number: u64) -> Entry {
        let fields = record(number);
        let verdict = Some(Verdict::Overwritten { server: fields.clone() });
        let bytes = size(&fields);
        let entry = Entry::new(EPOCH, number, ("end_user", &id(number)), EntryOp::Create, fields, Timestamp::EPOCH);
        Entry { state: EntryState::Conflict, bytes, verdict, ..entry }
    }

    #[test]
    fn answers_end_by_their_bytes_and_their_pages_together_hold_everything() {
        let (memory, settings) = (state(), Settings::new("http://127.0.0.1", None, &["end_user"]));
        let query = Query { view: &memory, settings: &settings, epoch: Some(EPOCH), last_seq: LARGE };

        let (mut after, mut listed) = (None, Vec::new());
        loop {
            let page = query.records("end_user", after.as_deref(), 1_000).expect("readable");
            assert!(size(&page) < ANSWER_BYTES + 1_000 && !page.records.is_empty());
            listed.extend(page.records.iter().filter_map(|found| found.record.get("id")?.as_str()?.parse::<u64>().ok()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, (1..=LARGE).collect::<Vec<_>>());

        let (mut since, mut followed) = (0, Vec::new());
        while since < LARGE {
            let page = query.changes(since, 1_000, ANSWER_BYTES).expect("readable");
            assert!(size(&page) < ANSWER_BYTES + 1_000);
            followed.extend(page.changes.iter().map(|change| change.seq));
            since = page.next;
        }
        assert_eq!(followed, (1..=LARGE).collect::<Vec<_>>());
        let one = query.changes(0, 1_000, 1_000).expect("readable");
        assert_eq!((one.changes.len(), one.next), (1, 1), "one that is larger than a page comes alone");

        let (mut filter, mut numbers) = (OutboxList::default(), Vec::new());
        loop {
            let page = query.entries(&filter, 1_000).expect("readable");
            assert!(size(&page) < ANSWER_BYTES + 4_000 && !page.entries.is_empty());
            numbers.extend(page.entries.iter().map(|entry| entry.entry));
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
        assert_eq!(numbers, (1..=LARGE).collect::<Vec<_>>());
        assert_eq!(query.conflicts().expect("readable").conflicts.len() as u64, LARGE);
    }

    #[test]
    fn conflicts_are_as_many_as_a_client_takes_in_one_line() {
        let (mut memory, settings) = (state(), Settings::new("http://127.0.0.1", None, &["end_user"]));
        memory.apply(&WriteSet { writes: (1..=40).map(|number| Write::Entry(entry(number))).collect() });
        let query = Query { view: &memory, settings: &settings, epoch: Some(EPOCH), last_seq: LARGE };
        let found = query.conflicts().expect("readable");
        assert!(found.conflicts.len() > 10 && size(&found) < CONFLICTS_BYTES + 10_000);
        assert_eq!(found.conflicts.first().map(|conflict| conflict.entry), Some(1));
    }
}
