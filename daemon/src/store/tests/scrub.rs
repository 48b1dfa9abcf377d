//! The check of all checksums: it finds each damaged value, once, while the store is written, and what it finds is mended.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use aesync_protocol::response::{CheckedSlice, EntryState, Remedy, StorePart};

use super::super::database::Tree;
use super::super::disk::gate;
use super::super::keys;
use super::child::{EPOCH, appended};
use super::{open, sample};
use crate::engine::durable::Ledger;
use crate::engine::view::View;
use crate::engine::write_set::{Write, WriteSet};
use crate::store::{Reader, Store};

/// All slices of a check.
fn check(reader: &Reader) -> Vec<CheckedSlice> {
    let mut slices: Vec<CheckedSlice> = Vec::new();
    loop {
        let after = slices.last().map(|slice| slice.next.clone());
        match after {
            Some(None) => return slices,
            after => slices.push(reader.check(after.flatten().as_deref()).unwrap().expect("its own position")),
        }
        assert!(slices.len() < 10_000, "the check never ends");
    }
}

fn values(slices: &[CheckedSlice]) -> BTreeMap<StorePart, u64> {
    let mut values = BTreeMap::new();
    for slice in slices {
        *values.entry(slice.part).or_default() += slice.values;
    }
    values
}

fn damaged(slices: &[CheckedSlice]) -> Vec<(StorePart, &str, Remedy)> {
    let all = slices.iter().flat_map(|slice| slice.damaged.iter().map(|value| (slice.part, value.what.as_str(), value.remedy)));
    all.collect()
}

fn set(writes: Vec<Write>) -> WriteSet {
    WriteSet { writes }
}

fn row(id: &str, n: u64, extra: usize) -> Write {
    let mut row = sample::row(n);
    Arc::make_mut(&mut row.record).insert("body".to_owned(), "x".repeat(extra).into());
    Write::Row { epoch: EPOCH, entity_type: "user".into(), id: id.into(), row: Some(row) }
}

fn store_of(dir: &std::path::Path, writes: Vec<Write>) -> Store {
    let (mut store, _) = open(dir);
    store.apply(&set(writes)).unwrap();
    store.sync().unwrap();
    store.settle();
    store
}

#[test]
fn each_damaged_value_is_named_with_what_becomes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let entry = sample::entry(EPOCH, 4, EntryState::Pending, 4);
    let store = store_of(
        dir.path(),
        vec![
            row("a", 1, 0),
            row("b", 2, 0),
            row("large", 3, 9_000),
            Write::Entry(entry),
            Write::Change(EPOCH, sample::change(1, 1)),
            Write::Registry(sample::registry(4)),
        ],
    );
    let slices = check(&store.reader());
    assert_eq!(damaged(&slices), []);
    let counts = values(&slices);
    assert_eq!((counts[&StorePart::Replica], counts[&StorePart::Outbox], counts[&StorePart::Feed]), (3, 2, 1), "{counts:?}");
    assert!(
        counts[&StorePart::Journal] >= 7 && slices.last().is_some_and(|slice| slice.part == StorePart::Journal),
        "{counts:?}"
    );

    store.spoil((Tree::Replica, keys::row(EPOCH, "user", "b")));
    store.spoil((Tree::Replica, keys::row(EPOCH, "user", "large")));
    store.spoil((Tree::Outbox, keys::entry(EPOCH, 4)));
    store.spoil((Tree::Feed, keys::change(EPOCH, 1)));
    store.spoil((Tree::Meta, keys::REGISTRY.to_vec()));
    assert_eq!(
        damaged(&check(&store.reader())),
        [
            (StorePart::Replica, "user b", Remedy::Fetched),
            (StorePart::Replica, "user large", Remedy::Fetched),
            (StorePart::Outbox, "outbox entry 4", Remedy::Restored),
            (StorePart::Feed, "change 1", Remedy::Fetched),
            (StorePart::Meta, "the registry", Remedy::Restart),
        ]
    );
}

