//! What applications read, answered from the durable state as it is at that moment.

use aesync_protocol::request::OutboxList;
use aesync_protocol::response::{
    ChangePage, Conflict, Conflicts, EntryPage, EntryState, ListedRecord, RecordFound, RecordPage, Verdict,
};
use aesync_protocol::{Error, ErrorCode, Record};

use super::admit::unknown_type;
use super::durable::{Entry, EpochId};
use super::settings::Settings;
use super::view::{Read, ReadError, View};

/// Rows read at a time.
const PAGE: usize = 256;

/// The state that reads are answered from.
#[derive(Clone, Copy)]
pub struct Query<'v> {
    /// The durable state.
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
    pub fn record(&self, entity_type: &str, id: &str) -> Result<RecordFound, Error> {
        self.check_type(entity_type)?;
        let id = id.to_ascii_lowercase();
        let missing = || Error::new(ErrorCode::NotFound, format!("there is no {entity_type} with id {id:?} in the replica"));
        let epoch = self.epoch.ok_or_else(missing)?;
        let row = self.view.row(epoch, entity_type, &id).map_err(failed)?.filter(|row| row.is_live());
        let seq = self.last_seq;
        match self.view.overlay(epoch, entity_type, &id).map_err(failed)? {
            Some(overlay) => {
                let record = overlay.visible.ok_or_else(missing)?;
                Ok(RecordFound { record, pending: true, base: row.map(|row| row.record), seq })
            }
            None => Ok(RecordFound { record: row.ok_or_else(missing)?.record, pending: false, base: None, seq }),
        }
    }

    /// Records ordered by id, from the first id greater than `after`.
    ///
    /// # Errors
    /// `not_found` for a type that is not configured; `storage_failed`.
    pub fn records(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<RecordPage, Error> {
        self.check_type(entity_type)?;
        let seq = self.last_seq;
        let Some(epoch) = self.epoch else { return Ok(RecordPage { records: Vec::new(), next: None, seq }) };
        let mut after = after.unwrap_or_default().to_ascii_lowercase();
        let mut found: Vec<(String, ListedRecord)> = Vec::new();
        loop {
            let (page, last) = merged(self.view, epoch, entity_type, &after).map_err(failed)?;
            found.extend(page);
            match last {
                Some(last) if found.len() <= limit => after = last,
                _ => break,
            }
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(|(id, _)| id.clone()) } else { None };
        Ok(RecordPage { records: found.into_iter().map(|(_, record)| record).collect(), next, seq })
    }

    /// The durable feed from the first position greater than `since`.
    ///
    /// # Errors
    /// `gone` when what follows `since` is no longer there; `storage_failed`.
    pub fn changes(&self, since: u64, limit: usize) -> Result<ChangePage, Error> {
        let Some(epoch) = self.epoch else {
            return Ok(ChangePage { log: String::new(), changes: Vec::new(), next: since, last_seq: 0 });
        };
        let ledger = self.view.ledger(epoch).map_err(failed)?;
        if since.saturating_add(1) < ledger.first_seq {
            let message = format!("the change feed begins at {} and no longer holds what follows {since}", ledger.first_seq);
            return Err(Error::new(ErrorCode::Gone, message)
                .with("reason", "trimmed")
                .with("log", ledger.log)
                .with("firstSeq", ledger.first_seq)
                .hint("list the records, then subscribe from the seq that came with them"));
        }
        let mut changes = self.view.changes(epoch, since, limit).map_err(failed)?;
        changes.retain(|change| change.seq <= self.last_seq);
        let next = changes.last().map_or(since, |change| change.seq);
        Ok(ChangePage { log: ledger.log, changes, next, last_seq: self.last_seq })
    }

    /// Outbox entries, oldest first, those of other sign-ins included and marked (rule R38).
    ///
    /// # Errors
    /// `storage_failed`.
    pub fn entries(&self, filter: &OutboxList, limit: usize) -> Result<EntryPage, Error> {
        let registry = self.view.registry().map_err(failed)?;
        let mut found: Vec<Entry> = Vec::new();
        for epoch in registry.epochs.keys() {
            found.extend(self.matching(*epoch, filter, limit.saturating_add(1)).map_err(failed)?);
        }
        found.sort_by_key(|entry| entry.number);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(|entry| entry.number) } else { None };
        let shown = |entry: &Entry| entry.shown(&self.settings.secret_fields, Some(entry.epoch) != self.epoch);
        Ok(EntryPage { entries: found.iter().map(shown).collect(), next })
    }

    fn matching(&self, epoch: EpochId, filter: &OutboxList, limit: usize) -> Read<Vec<Entry>> {
        let mut found = Vec::new();
        let mut after = filter.after.unwrap_or(0);
        loop {
            let page = match filter.state {
                Some(state) => self.view.entries_in(epoch, state, after, PAGE)?,
                None => self.view.entries(epoch, after, PAGE)?,
            };
            let Some(last) = page.last() else { return Ok(found) };
            after = last.number;
            found.extend(
                page.into_iter().filter(|entry| filter.entity_type.as_ref().is_none_or(|name| *name == entry.entity_type)),
            );
            if found.len() >= limit {
                return Ok(found);
            }
        }
    }

    /// The changes that the server overruled, oldest first.
    ///
    /// # Errors
    /// `storage_failed`.
    pub fn conflicts(&self) -> Result<Conflicts, Error> {
        let Some(epoch) = self.epoch else { return Ok(Conflicts { conflicts: Vec::new() }) };
        let mut conflicts = Vec::new();
        let mut after = 0;
        loop {
            let page = self.view.entries_in(epoch, EntryState::Conflict, after, PAGE).map_err(failed)?;
            let Some(last) = page.last() else { return Ok(Conflicts { conflicts }) };
            after = last.number;
            conflicts.extend(page.into_iter().filter_map(|entry| conflict(&entry, &self.settings.secret_fields)));
        }
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

/// Visible records by id, and the id up to which they go; none when there are no more.
type Stretch = (Vec<(String, ListedRecord)>, Option<String>);

/// The visible records of the next stretch of ids.
fn merged(view: &dyn View, epoch: EpochId, entity_type: &str, after: &str) -> Read<Stretch> {
    let rows = view.rows(epoch, entity_type, after, PAGE)?;
    let overlays = view.overlays(epoch, entity_type, after, PAGE)?;
    // A full page may be followed by more: nothing beyond its last id is known yet.
    let bound = [
        rows.last().filter(|_| rows.len() == PAGE).map(|(id, _)| id),
        overlays.last().filter(|_| overlays.len() == PAGE).map(|(id, _)| id),
    ]
    .into_iter()
    .flatten()
    .min()
    .cloned();
    let within = |id: &String| bound.as_ref().is_none_or(|bound| id <= bound);
    let mut listed: std::collections::BTreeMap<String, Option<Record>> = std::collections::BTreeMap::new();
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
        Some((id, ListedRecord { record: record?, pending }))
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
