//! A load into the store keeps resident memory near the cache's bound, whatever that is.
//!
//! `AESYNC_MEMORY_ROWS` sets how many rows are loaded; the default is small enough for every run. Each load is a process of its own, whose
//! peak is its own.

#![allow(clippy::print_stdout, reason = "the process that loads tells by what it prints")]

use std::process::Command;
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
/// The cache that is set when nothing is said.
const CACHE: u64 = 64 << 20;
/// Beyond the cache: sled's buffers and page table, the page that is being written, and the process itself.
const BEYOND_CACHE: u64 = 64 << 20;
/// The cache of a process that loads, in bytes.
const CACHE_OF_CHILD: &str = "AESYNC_MEMORY_CACHE";

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
        let row =
            Row { record: record.clone().into(), hash: spread, updated_at: Some(at), deleted_at: None, missing_since: None };
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
        writes.push(Write::Change(EPOCH, EncodedChange::new(&change).expect("JSON")));
    }
    WriteSet { writes }
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let kilobytes = status.lines().find_map(|found| found.strip_prefix(line)?.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.expect("the line is there") * 1024
}

fn rows() -> u64 {
    std::env::var("AESYNC_MEMORY_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(80_000)
}

/// The peak of resident memory of a process that loads with a cache of so many bytes.
fn peak_with(cache: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", "memory::in_a_process_of_its_own", "--nocapture"]).env(CACHE_OF_CHILD, cache.to_string());
    let output = child.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("with a cache of {} MiB: {said}", cache >> 20);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let peak = said.lines().find_map(|line| line.split("PEAK ").nth(1)?.trim().parse().ok());
    peak.expect("it tells its peak")
}

#[test]
fn loading_rows_keeps_resident_memory_bounded_by_the_cache_that_is_set() {
    let (least, usual, most) = (peak_with(1 << 20), peak_with(CACHE), peak_with(1 << 30));
    assert!(usual < CACHE + BEYOND_CACHE, "peak resident memory {usual} bytes");
    // What sled keeps of a row is its key, where its value is, and the page that has them. All of it fits into the largest cache: half of
    // it at least does not stay with the least.
    let kept = rows() * 120;
    assert!(least + kept / 2 < most, "{least} and {most} bytes: the cache that is set makes no difference");
}

#[test]
fn in_a_process_of_its_own() {
    let Some(cache) = std::env::var(CACHE_OF_CHILD).ok().and_then(|cache| cache.parse().ok()) else { return };
    println!("PEAK {}", load(cache, rows()));
}

/// Loads, and gives the peak of this process's resident memory.
fn load(cache_bytes: u64, rows: u64) -> u64 {
    let dir = tempfile::tempdir().expect("a directory");
    let now = Timestamp::from_millis(1_700_000_000_000);
    let options = Options { cache_bytes, rewrite_floor: 64 << 20, overlap: Duration::from_secs(10), now };
    let (mut store, _) = Store::open(dir.path(), options).expect("it opens");
    let (start, mut longest) = (Instant::now(), 0);
    for first in (1..=rows).step_by(usize::try_from(PAGE).expect("small")) {
        let set = page(first);
        let began = Instant::now();
        store.apply(&set).expect("applied");
        longest = longest.max(began.elapsed().as_micros());
        store.sync().expect("synced");
        store.settle_when_due();
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
    let began = Instant::now();
    store.close().expect("closed");
    println!("closed in {:.1?}", began.elapsed());
    let began = Instant::now();
    Store::open(dir.path(), options).expect("it opens");
    println!("opened in {:.1?}", began.elapsed());
    peak
}
