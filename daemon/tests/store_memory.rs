//! A load into the store keeps resident memory near the cache's bound.
//!
//! `AESYNC_MEMORY_ROWS` sets how many rows are loaded; the default is small enough for every run.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, reason = "a failed expectation fails the test")]

use std::time::{Duration, Instant};

use aesync_protocol::Timestamp;
use aesync_protocol::codec::EncodedChange;
use aesync_protocol::event::{Change, ChangeOp, Origin};
use aesyncd::engine::durable::{Cursor, EpochId, Ledger, Row};
use aesyncd::engine::view::View;
use aesyncd::engine::write_set::{Write, WriteSet};
use aesyncd::store::{Options, Store};
use serde_json::json;

const EPOCH: EpochId = EpochId(1);
/// Rows in a write set, as a pull stores them.
const PAGE: u64 = 200;
const CACHE: u64 = 64 << 20;
/// Beyond the cache: sled's buffers and page table, the page that is being written, and the process itself.
const BEYOND_CACHE: u64 = 128 << 20;

/// A page of rows of 500 bytes with ids that are spread as UUIDs are, each with its change.
fn page(first: u64) -> WriteSet {
    let mut writes = vec![
        Write::Ledger(EPOCH, Ledger { last_seq: first + PAGE - 1, first_seq: 1, ..Ledger::default() }),
        Write::Cursor(EPOCH, "user".into(), Cursor { canary: Some(first.to_string()), ..Cursor::default() }),
    ];
    for seq in first..first + PAGE {
        let spread = u128::from(seq).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let id = format!("{spread:032x}");
        let record = json!({ "id": id, "text": format!("{spread:0440x}") }).as_object().cloned().expect("an object");
        let at = Timestamp::from_millis(1_700_000_000_000);
        let row = Row { record: record.clone(), hash: spread, updated_at: Some(at), deleted_at: None, missing_since: None };
        writes.push(Write::Row { epoch: EPOCH, entity_type: "user".into(), id: id.clone(), row: Some(row) });
        let entity_type = "user".to_owned();
        let change = Change {
            seq,
            op: ChangeOp::Upsert,
            entity_type,
            id,
            record: Some(record),
            origin: Origin::Server,
            pending: false,
            at,
        };
        writes.push(Write::Change(EPOCH, EncodedChange::new(change).expect("JSON")));
    }
    WriteSet { writes }
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let kilobytes = status.lines().find_map(|found| found.strip_prefix(line)?.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.expect("the line is there") * 1024
}

#[test]
fn loading_rows_keeps_resident_memory_bounded() {
    let rows = std::env::var("AESYNC_MEMORY_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(20_000_u64);
    let dir = tempfile::tempdir().expect("a directory");
    let now = Timestamp::from_millis(1_700_000_000_000);
    let options = Options { cache_bytes: CACHE, rewrite_floor: 64 << 20, overlap: Duration::from_secs(10), now };
    let (mut store, _) = Store::open(dir.path(), options).expect("it opens");
    let (start, mut longest) = (Instant::now(), 0);
    for first in (1..=rows).step_by(usize::try_from(PAGE).expect("small")) {
        let set = page(first);
        let began = Instant::now();
        store.apply(&set).expect("applied");
        longest = longest.max(began.elapsed().as_micros());
        store.sync().expect("synced");
    }
    let took = start.elapsed();
    let (resident, peak) = (memory("VmRSS:"), memory("VmHWM:"));
    let sizes = store.reader().sizes().expect("sizes");
    println!(
        "{rows} rows in {took:.1?}, longest apply {longest} us; resident {} MiB, peak {} MiB; {sizes:?}",
        resident >> 20,
        peak >> 20
    );
    assert_eq!(store.reader().changes(EPOCH, rows - 1, 10).expect("read").len(), 1);
    assert!(peak < CACHE + BEYOND_CACHE, "peak resident memory {peak} bytes");
    let began = Instant::now();
    store.close().expect("closed");
    println!("closed in {:.1?}", began.elapsed());
    let began = Instant::now();
    Store::open(dir.path(), options).expect("it opens");
    println!("opened in {:.1?}", began.elapsed());
}
