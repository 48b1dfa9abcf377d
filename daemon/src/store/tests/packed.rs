//! What is packed into blocks: found by its key and in order wherever it stands, whole when it is large, and never missed when it is lost.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use aesync_protocol::response::EntryState;

use super::super::database::{Database, Tree, Writes};
use super::super::format::FORMAT;
use super::super::{compact, keys, packed, value};
use super::child::EPOCH;
use super::dice::Dice;
use super::{open, sample};
use crate::engine::durable::EpochId;
use crate::engine::view::View;
use crate::engine::write_set::{Write, WriteSet};
use crate::store::Store;

type Model = BTreeMap<(Tree, Vec<u8>), Vec<u8>>;

/// A key of any kind, near to many others.
fn key(dice: &mut Dice) -> (Tree, Vec<u8>) {
    let epoch = EpochId(if dice.below(4) == 0 { 8 } else { 7 });
    let number = dice.below(300) as u64;
    match dice.below(5) {
        0 => (Tree::Feed, keys::change(epoch, number)),
        1 => (Tree::Outbox, keys::entry(epoch, number)),
        2 => (Tree::Outbox, keys::place(epoch, if dice.below(2) == 0 { EntryState::Pending } else { EntryState::Sent }, number)),
        3 => (Tree::Outbox, keys::answer(epoch, &format!("e{number:08}"))),
        _ => (Tree::Replica, keys::row(epoch, "user", &number.to_string())),
    }
}

fn value_of(dice: &mut Dice) -> Vec<u8> {
    let length = [3, 100, 130, 2_000, 5_000, 70_000][dice.below(6)];
    let seed = dice.below(200);
    // What begins as a mark does must not be taken for one.
    let first = [1, 0xA7, 0xA8][dice.below(3)];
    std::iter::once(first).chain((1..length).map(|n| u8::try_from((seed + n) % 251).unwrap())).collect()
}

fn from_model(model: &Model, tree: Tree, prefix: &[u8], from: Bound<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_before = |key: &[u8]| match from {
        Bound::Included(from) => key < from,
        Bound::Excluded(from) => key <= from,
        Bound::Unbounded => false,
    };
    let all = model.iter().filter(|((of, key), _)| *of == tree && !is_before(key)).map(|((_, key), value)| (key, value));
    all.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn scanned(database: &Database, tree: Tree, prefix: &[u8], from: Bound<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        true
    };
    database.scan(tree, prefix, from, &mut each).unwrap();
    found
}

#[test]
fn a_database_is_a_map_whatever_is_packed_or_stands_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::open(dir.path(), 1 << 20).unwrap();
    let (mut model, mut dice) = (Model::new(), Dice(71));
    let (mut counted, mut live) = (0_i64, BTreeMap::new());
    for round in 0..120 {
        let mut writes = Writes::new();
        for _ in 0..dice.below(40) {
            let value = (dice.below(3) > 0).then(|| value_of(&mut dice));
            writes.insert(key(&mut dice), value);
        }
        let exchanged = database.exchange(writes.iter().map(|(place, value)| (place, value.as_deref())), |place, new, old| {
            assert_eq!(old, live.get(place).copied(), "{place:?}");
            match new {
                Some(new) => live.insert(place.clone(), new),
                None => live.remove(place),
            };
        });
        let footprint = exchanged.unwrap();
        counted += footprint.came as i64 - footprint.went as i64;
        for (place, value) in writes {
            match value {
                Some(value) => model.insert(place, value),
                None => model.remove(&place),
            };
        }
        for _ in 0..20 {
            let (tree, key) = key(&mut dice);
            assert_eq!(database.get(tree, &key).unwrap(), model.get(&(tree, key.clone())).cloned(), "{tree:?} {key:?}");
            let epoch = EpochId(7);
            for (prefix, from) in [
                (keys::changes(epoch), Bound::Excluded(key.as_slice())),
                (keys::entries(epoch), Bound::Included(key.as_slice())),
                (keys::answers(epoch), Bound::Excluded(key.as_slice())),
                (Vec::new(), Bound::Unbounded),
                (Vec::new(), Bound::Excluded(key.as_slice())),
            ] {
                assert_eq!(scanned(&database, tree, &prefix, from), from_model(&model, tree, &prefix, from), "{tree:?} {from:?}");
            }
        }
        let places: std::collections::BTreeSet<_> = (0..50).map(|_| key(&mut dice)).collect();
        let expected = places.iter().map(|place| (place.clone(), model.get(place).cloned())).collect();
        assert_eq!(database.get_all(places.into_iter()).unwrap(), expected);
        let last = from_model(&model, Tree::Feed, &keys::changes(EpochId(7)), Bound::Included(&keys::changes(EpochId(7))));
        let last = last.last().and_then(|(key, _)| keys::last_number(key));
        assert_eq!(database.last_change(&keys::changes(EpochId(7))).unwrap(), last);
        assert_eq!(database.live(|| true).unwrap(), u64::try_from(counted).unwrap(), "round {round}");
        if round % 30 == 29 {
            drop(database);
            database = Database::open(dir.path(), 1 << 20).unwrap();
        }
    }
}

