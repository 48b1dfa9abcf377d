//! Opening and closing: the directory, the lock, the format, the marks.

use std::fs;
use std::path::Path;

use super::super::error::OpenError;
use super::super::format::FORMAT;
use super::super::{FindingCode, Store};
use super::{open, options, sample};
use crate::engine::durable::{Cursor, EpochId, Ledger};
use crate::engine::view::View;
use crate::engine::write_set::{Write, WriteSet};

const EPOCH: EpochId = EpochId(1);

fn set(writes: Vec<Write>) -> WriteSet {
    WriteSet { writes }
}

fn refused(dir: &Path) -> String {
    Store::open(dir, options()).expect_err("it can't be opened").to_string()
}

#[test]
fn a_missing_directory_is_created_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("state");
    let (store, findings) = open(&dir);
    assert_eq!(findings, []);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&dir.metadata().unwrap().permissions()) & 0o777, 0o700);
    store.close().unwrap();
}

#[test]
fn a_missing_parent_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let message = refused(&parent.path().join("not-there/state"));
    assert!(message.contains("not-there does not exist; create it"), "{message}");
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    fs::write(&path, "precious").unwrap();
    assert!(refused(&path).contains("is not a directory"));
    assert!(refused(&path.join("below")).contains("is not a directory"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_second_daemon_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let message = refused(dir.path());
    let holder = format!("in use by aesyncd with pid {} since {}", std::process::id(), options().now);
    assert!(message.contains(&holder), "{message}");
    drop(store);
    open(dir.path());
}

#[test]
fn a_newer_format_is_refused_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let newer = FORMAT + 1;
    fs::write(dir.path().join("format"), format!("aesyncd state {newer}\n")).unwrap();
    let error = Store::open(dir.path(), options()).expect_err("too new");
    assert!(matches!(error, OpenError::NewerFormat { found, known: FORMAT, .. } if found == newer), "{error}");
    assert!(!dir.path().join("sled").exists());
}

#[test]
fn a_newer_format_is_refused_when_only_the_trees_tell() {
    use super::super::database::{Database, Tree};
    use super::super::{keys, value};
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.close().unwrap();
    let database = Database::open(&dir.path().join("sled"), 1 << 20).unwrap();
    let newer = value::encode(keys::FORMAT, &(FORMAT + 2)).unwrap();
    database.write(&[((Tree::Meta, keys::FORMAT.to_vec()), Some(newer))].into()).unwrap();
    drop(database);
    fs::write(dir.path().join("format"), "rubbish").unwrap();
    let error = Store::open(dir.path(), options()).expect_err("too new");
    assert!(matches!(error, OpenError::NewerFormat { found, known: FORMAT, .. } if found == FORMAT + 2), "{error}");
}

#[test]
fn only_a_stop_without_close_is_called_unclean() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.close().unwrap();
    let (store, findings) = open(dir.path());
    assert_eq!(findings, []);
    drop(store);
    let (_store, findings) = open(dir.path());
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [FindingCode::UncleanStop]);
}

#[test]
fn a_feed_that_ends_elsewhere_than_its_ledger_says_starts_anew_under_another_name() {
    for (what, changes) in [("longer", vec![3, 4, 5]), ("shorter", vec![3]), ("gone", vec![])] {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path());
        let mut writes = vec![
            Write::Registry(sample::registry(0)),
            Write::Ledger(EpochId(7), sample::ledger(3, 4)),
            Write::Cursor(EpochId(7), "end_user".to_owned(), sample::cursor(1)),
        ];
        writes.extend(changes.iter().map(|seq| Write::Change(EpochId(7), sample::change(*seq, 0))));
        store.apply(&set(writes)).unwrap();
        store.close().unwrap();
        let (store, findings) = open(dir.path());
        assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), [FindingCode::StoreInconsistent], "{what}");
        let reader = store.reader();
        let ledger = reader.ledger(EpochId(7)).unwrap();
        let last = changes.last().copied().unwrap_or(0).max(4);
        assert_eq!((ledger.first_seq, ledger.last_seq), (last + 1, last), "{what}");
        assert_ne!(ledger.log, "feed");
        assert_eq!(reader.changes(EpochId(7), 0, 10).unwrap(), []);
        assert_eq!(reader.cursor(EpochId(7), "end_user").unwrap(), Cursor { listing_owed: true, ..Cursor::default() });
        store.close().unwrap();
        assert_eq!(open(dir.path()).1, [], "it is sound from then on");
    }
}

