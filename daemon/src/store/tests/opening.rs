//! Opening and closing: the directory, the lock, the format, the marks.

use std::fs;
use std::path::Path;

use super::super::error::OpenError;
use super::super::{FindingCode, Store};
use super::{open, options, sample};
use crate::engine::durable::EpochId;
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
    fs::write(dir.path().join("format"), "aesyncd state 4\n").unwrap();
    let error = Store::open(dir.path(), options()).expect_err("too new");
    assert!(matches!(error, OpenError::NewerFormat { found: 4, known: 3, .. }), "{error}");
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
    let newer = value::encode(keys::FORMAT, &7_u32).unwrap();
    database.write(&[((Tree::Meta, keys::FORMAT.to_vec()), Some(newer))].into()).unwrap();
    drop(database);
    fs::write(dir.path().join("format"), "rubbish").unwrap();
    let error = Store::open(dir.path(), options()).expect_err("too new");
    assert!(matches!(error, OpenError::NewerFormat { found: 7, known: 3, .. }), "{error}");
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
        assert_eq!(reader.cursor(EpochId(7), "end_user").unwrap(), crate::engine::durable::Cursor::default());
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
    let (mut store, _) = open(dir.path());
    store.reader().entry(EPOCH, 4).expect_err("damaged");
    assert_eq!(store.mend().unwrap().expect("something to mend").values, 1);
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
