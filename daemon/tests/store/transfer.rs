//! What was exported is there after an import, and nothing else is imported.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aesync_protocol::Timestamp;
use aesync_protocol::response::{EntryOp, EntryState};
use aesync_protocol::status::OutboxStatus;
use aesyncd::engine::durable::{Entry, EpochId, Identity, Ledger, Registry, Row};
use aesyncd::engine::settings::Settings;
use aesyncd::engine::view::View;
use aesyncd::engine::write_set::{Write, WriteSet};
use aesyncd::store::{FindingCode, Options, Store};
use aesyncd::transfer::{Counts, TransferError, export, import};
use serde_json::json;

const EPOCH: EpochId = EpochId(1);

fn options() -> Options {
    let now = Timestamp::from_millis(1_700_000_000_000);
    Options { cache_bytes: 16 << 20, rewrite_floor: u64::MAX, overlap: Duration::from_secs(10), now }
}

fn settings() -> Settings {
    Settings::new("https://ae.example.com", None, &["end_user", "interactions"])
}

fn entry(number: u64) -> Entry {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let fields = json!({ "id": id, "title": format!("n{number}") }).as_object().cloned().expect("an object");
    let state = if number.is_multiple_of(2) { EntryState::Pending } else { EntryState::Quarantined };
    Entry { state, bytes: 80, ..Entry::new(EPOCH, number, ("interactions", &id), EntryOp::Create, fields, options().now) }
}

fn row(n: u64) -> Row {
    let record = json!({ "id": n.to_string(), "n": n }).as_object().cloned().expect("an object");
    Row {
        record: record.into(),
        hash: u128::from(n) << 90,
        updated_at: Some(options().now),
        deleted_at: None,
        missing_since: None,
    }
}

fn filled(dir: &Path) {
    let identity = Identity { server: "https://ae.example.com".into(), tenant: "t".into(), user: "u".into() };
    let registry = Registry { epochs: [(EPOCH, identity)].into(), current: Some(EPOCH), paused: false, last_entry: 7 };
    let outbox = OutboxStatus { pending: 3, quarantined: 4, bytes: 560, ..OutboxStatus::default() };
    let ledger = Ledger { log: "old".into(), records: [("end_user".into(), 1_203)].into(), outbox, ..Ledger::default() };
    let mut writes = vec![Write::Registry(registry), Write::Ledger(EPOCH, ledger)];
    writes.extend((1..=7).map(|number| Write::Entry(entry(number))));
    writes.extend((0..1_203).map(|n| {
        let id = format!("{n:06}");
        Write::Row { epoch: EPOCH, entity_type: "end_user".into(), id, row: Some(row(n)) }
    }));
    let (mut store, _) = Store::open(dir, options()).expect("it opens");
    store.apply(&WriteSet { writes }).expect("applied");
    store.close().expect("closed");
}

#[test]
fn what_was_exported_is_there_after_an_import_and_applications_see_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to, file) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("export.ndjson"));
    filled(&from);
    let counts = Counts { entries: 7, answers: 0, records: 1_203 };
    let mut told = Vec::new();
    assert_eq!(export(&from, options(), &file, &mut |done, total| told.push((done, total))).expect("exported").counts, counts);
    assert!(told.len() > 3 && told.is_sorted() && told.last() == Some(&(1_210, 1_210)), "{told:?}");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("there").permissions()) & 0o777, 0o600);
    told.clear();
    let imported = import(&to, options(), &settings(), &file, &mut |done, total| told.push((done, total)));
    assert_eq!(imported.expect("imported"), counts);
    assert!(told.len() > 2 && told.is_sorted() && told.last() == Some(&(1_210, 1_210)), "{told:?}");
    let (store, findings) = Store::open(&to, options()).expect("it opens");
    assert_eq!(findings, []);
    let reader = store.reader();
    assert_eq!(reader.entries(EPOCH, 0, 100).expect("read"), (1..=7).map(entry).collect::<Vec<_>>());
    let rows = reader.rows(EPOCH, "end_user", "", 2_000).expect("read");
    assert_eq!(rows, (0..1_203).map(|n| (format!("{n:06}"), row(n))).collect::<Vec<_>>());
    assert_eq!(reader.registry().expect("read").last_entry, 7);
    let ledger = reader.ledger(EPOCH).expect("read");
    assert_eq!((ledger.outbox.pending, ledger.outbox.quarantined, ledger.outbox.bytes), (3, 4, 560));
    assert_eq!(ledger.records["end_user"], 1_203);
    assert_ne!(ledger.log, "old", "it is another feed");
    let overlay = reader.overlay(EPOCH, "interactions", &entry(2).id).expect("read").expect("there");
    assert_eq!(overlay.visible, Some(entry(2).fields), "applications see the local change");
}