#[test]
fn what_the_check_finds_is_mended_and_the_writer_is_called_for_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let entry = sample::entry(EPOCH, 4, EntryState::Pending, 4);
    let mut store = store_of(dir.path(), vec![row("a", 1, 0), row("b", 2, 0), Write::Entry(entry.clone())]);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    store.when_damaged(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    store.spoil((Tree::Replica, keys::row(EPOCH, "user", "b")));
    store.spoil((Tree::Outbox, keys::entry(EPOCH, 4)));
    assert_eq!(damaged(&check(&store.reader())).len(), 2);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(store.reader().entry(EPOCH, 4).is_err());

    let mended = store.mend().unwrap().expect("something to mend");
    assert_eq!((mended.values, mended.types), (2, ["user".to_owned()].into()));
    assert_eq!(store.reader().entry(EPOCH, 4).unwrap(), Some(entry), "the journal's");
    assert_eq!(store.reader().row(EPOCH, "user", "b").unwrap(), None, "to be fetched again");
    store.settle();
    assert_eq!(damaged(&check(&store.reader())), []);
    store.spoil((Tree::Replica, keys::row(EPOCH, "user", "a")));
    assert_eq!(damaged(&check(&store.reader())).len(), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "it is called for what comes later, too");
}

#[test]
fn a_damaged_tombstone_is_not_counted_out() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger { records: [("user".to_owned(), 2)].into(), ..sample::ledger(1, 0) };
    // Of these the row 3 is a tombstone.
    let mut store = store_of(dir.path(), vec![row("a", 1, 0), row("b", 2, 0), row("c", 3, 0), Write::Ledger(EPOCH, ledger)]);
    let records = |store: &Store| store.reader().ledger(EPOCH).unwrap().records["user"];
    for (id, left) in [("c", 2), ("a", 1)] {
        store.spoil((Tree::Replica, keys::row(EPOCH, "user", id)));
        store.reader().row(EPOCH, "user", id).expect_err("damaged");
        store.mend().unwrap().expect("something to mend");
        assert_eq!(records(&store), left, "{id} is gone");
        store.settle();
    }
}

#[test]
fn what_can_t_be_mended_yet_is_mended_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store_of(dir.path(), vec![row("a", 1, 0)]);
    store.spoil((Tree::Replica, keys::row(EPOCH, "user", "a")));
    store.reader().row(EPOCH, "user", "a").expect_err("damaged");
    store.apply(&set(vec![row("b", 2, 0)])).unwrap();
    store.sync().unwrap();
    // The group stays over the database while the disk has no room for what sled would write.
    let full = gate::fill(dir.path());
    assert_eq!(store.mend().unwrap(), None);
    drop(full);
    let mended = store.mend().unwrap().expect("it was not forgotten");
    assert_eq!((mended.values, mended.types), (1, ["user".to_owned()].into()));
}

#[test]
fn a_journal_that_does_not_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), vec![row("a", 1, 0), row("b", 2, 0)]);
    let path = dir.path().join("journal");
    // Behind what is written there are zeros.
    let written = std::fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    let middle = written as u64 / 2;
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    let slices = check(&store.reader());
    let [(StorePart::Journal, what, Remedy::Restart)] = damaged(&slices)[..] else { panic!("{slices:?}") };
    assert!(what.starts_with("the entry at byte "), "{what}");
}

#[test]
fn a_store_that_is_written_and_whose_journal_is_compacted_meanwhile_is_found_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.apply(&appended(1)).unwrap();
    store.sync().unwrap();
    let reader = store.reader();
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&over);
    let checks = thread::spawn(move || {
        let mut checks = 0;
        while !done.load(Ordering::SeqCst) || checks == 0 {
            let slices = check(&reader);
            assert_eq!(damaged(&slices), []);
            checks += 1;
        }
        checks
    });
    for number in 2..1_500 {
        store.apply(&appended(number)).unwrap();
        store.sync().unwrap();
        store.settle();
    }
    over.store(true, Ordering::SeqCst);
    let checks = checks.join().expect("no check failed");
    assert!(checks > 1, "{checks} checks beside the writes");
    assert!(dir.path().join("journal").metadata().unwrap().len() < 8 << 20, "it was compacted");
    assert_eq!(reader_of(&store), 1_499);
}

fn reader_of(store: &Store) -> u64 {
    store.reader().registry().unwrap().last_entry
}

#[test]
fn a_position_from_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(store.reader().check(Some("nowhere")).unwrap(), None);
}
