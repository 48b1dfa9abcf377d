use std::collections::BTreeSet;

use aesync_protocol::Timestamp;
use aesync_protocol::response::EntryOp;
use aesync_protocol::status::OutboxStatus;
use serde_json::json;

use super::*;
use crate::engine::Now;
use crate::engine::durable::{Entry, EpochId, Ledger, Row};
use crate::engine::effect::CallId;
use crate::engine::transact::Step;
use crate::engine::view::View as _;
use crate::engine::write_set::{Write, WriteSet};
use crate::store::Options;

const EPOCH: EpochId = EpochId(1);

fn options() -> Options {
    let now = Timestamp::from_millis(0);
    Options { cache_bytes: 1 << 20, rewrite_floor: u64::MAX, overlap: Duration::ZERO, now }
}

#[test]
fn what_a_reader_finds_damaged_is_mended_though_nobody_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = Store::open(dir.path(), options()).expect("the store opens");
    let record = json!({"id": "a"}).as_object().cloned().expect("an object");
    let row = Row { record: record.into(), hash: 1, updated_at: None, deleted_at: None, missing_since: None };
    let write = Write::Row { epoch: EPOCH, entity_type: "user".into(), id: "a".into(), row: Some(row) };
    store.apply(&WriteSet { writes: vec![write] }).expect("applied");
    store.sync().expect("durable");
    store.settle();
    store.spoil_row(EPOCH, "user", "a");
    let reader = store.reader();
    let (reports, mut told) = mpsc::channel(4);
    let mut transactor = Transactor::start(store, reports).expect("a thread");
    reader.row(EPOCH, "user", "a").expect_err("damaged");
    transactor.stop();
    let groups: Vec<Report> = std::iter::from_fn(|| told.blocking_recv()).flatten().collect();
    let [Report::Mended(mended)] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((mended.values, &mended.types), (1, &BTreeSet::from(["user".to_owned()])));
}

#[test]
fn a_group_is_closed_before_it_takes_much_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = Store::open(dir.path(), options()).expect("the store opens");
    let view = store.view();
    let settings = Arc::new(Settings::new("http://127.0.0.1", None, &["user"]));
    let page = |number: u32| {
        let row = json!({"id": number.to_string(), "body": "x".repeat(1 << 20)}).as_object().cloned().expect("an object");
        let step = Step::Rows { entity_type: "user".to_owned(), rows: vec![row.into()] };
        (Box::new(Txn { epoch: EPOCH, at: Timestamp::from_millis(0), step }), Arc::clone(&settings))
    };
    let mut pages = (0..20).map(page);
    let groups: Vec<usize> = std::iter::from_fn(|| {
        let (done, next) = commit(&mut store, &view, pages.by_ref());
        assert!(next.is_none(), "nothing is made in pieces");
        Some(done).filter(|done| !done.is_empty()).map(|done| {
            assert!(done.iter().all(|report| matches!(report, Report::Committed(_))), "{done:?}");
            assert_eq!((store.staged(), store.staged_bytes()), (0, 0));
            done.len()
        })
    })
    .collect();
    assert_eq!(groups.iter().sum::<usize>(), 20);
    // A row and its change are some 2 MB.
    assert!(groups.iter().all(|group| *group <= 3), "{groups:?}");
}

#[test]
fn half_of_many_that_wait_make_a_group() {
    let groups = [0, 1, FEW, FEW + 1, 2 * FEW, 64, 2 * GROUP, 100 * GROUP].map(group_of);
    assert_eq!(groups, [FEW, FEW, FEW, FEW, FEW, 32, GROUP, GROUP]);
}