#[test]
fn a_file_that_is_no_whole_export_is_refused_by_line_and_nothing_is_imported() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to, file) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("export.ndjson"));
    filled(&from);
    export(&from, options(), &file, &mut |_, _| {}).expect("exported");
    let whole = fs::read_to_string(&file).expect("readable");
    let lines: Vec<&str> = whole.lines().collect();
    let broken = [
        ("cut off", lines[..lines.len() - 1].join("\n"), "its last line is missing"),
        ("one lacks", [&lines[..5], &lines[6..]].concat().join("\n"), "it should hold"),
        ("newer", whole.replacen("\"format\":1", "\"format\":2", 1), "format 2 is not known"),
        ("rubbish", format!("{whole}rubbish"), "it is no line of an export"),
        ("headless", lines[1..].join("\n"), "it does not begin as an export"),
        ("empty", String::new(), "its last line is missing"),
    ];
    for (what, text, problem) in broken {
        fs::write(&file, text).expect("writable");
        let error = import(&to, options(), &settings(), &file, &mut |_, _| {}).expect_err(what);
        assert!(matches!(error, TransferError::Line { .. }) && error.to_string().contains(problem), "{what}: {error}");
        assert!(!to.exists(), "{what}");
    }
}

#[test]
fn an_export_of_what_was_not_stopped_cleanly_leaves_that_to_the_daemons_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("from");
    filled(&from);
    let codes = |findings: &[aesyncd::store::Finding]| findings.iter().map(|finding| finding.code).collect::<Vec<_>>();
    export(&from, options(), &dir.path().join("1"), &mut |_, _| {}).expect("exported");
    let (store, findings) = Store::open(&from, options()).expect("it opens");
    assert_eq!(findings, [], "a clean stop stays one");
    drop(store);
    let exported = export(&from, options(), &dir.path().join("2"), &mut |_, _| {}).expect("exported");
    assert_eq!(codes(&exported.findings), [FindingCode::UncleanStop]);
    let (_store, findings) = Store::open(&from, options()).expect("it opens");
    assert_eq!(codes(&findings), [FindingCode::UncleanStop]);
}

#[test]
fn what_an_export_finds_is_told_and_kept_for_the_daemon() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("from");
    filled(&from);
    fs::write(from.join("sled").join("db"), "rubbish").expect("writable");
    let exported = export(&from, options(), &dir.path().join("1"), &mut |_, _| {}).expect("exported");
    let codes: Vec<_> = exported.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [FindingCode::StoreDamaged, FindingCode::OutboxRestored]);
    let (store, findings) = Store::open(&from, options()).expect("it opens");
    assert_eq!(findings, []);
    let notices = store.reader().notices().expect("read");
    assert!(notices.has("store_damaged") && notices.has("outbox_restored"), "{notices:?}");
    assert_eq!(store.reader().ledger(EPOCH).expect("read").rebuild, Some(0), "local changes have to be shown again");
}

#[test]
fn what_an_import_that_failed_left_is_opened_by_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to, file) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("export.ndjson"));
    filled(&from);
    export(&from, options(), &file, &mut |_, _| {}).expect("exported");
    // The second look at the file finds another one.
    let whole = fs::read_to_string(&file).expect("readable");
    let spoilt = file.clone();
    let mut spoil = move |_, _| fs::write(&spoilt, "rubbish").expect("writable");
    import(&to, options(), &settings(), &file, &mut spoil).expect_err("the file changed");
    fs::write(&file, whole).expect("writable");
    for what in ["an import", "the daemon"] {
        let error = match what {
            "an import" => import(&to, options(), &settings(), &file, &mut |_, _| {}).expect_err(what).to_string(),
            _ => Store::open(&to, options()).expect_err(what).to_string(),
        };
        assert!(error.contains("a part of an import that was cut short; remove the directory"), "{what}: {error}");
    }
    fs::remove_dir_all(&to).expect("removed");
    import(&to, options(), &settings(), &file, &mut |_, _| {}).expect("imported");
}

#[test]
fn nothing_is_overwritten_by_either() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, file) = (dir.path().join("from"), dir.path().join("export.ndjson"));
    filled(&from);
    export(&from, options(), &file, &mut |_, _| {}).expect("exported");
    let error = export(&from, options(), &file, &mut |_, _| {}).expect_err("the file is there");
    assert!(matches!(error, TransferError::File { .. }), "{error}");
    let error = import(&from, options(), &settings(), &file, &mut |_, _| {}).expect_err("the store is in use");
    assert!(matches!(error, TransferError::NotEmpty(_)), "{error}");
}