/// A store of so many entries and changes.
fn store_of(dir: &Path, count: u64) -> Store {
    let (mut store, _) = open(dir);
    let entry = |number| Write::NewEntry(sample::entry(EPOCH, number, EntryState::Pending, number));
    let mut writes = vec![Write::Registry(sample::registry(count)), Write::Ledger(EPOCH, sample::ledger(1, count))];
    writes.extend((1..=count).flat_map(|number| [entry(number), Write::Change(EPOCH, sample::change(number, number))]));
    store.apply(&WriteSet { writes }).unwrap();
    store.sync().unwrap();
    store.settle();
    store
}

/// Makes the block unreadable that a key is in.
fn lose(store: &Store, tree: Tree, key: &[u8]) {
    let (block, _) = packed::place(tree, key).unwrap();
    store.database_in_use().tree(tree).insert(block, vec![1, 200, 0, 0, 0, 9]).unwrap();
}

#[test]
fn entries_of_a_block_that_is_lost_come_back_from_the_journal_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store_of(dir.path(), 100);
    let reader = store.reader();
    let whole = reader.entries(EPOCH, 0, 1_000).unwrap();
    lose(&store, Tree::Outbox, &keys::entry(EPOCH, 70));
    lose(&store, Tree::Outbox, &keys::place(EPOCH, EntryState::Pending, 3));
    reader.entries(EPOCH, 0, 1_000).expect_err("entry 64 is damaged");
    store.mend().unwrap().expect("something to mend");
    assert_eq!(reader.entries(EPOCH, 0, 1_000).unwrap(), whole);
    // The index of what is there does not read either, which its readers need not notice.
    assert_eq!(reader.entries_in(EPOCH, EntryState::Pending, 0, 1_000).unwrap(), whole);
    store.settle();
    let slice = reader.check(Some("outbox:")).unwrap().expect("its own position");
    assert!(!slice.damaged.is_empty());
    store.mend().unwrap().expect("something to mend");
    store.settle();
    let slice = reader.check(Some("outbox:")).unwrap().expect("its own position");
    assert_eq!((slice.damaged.len(), slice.values), (0, 200), "entries and their index, and nothing besides");
}

#[test]
fn a_feed_begins_behind_a_block_that_is_lost_and_goes_on_where_it_was() {
    for (count, lost, first) in [(100, 5, 64), (100, 70, 101), (100, 100, 101), (64, 64, 65)] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store_of(dir.path(), count);
        let reader = store.reader();
        lose(&store, Tree::Feed, &keys::change(EPOCH, lost));
        reader.changes(EPOCH, 0, 1_000).expect_err("damaged");
        store.mend().unwrap().expect("something to mend");
        store.settle();
        let ledger = reader.ledger(EPOCH).unwrap();
        assert_eq!((ledger.first_seq, ledger.last_seq), (first, count), "{lost} of {count}");
        let seqs = |reader: &crate::store::Reader| {
            reader.changes(EPOCH, 0, 1_000).unwrap().iter().map(|change| change.seq).collect::<Vec<_>>()
        };
        assert_eq!(seqs(&reader), (first..=count).collect::<Vec<_>>(), "{lost} of {count}");
        let next =
            vec![Write::Change(EPOCH, sample::change(count + 1, 1)), Write::Ledger(EPOCH, sample::ledger(first, count + 1))];
        store.apply(&WriteSet { writes: next }).unwrap();
        store.sync().unwrap();
        store.settle();
        assert_eq!(seqs(&reader), (first..=count + 1).collect::<Vec<_>>(), "{lost} of {count}");
        store.close().unwrap();
        assert_eq!(open(dir.path()).1, [], "{lost} of {count}");
    }
}

#[test]
fn changes_that_are_added_to_a_block_that_is_lost_do_not_hide_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store_of(dir.path(), 100);
    lose(&store, Tree::Feed, &keys::change(EPOCH, 100));
    let more = vec![Write::Change(EPOCH, sample::change(101, 1)), Write::Ledger(EPOCH, sample::ledger(1, 101))];
    store.apply(&WriteSet { writes: more }).unwrap();
    store.sync().unwrap();
    store.settle();
    let error = store.reader().changes(EPOCH, 0, 1_000).expect_err("those before it are gone");
    assert!(error.what.ends_with(", 64"), "{error}");
    store.mend().unwrap().expect("something to mend");
    store.settle();
    assert_eq!(store.reader().changes(EPOCH, 0, 1_000).unwrap(), []);
    let ledger = store.reader().ledger(EPOCH).unwrap();
    assert_eq!((ledger.first_seq, ledger.last_seq), (102, 101), "what follows it can't be told from what is lost");
}

