//! What must hold: at every commit, whenever the daemon says `synced`, and once it is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aesync_protocol::event::ChangeOp;
use aesync_protocol::response::{EntryOp, EntryState, PushedEntry};
use aesync_protocol::{Record, Status, StatusWord};
use aesyncd::engine::durable::{Entry, EpochId};
use aesyncd::engine::query::Query;
use aesyncd::engine::transact::{Done, Outcome};
use aesyncd::engine::view::View as _;
use serde_json::json;

use super::sim::{Sim, TYPES};

/// The feed of an epoch as a subscriber has it: folded up to a change.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    seq: u64,
    records: BTreeMap<(String, String), (Record, bool)>,
}

impl Sim {
    /// A transaction is on disk.
    pub fn watch(&mut self, outcome: &Outcome) {
        for entry in &outcome.written.entries {
            match entry.state {
                EntryState::Confirmed => {
                    self.check_confirmed(entry);
                    self.ended.insert(entry.number, (entry.state, entry.clone()));
                }
                EntryState::Discarded => drop(self.ended.insert(entry.number, (entry.state, entry.clone()))),
                EntryState::Conflict => {
                    self.learned.insert((entry.epoch, entry.entity_type.clone(), entry.op));
                }
                EntryState::Acked if entry.op != EntryOp::Create => {
                    self.learned.remove(&(entry.epoch, entry.entity_type.clone(), entry.op));
                }
                _ => {}
            }
        }
        if let Done::Reconciled { entity_type, result, .. } = &outcome.done {
            if self.listing.contains(entity_type) {
                self.hidden.remove(&(self.tenant(), entity_type.clone()));
            }
            let ledger = self.state.ledger(outcome.epoch).expect("readable");
            let before = ledger.records.get(entity_type).copied().unwrap_or(0) + result.deleted;
            let cap = self.settings.brake_rows.max(before * self.settings.brake_percent / 100);
            assert!(result.deleted <= cap, "I8: {} of {before} {entity_type} deleted without consent", result.deleted);
        }
    }

    /// I2: what is confirmed was on the server with the content that was sent, or, for a deletion, was gone.
    fn check_confirmed(&self, entry: &Entry) {
        let place = (self.tenant_of(entry.epoch), entry.entity_type.clone(), entry.id.clone());
        if entry.op == EntryOp::Delete {
            let gone = self.server.erased.contains(&place) || !self.server.shows(&place);
            return assert!(gone, "I2: the deletion {} is confirmed, and the server shows the row: {entry:?}", entry.number);
        }
        let has = |content: &Record| {
            entry.fields.iter().all(|(field, value)| field == "clientUser" || content.get(field) == Some(value))
        };
        // A later change of the same entity carried it, or took its place.
        if self.server.lost.contains(&place) && self.server.history.contains_key(&place) {
            return;
        }
        let contents = self.server.history.get(&place).map(Vec::as_slice).unwrap_or_default();
        assert!(contents.iter().any(has), "I2: entry {} is confirmed, and the server never had it: {entry:?}", entry.number);
    }

    /// R18: what the server was seen to drop is said as soon as it is enqueued.
    pub fn check_warnings(&self, epoch: EpochId, entries: &[PushedEntry]) {
        for pushed in entries {
            let Some(entry) = self.state.entry(epoch, pushed.entry).expect("readable") else { continue };
            let row = self.state.row(epoch, &entry.entity_type, &entry.id).expect("readable");
            let in_base = row.is_some_and(|row| row.is_live());
            let known = self.learned.contains(&(epoch, entry.entity_type.clone(), entry.op));
            if in_base && known && entry.op != EntryOp::Create && entry.attempts == 0 {
                assert_ne!(pushed.warnings, Vec::<String>::new(), "R18: nothing was said of {entry:?}");
            }
        }
    }

