//! What a full listing may delete, case by case.

use std::sync::Arc;

use aesync_protocol::{Record, Timestamp};
use serde_json::json;

use super::*;
use crate::engine::durable::{EpochId, Overlay};
use crate::engine::memory::Memory;
use crate::engine::settings::Settings;
use crate::engine::view::View as _;
use crate::engine::write_set::{Write, WriteSet};

const EPOCH: EpochId = EpochId(1);
const MINUTE: i64 = 60_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + minutes * MINUTE)
}

fn id(n: u64) -> String {
    format!("row-{n:05}")
}

/// A replica of `rows` rows that were pulled at minute 0.
fn replica(settings: &Settings, rows: u64) -> Memory {
    let mut memory = Memory::default();
    let mut draft = Draft::new(&memory, settings, EPOCH, at(0)).expect("readable");
    let pulled: Vec<Arc<Record>> = (0..rows)
        .map(|n| json!({"id": id(n), "updatedAt": at(0).to_string(), "is_deleted": 0}))
        .map(|row| Arc::new(row.as_object().cloned().expect("an object")))
        .collect();
    drop(crate::engine::apply::rows(&mut draft, "end_user", &pulled).expect("readable"));
    let (set, _) = draft.finish();
    memory.apply(&set);
    memory
}

/// One listing, from the first look at the replica to its end; what it said of the type.
fn listing(memory: &mut Memory, settings: &Settings, listed: &[u64], minute: i64, accept: bool) -> TypeReconciled {
    let mut ids = Listed::default();
    listed.iter().for_each(|n| ids.add(&id(*n)));
    let ids = ids.whole();
    // Each slice is written before the next one is looked at, as the store does it.
    let mut step = |draw: &dyn Fn(&mut Draft<'_>) -> Read<Done>| {
        let mut draft = Draft::new(memory, settings, EPOCH, at(minute)).expect("readable");
        let done = draw(&mut draft).expect("readable");
        let (set, _) = draft.finish();
        memory.apply(&set);
        done
    };
    let (mut missing, mut after) = (0, Some(String::new()));
    while let Some(id) = after {
        let Done::Swept { missing: found, next, .. } = step(&|draft| sweep(draft, "end_user", &ids, &id)) else {
            panic!("a sweep")
        };
        missing += found;
        after = next;
    }
    let compared = Compared { missing, listed: listed.len() as u64, newest_id: listed.last().map(|n| id(*n)), accept };
    let mut so_far = None;
    loop {
        match step(&|draft| settle(draft, "end_user", &ids, &compared, so_far.as_ref())) {
            Done::Settling { so_far: further, .. } => so_far = Some(further),
            Done::Reconciled { result, .. } => return result,
            done => panic!("{done:?}"),
        }
    }
}

#[test]
fn a_row_is_deleted_only_when_every_brake_is_off() {
    let settings = Settings::new("http://127.0.0.1", None, &["end_user"]);
    struct Case(&'static str, u64, std::ops::Range<u64>, i64, bool, (u64, u64), (u64, u64));
    // Rows in the replica, rows in the listings, minutes between the two, accepted; then deleted and held after each.
    for Case(name, rows, listed, apart, accept, first, second) in [
        Case("nothing is missing", 30, 0..30, 6, false, (0, 0), (0, 0)),
        Case("a first listing only notes what it lacks", 30, 2..30, 1, false, (0, 2), (0, 2)),
        Case("two that agree, far enough apart, delete", 30, 2..30, 5, false, (0, 2), (2, 0)),
        Case("twenty rows are within the cap, whatever their share", 30, 20..30, 6, false, (0, 20), (20, 0)),
        Case("twenty-one of thirty are not", 30, 21..30, 6, false, (0, 21), (0, 21)),
        Case("a tenth of many is within the cap", 1_000, 100..1_000, 6, false, (0, 100), (100, 0)),
        Case("more than a tenth is not", 1_000, 101..1_000, 6, false, (0, 101), (0, 101)),
        Case("an empty listing deletes nothing, however small the type", 5, 0..0, 6, false, (0, 5), (0, 5)),
        Case("the cap is that of all rows, whatever the first slices deleted", 3_000, 300..3_000, 6, false, (0, 300), (300, 0)),
        Case("a person may say that it is right", 1_000, 500..1_000, 6, true, (500, 0), (0, 0)),
        Case("in as many slices as it takes", 2_000, 0..0, 6, true, (2_000, 0), (0, 0)),
        Case("an empty listing too", 5, 0..0, 6, true, (5, 0), (0, 0)),
    ] {
        let mut memory = replica(&settings, rows);
        let listed: Vec<u64> = listed.collect();
        let one = listing(&mut memory, &settings, &listed, 10, accept);
        let two = listing(&mut memory, &settings, &listed, 10 + apart, accept);
        assert_eq!(((one.deleted, one.held), (two.deleted, two.held)), (first, second), "{name}");
    }
}

#[test]
fn a_row_that_a_listing_shows_again_starts_anew() {
    let settings = Settings::new("http://127.0.0.1", None, &["end_user"]);
    let mut memory = replica(&settings, 30);
    let (all, fewer): (Vec<u64>, Vec<u64>) = ((0..30).collect(), (1..30).collect());
    assert_eq!(listing(&mut memory, &settings, &fewer, 10, false).held, 1);
    // A listing writes its rows before it is settled, and they take the note away.
    let mut draft = Draft::new(&memory, &settings, EPOCH, at(12)).expect("readable");
    let row = json!({"id": id(0), "updatedAt": at(0).to_string(), "is_deleted": 0});
    let row = Arc::new(row.as_object().cloned().expect("an object"));
    drop(crate::engine::apply::rows(&mut draft, "end_user", &[row]).expect("readable"));
    let (set, _) = draft.finish();
    memory.apply(&set);
    assert_eq!(listing(&mut memory, &settings, &all, 12, false).held, 0);
    let again = listing(&mut memory, &settings, &fewer, 18, false);
    assert_eq!((again.deleted, again.held), (0, 1), "the two that agree must follow each other");
}

#[test]
fn a_row_with_a_local_change_is_never_deleted_by_a_listing() {
    let settings = Settings::new("http://127.0.0.1", None, &["end_user"]);
    let mut memory = replica(&settings, 30);
    let overlay = Overlay { visible: Some(Arc::default()), entries: vec![1] };
    let write = Write::Overlay { epoch: EPOCH, entity_type: "end_user".to_owned(), id: id(0), overlay: Some(overlay) };
    let mut ledger = memory.ledger(EPOCH).expect("readable");
    ledger.outbox.pending = 1;
    memory.apply(&WriteSet { writes: vec![Write::Ledger(EPOCH, ledger), write] });
    let listed: Vec<u64> = (2..30).collect();
    for (minute, deleted) in [(10, 0), (16, 1)] {
        assert_eq!(listing(&mut memory, &settings, &listed, minute, false).deleted, deleted);
    }
    assert!(memory.row(EPOCH, "end_user", &id(0)).expect("readable").is_some_and(|row| row.is_live()));
}