#[test]
fn what_a_trim_left_over_goes_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let mut writes = vec![Write::Registry(sample::registry(0)), Write::Ledger(EpochId(7), sample::ledger(4, 5))];
    writes.extend((1..=5).map(|seq| Write::Change(EpochId(7), sample::change(seq, 0))));
    store.apply(&set(writes)).unwrap();
    store.close().unwrap();
    let (store, findings) = open(dir.path());
    assert_eq!(findings, []);
    let kept: Vec<u64> = store.reader().changes(EpochId(7), 0, 10).unwrap().iter().map(|change| change.seq).collect();
    assert_eq!(kept, [4, 5]);
}

#[test]
fn a_damaged_value_is_reported_with_its_name_and_the_others_still_read() {
    use super::super::database::{Database, Tree};
    use super::super::keys;
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let row = |id: &str, n| Write::Row { epoch: EPOCH, entity_type: "user".into(), id: id.into(), row: Some(sample::row(n)) };
    store.apply(&set(vec![row("a", 1), row("b", 2)])).unwrap();
    store.close().unwrap();
    let database = Database::open(&dir.path().join("sled"), 1 << 20).unwrap();
    let key = keys::row(EPOCH, "user", "a");
    let mut bytes = database.get(Tree::Replica, &key).unwrap().unwrap().to_vec();
    bytes[20] ^= 1;
    database.write(&[((Tree::Replica, key), Some(bytes))].into()).unwrap();
    drop(database);
    let (mut store, _) = open(dir.path());
    let error = store.reader().row(EPOCH, "user", "a").expect_err("damaged");
    assert_eq!(error.to_string(), "reading user a: its checksum does not fit");
    assert_eq!(store.reader().rows(EPOCH, "user", "", 10).unwrap(), [("b".to_owned(), sample::row(2))], "the page does not fail");
    assert_eq!(store.view().row(EPOCH, "user", "a").unwrap(), None, "the writer can put another one in its place");
    let mended = store.mend().unwrap().expect("something to mend");
    assert_eq!((mended.values, mended.types), (1, [("user".to_owned())].into()));
    assert_eq!(store.reader().row(EPOCH, "user", "a").unwrap(), None);
    assert_eq!(store.mend().unwrap(), None);
    store.apply(&set(vec![row("a", 1)])).unwrap();
    store.sync().unwrap();
    assert_eq!(store.reader().rows(EPOCH, "user", "", 10).unwrap().len(), 2);
}

#[test]
fn a_damaged_outbox_entry_is_restored_from_the_journal() {
    use super::super::database::{Database, Tree};
    use super::super::keys;
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let entry = sample::entry(EPOCH, 4, aesync_protocol::response::EntryState::Pending, 4);
    store.apply(&set(vec![Write::Entry(entry.clone())])).unwrap();
    store.close().unwrap();
    let database = Database::open(&dir.path().join("sled"), 1 << 20).unwrap();
    database.write(&[((Tree::Outbox, keys::entry(EPOCH, 4)), Some(vec![1; 30]))].into()).unwrap();
    drop(database);
    let (store, findings) = open(dir.path());
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [FindingCode::OutboxRestored]);
    assert_eq!(store.reader().entry(EPOCH, 4).unwrap(), Some(entry));
}

#[test]
fn a_long_trim_is_whole_after_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.apply(&set((1..=3_500).map(|seq| Write::Change(EPOCH, sample::change(seq, 0))).collect())).unwrap();
    store.apply(&set(vec![Write::TrimChanges { epoch: EPOCH, from: 1, to: 3_400 }])).unwrap();
    store.sync().unwrap();
    let kept = store.reader().changes(EPOCH, 0, 5_000).unwrap();
    assert_eq!((kept.len(), kept[0].seq), (101, 3_400));
}