    /// I6: `synced` means that nothing waits, and that everything is here that the server showed when it was last asked.
    pub fn check_synced(&self, status: &Status) {
        let outbox = status.outbox;
        let waiting = outbox.pending + outbox.sent + outbox.in_doubt + outbox.acked;
        assert_eq!(waiting, 0, "I6: synced with changes on their way");
        assert!(status.has_synced, "I6: synced before the first sync was done");
        assert!(self.is_connected() || status.server.transport.is_some(), "I6: synced without a connection");
        let epoch = self.epoch().expect("somebody signed in");
        for entity_type in TYPES {
            let asked_at = *self.pulled.get(entity_type).expect("I6: synced before every type was pulled since the connect");
            if self.hidden.contains(&(self.tenant(), entity_type.to_owned())) {
                continue;
            }
            for (id, shown) in self.server.shown_since(self.tenant(), entity_type, asked_at) {
                let row = self.state.row(epoch, entity_type, id).expect("readable").map(|row| without_stamp(row.record));
                assert_eq!(row.as_ref(), Some(shown), "I6: synced, and {entity_type} {id} is not what the server showed");
            }
        }
    }

    /// What must hold once it is quiet.
    pub fn check(&mut self) {
        self.check_feed();
        let tenant = self.tenant();
        let epoch = self.epoch().expect("somebody signed in");
        for entity_type in TYPES {
            let base: BTreeMap<String, Record> = self
                .state
                .rows(epoch, entity_type, "", usize::MAX)
                .expect("readable")
                .into_iter()
                .filter(|(id, row)| row.is_live() && !self.is_changed_here(epoch, entity_type, id))
                .map(|(id, row)| (id, without_stamp(row.record)))
                .collect();
            let mut shown = self.server.visible(tenant, entity_type);
            shown.retain(|id, _| !self.is_changed_here(epoch, entity_type, id));
            // What the brakes hold stays, and is reported.
            let held = self.state.cursor(epoch, entity_type).expect("readable").missing;
            let extra = base.keys().filter(|id| !shown.contains_key(*id)).count();
            if held > 0 {
                assert_eq!(extra as u64, held, "I1, I8: {entity_type} keeps what the brakes hold, and nothing else");
                assert!(
                    shown.iter().all(|(id, row)| base.get(id) == Some(row)),
                    "I1: the base of {entity_type} has what the server shows"
                );
            } else {
                assert_eq!(base, shown, "I1: the base of {entity_type} is what the server shows");
            }
        }
        self.check_outbox(epoch);
        for (place, times) in self.server.emails() {
            assert_eq!(times, 1, "I2: {place:?} is on the server {times} times");
        }
        let status = self.status.clone().expect("a status");
        let kept = [EntryState::Quarantined, EntryState::Blocked, EntryState::Acked]
            .iter()
            .any(|state| !self.state.entries_in(epoch, *state, 0, 1).expect("readable").is_empty());
        // More rows than the brakes let go wait for a person, who is told.
        let held = TYPES.iter().any(|name| self.state.cursor(epoch, name).expect("readable").missing > 0);
        if held {
            let told = status.attention.iter().any(|attention| attention.code == "reconcile_held");
            assert!(told, "I8: rows are held back, and nobody is told: {status:#?}");
        } else if !kept {
            assert_eq!(status.status, StatusWord::Synced, "I6, I7: quiet, and not synced: {status:#?}");
        }
    }

    /// I2 and I7: each acknowledged change has ended in one way, or waits for a person, or belongs to somebody else.
    fn check_outbox(&self, epoch: EpochId) {
        for (number, (owner, entity_type, id)) in &self.acknowledged {
            let stored = self.state.entry(*owner, *number).expect("readable");
            match (stored, self.ended.get(number)) {
                (Some(entry), None) => {
                    // Accepted, and erased by somebody or lost by the server before a pull showed it: that is reported (R16).
                    let invisible = entry.state == EntryState::Acked && entry.misses >= 3;
                    let waits = *owner != epoch
                        || invisible
                        || matches!(entry.state, EntryState::Conflict | EntryState::Quarantined | EntryState::Blocked);
                    assert!(waits, "I7: entry {number} is still {}: {entry:?}", entry.state);
                    self.check_quarantined(&entry);
                }
                (None, Some(_)) => {}
                (stored, ended) => panic!("I2: entry {number} ({entity_type} {id}) is {stored:?} and ended {ended:?}"),
            }
        }
    }

