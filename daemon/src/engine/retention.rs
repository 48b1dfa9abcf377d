//! How long old things are kept: the change feed by age and size, tombstones (rule R29), the answers to request ids (rule R4).
//!
//! What is quarantined or in conflict has no retention: it stays until a person or an application decides (rule R13).

use aesync_protocol::Timestamp;

use super::draft::Draft;
use super::durable::Row;
use super::transact::Done;
use super::view::Read;

/// Changes or answers that one step looks at: few enough for memory when each is large.
const SLICE: usize = 250;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// How long the answer to a request id is kept, in milliseconds: far longer than any application retries.
const ANSWER_MS: i64 = 7 * DAY_MS;
/// How long a deletion can be undone (rule R29), in milliseconds.
const TOMBSTONE_MS: i64 = 30 * DAY_MS;

/// How far the removal of what is old has come, of what has no order by age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Answers behind this request id are still to be looked at.
    pub answers_after: Option<String>,
    /// Tombstones behind this type and id are still to be looked at.
    pub tombstones_after: Option<(String, String)>,
}

impl Rest {
    /// All answers.
    #[must_use]
    pub fn answers() -> Self {
        Self { answers_after: Some(String::new()), ..Self::default() }
    }

    /// All answers and tombstones. The full listings of the identity that is served look at its tombstones anyway.
    #[must_use]
    pub fn everything() -> Self {
        Self { tombstones_after: Some((String::new(), String::new())), ..Self::answers() }
    }