/// The database of a store of format 3, as it was written: each entry and each change by itself, and a large row in pieces.
fn of_format_3(dir: &Path, writes: &Writes) {
    let db = sled::Config::new().path(dir.join("sled")).open().unwrap();
    let trees =
        BTreeMap::from([(Tree::Replica, "replica"), (Tree::Outbox, "outbox"), (Tree::Feed, "feed"), (Tree::Meta, "meta")]);
    let pieces = db.open_tree("apart").unwrap();
    for (number, ((tree, key), value)) in (1_u128..).zip(writes) {
        let value = value.as_deref().unwrap();
        let stored = if value.len() > 1_000 {
            for (index, piece) in (0_u32..).zip(value.chunks(3_000)) {
                pieces.insert([number.to_be_bytes().as_slice(), &index.to_be_bytes()].concat(), piece).unwrap();
            }
            let length = u32::try_from(value.len()).unwrap();
            [&[0xA7], number.to_be_bytes().as_slice(), &length.to_be_bytes()].concat()
        } else {
            value.to_vec()
        };
        db.open_tree(trees[tree]).unwrap().insert(key, stored).unwrap();
    }
    db.flush().unwrap();
}

#[test]
fn a_store_of_format_3_is_taken_over_with_everything_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), 200);
    let mut row = sample::row(1);
    Arc::make_mut(&mut row.record).insert("body".to_owned(), "x".repeat(9_000).into());
    let mut writes = Writes::new();
    for tree in [Tree::Outbox, Tree::Feed, Tree::Meta] {
        for (key, value) in scanned(&store.database_in_use(), tree, &[], Bound::Unbounded) {
            writes.insert((tree, key), Some(value));
        }
    }
    let large = keys::row(EPOCH, "user", "large");
    writes.insert((Tree::Replica, large.clone()), Some(value::encode_row(&large, &row).unwrap()));
    writes.insert((Tree::Meta, keys::FORMAT.to_vec()), Some(value::encode(keys::FORMAT, &3_u32).unwrap()));
    let reader = store.reader();
    let (entries, changes) = (reader.entries(EPOCH, 0, 1_000).unwrap(), reader.changes(EPOCH, 0, 1_000).unwrap());
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("sled")).unwrap();
    std::fs::write(dir.path().join("format"), "aesyncd state 3\n").unwrap();
    of_format_3(dir.path(), &writes);

    for start in 1..=2 {
        let (store, findings) = open(dir.path());
        assert_eq!(findings, [], "start {start}");
        let reader = store.reader();
        assert_eq!(reader.entries(EPOCH, 0, 1_000).unwrap(), entries);
        assert_eq!(reader.entries_in(EPOCH, EntryState::Pending, 0, 1_000).unwrap(), entries);
        assert_eq!(reader.changes(EPOCH, 0, 1_000).unwrap(), changes);
        assert_eq!(reader.row(EPOCH, "user", "large").unwrap(), Some(row.clone()));
        store.close().unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("format")).unwrap(), format!("aesyncd state {FORMAT}\n"));
    }
}

/// Makes the database of a store what it was in format 4: rows and overlays have the whole of their ids in their keys.
fn as_in_format_4(dir: &Path) {
    let db = sled::Config::new().path(dir.join("sled")).open().unwrap();
    let (short, whole) = (db.open_tree("replica-5").unwrap(), db.open_tree("replica").unwrap());
    for pair in &short {
        let (key, stored) = pair.unwrap();
        whole.insert(compact::key(Tree::Replica, &key), stored).unwrap();
    }
    let format = value::encode(keys::FORMAT, &4_u32).unwrap();
    db.open_tree("meta").unwrap().insert(keys::FORMAT, format).unwrap();
    db.drop_tree("replica-5").unwrap();
    db.flush().unwrap();
    std::fs::write(dir.join("format"), "aesyncd state 4\n").unwrap();
}

#[test]
fn a_store_of_format_4_is_taken_over_with_its_rows_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_of(dir.path(), 200);
    let rows = |store: &Store| {
        let reader = store.reader();
        (reader.rows(EPOCH, "user", "", 1_000).unwrap(), reader.overlays(EPOCH, "user", "", 1_000).unwrap())
    };
    let write = |id: String| Write::Row { epoch: EPOCH, entity_type: "user".to_owned(), id, row: Some(sample::row(1)) };
    let ids =
        (0..300_u32).map(|n| if n % 3 == 0 { format!("Z{n}") } else { format!("{:08x}-0000-4000", n.wrapping_mul(0x9E37_79B9)) });
    let mut store = store;
    store.apply(&WriteSet { writes: ids.map(write).collect() }).unwrap();
    store.sync().unwrap();
    let before = rows(&store);
    assert!(before.0.len() >= 300 && before.0.is_sorted_by_key(|(id, _)| id.clone()));
    store.close().unwrap();
    as_in_format_4(dir.path());

    for start in 1..=2 {
        let (store, findings) = open(dir.path());
        assert_eq!(findings, [], "start {start}");
        assert_eq!(rows(&store), before);
        for (id, row) in &before.0 {
            assert_eq!(store.reader().row(EPOCH, "user", id).unwrap().as_ref(), Some(row));
        }
        store.close().unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("format")).unwrap(), format!("aesyncd state {FORMAT}\n"));
    }
}