    /// R9, R11: only what the server refuses for good is condemned, and nothing that it has.
    fn check_quarantined(&self, entry: &Entry) {
        if entry.state != EntryState::Quarantined {
            return;
        }
        let refused = entry.fields.get("poison") == Some(&json!(true)) || entry.fields.contains_key("clientUser");
        assert!(refused, "R11: nothing is wrong with {entry:?}");
        let place = (self.tenant_of(entry.epoch), entry.entity_type.clone(), entry.id.clone());
        assert!(!self.server.shows(&place), "R9: the server has what is quarantined: {entry:?}");
    }

    /// A row with a local change is never deleted by a listing (R29): once quiet, that is one that waits for a person.
    fn is_changed_here(&self, epoch: EpochId, entity_type: &str, id: &str) -> bool {
        self.state.overlay(epoch, entity_type, id).expect("readable").is_some()
    }

    fn tenant_of(&self, epoch: EpochId) -> String {
        self.state.registry().expect("readable").epochs[&epoch].tenant.clone()
    }

    /// I3 and R26, at any moment: folding the feed from 0 gives the visible replica, without gap or repeat, and that shows the newest
    /// local change of each entity.
    pub fn check_feed(&mut self) {
        let epochs: BTreeSet<EpochId> = self.state.registry().expect("readable").epochs.keys().copied().collect();
        for epoch in epochs {
            let query = Query { view: &self.state, settings: &self.settings, epoch: Some(epoch), last_seq: u64::MAX };
            let mut listed = BTreeMap::new();
            for entity_type in TYPES {
                let page = query.records(entity_type, None, usize::MAX - 1).expect("readable");
                for found in page.records {
                    let id = found.record["id"].as_str().expect("records have ids").to_owned();
                    listed.insert((entity_type.to_owned(), id), (found.record, found.pending));
                }
                for (id, overlay) in self.state.overlays(epoch, entity_type, "", usize::MAX).expect("readable") {
                    let newest = overlay.entries.last().and_then(|number| self.state.entry(epoch, *number).expect("readable"));
                    check_overlay(
                        overlay.visible.as_deref(),
                        &newest.unwrap_or_else(|| panic!("R26: {id} has an overlay of nothing")),
                    );
                }
            }
            assert_eq!(self.fold(epoch).records, listed, "I3: the folded feed is the visible replica");
        }
    }

    /// Folds what came to the feed since the last look.
    fn fold(&mut self, epoch: EpochId) -> &Folded {
        let fold = self.folds.entry(epoch).or_default();
        for change in self.state.changes(epoch, fold.seq, usize::MAX).expect("readable") {
            fold.seq += 1;
            assert_eq!(change.seq, fold.seq, "I3: the feed has neither gap nor repeat");
            let key = (change.entity_type, change.id);
            match change.op {
                ChangeOp::Upsert => {
                    let seen = (change.record.expect("an upsert has a record"), change.pending);
                    if let Some(before) = fold.records.insert(key.clone(), seen) {
                        assert_ne!(Some(&before), fold.records.get(&key), "R24: a change that changes nothing");
                    }
                }
                ChangeOp::Delete => assert!(fold.records.remove(&key).is_some(), "R24: a deletion of what is not there"),
            }
        }
        fold
    }
}

/// R26: what applications see of an entity is its newest local change, whatever was pulled.
fn check_overlay(visible: Option<&Record>, newest: &Entry) {
    match (newest.op, visible) {
        (EntryOp::Delete, None) => {}
        (EntryOp::Delete, Some(_)) => panic!("R26: {} is deleted and still shown", newest.id),
        (_, None) => panic!("R26: {} is changed and not shown", newest.id),
        (_, Some(record)) => {
            for (field, value) in newest.fields.iter() {
                assert_eq!(record.get(field), Some(value), "R26: {} hides the change of {field}", newest.id);
            }
        }
    }
}

fn without_stamp(record: Arc<Record>) -> Record {
    let mut record = Arc::unwrap_or_clone(record);
    record.remove("updatedAt");
    record
}