#[test]
fn all_that_waits_at_a_stop_is_done_in_its_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, _) = Store::open(dir.path(), options()).expect("the store opens");
    let (reports, mut told) = mpsc::channel(64);
    let mut transactor = Transactor::start(store, reports).expect("a thread");
    let settings = Arc::new(Settings::new("http://127.0.0.1", None, &["interactions"]));
    for call in 0..100 {
        let id = format!("00000000-0000-4000-8000-{call:012}");
        let entity = json!({"id": id, "type": "call", "title": "t", "description": "d", "date": "2026-01-31T12:00:00.000Z"});
        let seed = Now { wall: Timestamp::from_millis(0), mono: Duration::ZERO, dice: u128::from(call) };
        let changes = vec![("interactions".to_owned(), vec![entity])];
        let step = Step::Enqueue { call: CallId(call), changes, request_id: None, seed };
        let txn = Box::new(Txn { epoch: EPOCH, at: Timestamp::from_millis(0), step });
        transactor.submit(txn, Arc::clone(&settings)).expect("there is room");
    }
    let told = std::thread::spawn(move || std::iter::from_fn(|| told.blocking_recv()).flatten().collect::<Vec<_>>());
    transactor.stop();
    let calls: Vec<_> = told
        .join()
        .expect("told")
        .into_iter()
        .map(|report| match report {
            Report::Committed(outcome) => match outcome.done {
                Done::Enqueued { call, .. } => call.0,
                done => panic!("{done:?}"),
            },
            report => panic!("{report:?}"),
        })
        .collect();
    assert_eq!(calls, (0..100).collect::<Vec<u64>>());
}

fn entry(number: u64) -> Entry {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let fields = json!({"id": id, "title": number}).as_object().cloned().expect("an object");
    Entry { bytes: 60, ..Entry::new(EPOCH, number, ("interactions", &id), EntryOp::Create, fields, Timestamp::from_millis(0)) }
}

#[test]
fn an_outbox_without_overlays_gets_them_in_pieces_before_anything_else_is_done() {
    const ENTRIES: u64 = 1_234;
    let dir = tempfile::tempdir().expect("a directory");
    let (mut store, _) = Store::open(dir.path(), options()).expect("the store opens");
    let outbox = OutboxStatus { pending: ENTRIES, bytes: 60 * ENTRIES, ..OutboxStatus::default() };
    let ledger = Ledger { log: "log".into(), first_seq: 1, rebuild: Some(0), outbox, ..Ledger::default() };
    let mut writes = vec![Write::Ledger(EPOCH, ledger)];
    writes.extend((1..=ENTRIES).map(|number| Write::Entry(entry(number))));
    store.apply(&WriteSet { writes }).expect("applied");
    store.sync().expect("durable");
    let reader = store.reader();
    let (reports, mut told) = mpsc::channel(64);
    let mut transactor = Transactor::start(store, reports).expect("a thread");
    let step = Step::Take { after: 0, count: 1, except: BTreeSet::new() };
    let settings = Settings::new("http://127.0.0.1", None, &["interactions"]);
    let txn = Box::new(Txn { epoch: EPOCH, at: Timestamp::from_millis(0), step });
    transactor.submit(txn, Arc::new(settings)).expect("there is room");
    let (mut groups, mut changes) = (0, 0);
    let taken = loop {
        let group = told.blocking_recv().expect("the thread runs");
        groups += 1;
        let last = group.into_iter().fold(None, |_, report| {
            let Report::Committed(outcome) = report else { panic!("{report:?}") };
            changes += outcome.written.changes.len() as u64;
            Some(outcome.done)
        });
        match last.expect("a report") {
            Done::Rebuilding => {
                assert!(reader.ledger(EPOCH).expect("readable").rebuild.is_some(), "it is known how far it came")
            }
            done => break done,
        }
    };
    let Done::Taken { entries, .. } = taken else { panic!("{taken:?}") };
    assert_eq!(entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1]);
    assert!(groups > 1, "one group holds only so much");
    assert_eq!((changes, reader.ledger(EPOCH).expect("readable").rebuild), (ENTRIES, None));
    let seen = reader.overlays(EPOCH, "interactions", "", 5_000).expect("readable");
    assert_eq!(seen.len() as u64, ENTRIES);
    transactor.stop();
}