    /// Whether nothing is left to be looked at.
    #[must_use]
    pub fn is_done(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes the oldest changes while they are too old, or the feed is too large. The newest change always stays. Then goes on with the
/// rest.
///
/// # Errors
/// When the state can't be read.
pub fn trim(draft: &mut Draft<'_>, rest: &Rest) -> Read<Done> {
    let more_changes = trim_changes(draft)?;
    let answers_after = match &rest.answers_after {
        Some(after) => forget_answers(draft, after)?,
        None => None,
    };
    let tombstones_after = match &rest.tombstones_after {
        Some((entity_type, after)) => forget_tombstones(draft, entity_type, after)?,
        None => None,
    };
    Ok(Done::Trimmed { more_changes, rest: Rest { answers_after, tombstones_after } })
}

/// Whether a tombstone has been kept for long enough.
pub(super) fn is_forgotten(row: &Row, at: Timestamp) -> bool {
    row.deleted_at.is_some_and(|deleted| at.millis_since(deleted) > TOMBSTONE_MS)
}

fn trim_changes(draft: &mut Draft<'_>) -> Read<bool> {
    let oldest = draft.at().plus_millis(-draft.settings().feed_retention_ms);
    let most = draft.settings().feed_bytes;
    let (first, last, mut bytes) = (draft.ledger().first_seq, draft.ledger().last_seq, draft.ledger().feed_bytes);
    let page = draft.view().ages(draft.epoch(), first.saturating_sub(1), SLICE)?;
    let mut end = None;
    for change in &page {
        if change.seq >= last || (change.at >= oldest && bytes <= most) {
            break;
        }
        bytes = bytes.saturating_sub(change.bytes);
        end = Some(change.seq);
    }
    if let Some(end) = end {
        draft.trim_changes(end.saturating_add(1), bytes);
    }
    Ok(page.len() == SLICE && end == page.last().map(|change| change.seq))
}

/// Gives the request id to go on behind, when there are more.
fn forget_answers(draft: &mut Draft<'_>, after: &str) -> Read<Option<String>> {
    let at = draft.at();
    let answers = draft.view().answers(draft.epoch(), after, SLICE)?;
    for (request_id, answer) in &answers {
        if at.millis_since(answer.at) <= ANSWER_MS {
            continue;
        }
        // Whoever asks again while an entry waits must not enqueue it twice.
        let mut waits = false;
        for pushed in &answer.entries {
            waits = waits || draft.entry(pushed.entry)?.is_some();
        }
        if !waits {
            draft.forget_answer(request_id);
        }
    }
    Ok(answers.last().filter(|_| answers.len() == SLICE).map(|(request_id, _)| request_id.clone()))
}

/// Gives the type and the id to go on behind, when there are more.
fn forget_tombstones(draft: &mut Draft<'_>, entity_type: &str, after: &str) -> Read<Option<(String, String)>> {
    let types = || draft.ledger().records.keys();
    let Some(entity_type) = types().find(|name| name.as_str() >= entity_type).cloned() else { return Ok(None) };
    let rows = draft.view().rows(draft.epoch(), &entity_type, after, SLICE)?;
    let next = match rows.last().filter(|_| rows.len() == SLICE) {
        Some((id, _)) => Some((entity_type.clone(), id.clone())),
        None => types().find(|name| **name > entity_type).map(|name| (name.clone(), String::new())),
    };
    for (id, row) in rows {
        let key = (entity_type.clone(), id);
        if is_forgotten(&row, draft.at()) && draft.overlay(&key)?.is_none() {
            draft.forget_tombstone(&key);
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aesync_protocol::Record;
    use serde_json::json;

    use super::super::durable::{EpochId, StoredAnswer};
    use super::super::memory::Memory;
    use super::super::reconcile::Listed;
    use super::super::settings::Settings;
    use super::super::view::View as _;
    use super::super::{apply, reconcile};
    use super::*;

    const EPOCH: EpochId = EpochId(1);

    fn day(days: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + days * DAY_MS)
    }

    fn settings() -> Settings {
        Settings::new("http://127.0.0.1", None, &["end_user"])
    }

    /// Does something with the state on a day, and writes it.
    fn on<T>(memory: &mut Memory, settings: &Settings, days: i64, step: impl FnOnce(&mut Draft<'_>) -> T) -> T {
        let mut draft = Draft::new(memory, settings, EPOCH, day(days)).expect("readable");
        let done = step(&mut draft);
        let (set, _) = draft.finish();
        memory.apply(&set);
        done
    }

    fn pull(memory: &mut Memory, settings: &Settings, days: i64, ids: std::ops::Range<u64>) {
        let row = |n: u64| json!({"id": format!("{n:05}"), "name": "x".repeat(500), "updatedAt": day(days).to_string()});
        let rows: Vec<Arc<Record>> = ids.map(|n| row(n).as_object().cloned().expect("an object").into()).collect();
        on(memory, settings, days, |draft| drop(apply::rows(draft, "end_user", &rows).expect("readable")));
    }

    fn trim_all(memory: &mut Memory, settings: &Settings, days: i64) {
        let mut rest = Rest::everything();
        loop {
            let done = on(memory, settings, days, |draft| trim(draft, &rest).expect("readable"));
            let Done::Trimmed { more_changes, rest: left } = done else { panic!("another step was done") };
            if !more_changes && left.is_done() {
                return;
            }
            rest = left;
        }
    }

    #[test]
    fn the_feed_keeps_what_is_young_enough() {
        let (mut memory, settings) = (Memory::default(), settings());
        pull(&mut memory, &settings, 0, 0..700);
        pull(&mut memory, &settings, 20, 700..710);
        trim_all(&mut memory, &settings, 31);
        let ledger = memory.ledger(EPOCH).expect("readable");
        assert_eq!((ledger.first_seq, ledger.last_seq), (701, 710));
        assert_eq!(memory.changes(EPOCH, 0, 1_000).expect("readable").len(), 10);
        trim_all(&mut memory, &settings, 100);
        assert_eq!(memory.changes(EPOCH, 0, 1_000).expect("readable").len(), 1, "the newest stays");
    }

    #[test]
    fn the_feed_keeps_no_more_bytes_than_it_may() {
        let mut memory = Memory::default();
        let settings = Settings { feed_bytes: 100_000, ..settings() };
        pull(&mut memory, &settings, 0, 0..900);
        trim_all(&mut memory, &settings, 0);
        let ledger = memory.ledger(EPOCH).expect("readable");
        let kept = memory.changes(EPOCH, 0, 1_000).expect("readable");
        assert_eq!(kept.first().map(|change| change.seq), Some(ledger.first_seq));
        let bytes: u64 = kept.iter().map(super::super::admit::size).sum();
        assert_eq!(ledger.feed_bytes, bytes, "the count agrees with what is kept");
        assert!((99_000..=100_000).contains(&bytes), "{bytes} bytes are kept");
    }

    #[test]
    fn answers_are_forgotten_after_a_week_however_many_there_are() {
        let (mut memory, settings) = (Memory::default(), settings());
        let answer = |days| StoredAnswer { entries: Vec::new(), ends: [].into(), changes_hash: 0, at: day(days) };
        on(&mut memory, &settings, 0, |draft| (0..600).for_each(|n| draft.set_answer(&format!("old-{n}"), answer(0))));
        on(&mut memory, &settings, 5, |draft| draft.set_answer("young", answer(5)));
        trim_all(&mut memory, &settings, 8);
        let left = memory.answers(EPOCH, "", 1_000).expect("readable");
        assert_eq!(left.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["young"]);
    }

    #[test]
    fn a_tombstone_goes_once_its_deletion_can_no_longer_be_undone() {
        let (mut memory, settings) = (Memory::default(), settings());
        pull(&mut memory, &settings, 0, 0..2);
        let key = ("end_user".to_owned(), "00000".to_owned());
        let row = memory.row(EPOCH, &key.0, &key.1).expect("readable").expect("pulled");
        on(&mut memory, &settings, 0, |draft| draft.set_row(&key, Row { deleted_at: Some(day(0)), ..row }).expect("readable"));
        for (days, left) in [(30, true), (31, false)] {
            let sweep =
                |draft: &mut Draft<'_>| drop(reconcile::sweep(draft, "end_user", &Listed::default(), "").expect("readable"));
            on(&mut memory, &settings, days, sweep);
            assert_eq!(memory.row(EPOCH, &key.0, &key.1).expect("readable").is_some(), left, "on day {days}");
            assert!(memory.row(EPOCH, "end_user", "00001").expect("readable").is_some(), "a live row stays");
        }
    }

    #[test]
    fn an_answer_is_kept_for_as_long_as_one_of_its_entries_waits() {
        let (mut memory, settings) = (Memory::default(), settings());
        let now = super::super::Now { mono: std::time::Duration::ZERO, wall: day(0), dice: 7 };
        let changes = vec![("end_user".to_owned(), vec![json!({"email": "a@example.com"})])];
        let push = |draft: &mut Draft<'_>| {
            super::super::enqueue::enqueue(draft, &changes, Some("waits"), &now).expect("readable").expect("taken").0
        };
        let entries = on(&mut memory, &settings, 0, push);
        trim_all(&mut memory, &settings, 60);
        assert_eq!(on(&mut memory, &settings, 60, push), entries, "asked again, nothing is enqueued twice");
        let entry = memory.entry(EPOCH, entries[0].entry).expect("readable").expect("it waits");
        let confirmed = aesync_protocol::response::EntryState::Confirmed;
        on(&mut memory, &settings, 60, |draft| draft.retire(&entry, confirmed).expect("readable"));
        trim_all(&mut memory, &settings, 61);
        assert_eq!(memory.answers(EPOCH, "", 10).expect("readable"), []);
    }

    #[test]
    fn tombstones_of_all_types_go_without_a_listing_and_live_rows_stay() {
        let (mut memory, settings) = (Memory::default(), settings());
        for (entity_type, gone) in [("a", 0..400), ("b", 0..1), ("c", 300..700)] {
            let row = |n: u64| json!({"id": format!("{n:05}"), "updatedAt": day(0).to_string(), "is_deleted": u8::from(gone.contains(&n))});
            let rows = |deleted: bool| -> Vec<Arc<Record>> {
                let undeleted = |mut row: serde_json::Value| {
                    row["is_deleted"] = json!(0);
                    row
                };
                (0..700)
                    .map(row)
                    .map(|row| if deleted { row } else { undeleted(row) })
                    .map(|row| row.as_object().cloned().expect("an object").into())
                    .collect()
            };
            for rows in [rows(false), rows(true)] {
                on(&mut memory, &settings, 0, |draft| drop(apply::rows(draft, entity_type, &rows).expect("readable")));
            }
        }
        let left = |memory: &Memory| ["a", "b", "c"].map(|name| memory.rows(EPOCH, name, "", 1_000).expect("readable").len());
        trim_all(&mut memory, &settings, 30);
        assert_eq!(left(&memory), [700, 700, 700]);
        trim_all(&mut memory, &settings, 31);
        assert_eq!(left(&memory), [300, 699, 300]);
    }
}