#[test]
fn after_an_unclean_stop_every_type_of_every_identity_is_owed_a_listing_until_one_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let ledger = Ledger { records: [("user".to_owned(), 0)].into(), ..sample::ledger(1, 0) };
    let cursor = |epoch| Write::Cursor(EpochId(epoch), "end_user".to_owned(), sample::cursor(1));
    let mut writes = vec![Write::Registry(sample::registry(0)), Write::Ledger(EpochId(7), ledger)];
    writes.extend([cursor(7), cursor(8), Write::Ledger(EpochId(8), sample::ledger(1, 0))]);
    store.apply(&set(writes)).unwrap();
    store.sync().unwrap();
    let owed = |store: &Store| {
        let owed = |epoch, name| store.reader().cursor(EpochId(epoch), name).unwrap().listing_owed;
        [owed(7, "end_user"), owed(7, "user"), owed(8, "end_user"), owed(8, "user")]
    };
    assert_eq!(owed(&store), [false; 4]);
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(owed(&store), [true, true, true, false], "of the last one nothing is there");
    store.close().unwrap();
    let (store, findings) = open(dir.path());
    assert_eq!((findings, owed(&store)), (vec![], [true, true, true, false]), "a clean stop settles nothing");
}

#[test]
fn what_was_found_is_kept_until_it_is_acknowledged_even_if_the_store_is_lost_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.apply(&set(vec![Write::Registry(sample::registry(0))])).unwrap();
    store.close().unwrap();
    for times in 1..=2 {
        fs::write(super::rewrite::current(dir.path()).join("db"), "rubbish").unwrap();
        let (store, findings) = open(dir.path());
        assert_eq!(findings[0].code, FindingCode::StoreDamaged);
        // As a start that fails after this, or a kill, would leave it.
        drop(store);
        let (store, _) = open(dir.path());
        let told: Vec<_> = store.reader().notices().unwrap().shown().map(|item| (item.code, item.count)).collect();
        assert_eq!(told, [("outbox_restored".to_owned(), Some(times)), ("store_damaged".to_owned(), Some(times))]);
        store.close().unwrap();
    }
}

#[test]
fn notices_that_do_not_read_keep_nobody_from_starting() {
    use super::super::database::{Database, Tree};
    use super::super::keys;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.close().unwrap();
    let database = Database::open(&dir.path().join("sled"), 1 << 20).unwrap();
    database.write(&[((Tree::Meta, keys::NOTICES.to_vec()), Some(vec![1; 30]))].into()).unwrap();
    drop(database);
    let (store, findings) = open(dir.path());
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [FindingCode::StoreInconsistent]);
    assert!(store.reader().notices().unwrap().has("store_inconsistent"));
}

#[test]
fn a_damaged_change_is_passed_over_by_a_feed_that_begins_behind_it() {
    use super::super::database::Tree;
    use super::super::keys;
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let mut writes = vec![Write::Registry(sample::registry(0)), Write::Ledger(EpochId(7), sample::ledger(1, 2_500))];
    writes.extend((1..=2_500).map(|seq| Write::Change(EpochId(7), sample::change(seq, 0))));
    store.apply(&set(writes)).unwrap();
    store.sync().unwrap();
    store.settle();
    for seq in [1_200, 2_400] {
        store.spoil((Tree::Feed, keys::change(EpochId(7), seq)));
    }
    let reader = store.reader();
    reader.changes(EpochId(7), 1_150, 1_000).expect_err("damaged");
    let mended = store.mend().unwrap().expect("something to mend");
    assert_eq!((mended.values, mended.feeds), (1, [EpochId(7)].into()));
    let ledger = reader.ledger(EpochId(7)).unwrap();
    assert_eq!((ledger.log.as_str(), ledger.first_seq, ledger.last_seq), ("feed", 2_401, 2_500), "both are passed over");
    let kept = reader.changes(EpochId(7), 0, 5_000).unwrap();
    assert_eq!((kept.len(), kept[0].seq), (100, 2_401), "what was before them does not stay behind");
    assert_eq!(ledger.feed_bytes, kept.iter().map(crate::engine::admit::size).sum::<u64>());
    store.close().unwrap();
    assert_eq!(open(dir.path()).1, [], "it is sound");
}

#[test]
fn a_type_that_lost_a_record_is_owed_a_listing_over_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let row = Write::Row { epoch: EPOCH, entity_type: "user".into(), id: "a".into(), row: Some(sample::row(1)) };
    store.apply(&set(vec![row, Write::Cursor(EPOCH, "user".into(), sample::cursor(1))])).unwrap();
    store.sync().unwrap();
    store.settle();
    store.spoil_row(EPOCH, "user", "a");
    store.reader().row(EPOCH, "user", "a").expect_err("damaged");
    store.mend().unwrap().expect("something to mend");
    store.close().unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(store.reader().cursor(EPOCH, "user").unwrap(), Cursor { listing_owed: true, ..sample::cursor(1) });
}
