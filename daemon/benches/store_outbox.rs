//! An outbox of a million entries, filled and drained five times: memory and disk have to be flat from the second time on.
//!
//! `cargo bench -p aesyncd --bench store_outbox`; `AESYNC_BENCH_ENTRIES` sets another number.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a bench")]

use std::time::{Duration, Instant};

use aesync_protocol::Timestamp;
use aesync_protocol::response::EntryOp;
use aesyncd::engine::durable::{Entry, EpochId, Identity, Ledger, Registry};
use aesyncd::engine::write_set::{Write, WriteSet};
use aesyncd::store::{Options, Store};
use serde_json::json;

const EPOCH: EpochId = EpochId(1);
const ROUNDS: u64 = 5;
/// Entries in one write set.
const GROUP: u64 = 500;

fn main() {
    aesync_allocator::keep_little();
    let entries = std::env::var("AESYNC_BENCH_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000_u64);
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let options = Options { cache_bytes: 64 << 20, rewrite_floor: 64 << 20, overlap: Duration::from_secs(10), now };
    let (mut store, _) = Store::open(dir.path(), options).unwrap();
    println!("{entries} entries of 300 B, {GROUP} to a write set");
    println!(
        "{:>5} {:>10} {:>10} {:>12} {:>12} {:>12}",
        "round", "filled/s", "drained/s", "full MB", "drained MB", "resident MB"
    );
    for round in 0..ROUNDS {
        let numbers = round * entries + 1..=(round + 1) * entries;
        let fill = |first: u64| (first..first + GROUP).map(|number| Write::Entry(entry(number))).collect();
        let filled = each_group(&mut store, *numbers.start(), *numbers.end(), fill);
        let full = size(&store);
        let drain = |first: u64| (first..first + GROUP).map(|number| Write::RemoveEntry(EPOCH, number)).collect();
        let drained = each_group(&mut store, *numbers.start(), *numbers.end(), drain);
        println!("{:>5} {filled:>10.0} {drained:>10.0} {full:>12} {:>12} {:>12}", round + 1, size(&store), resident());
    }
    store.close().unwrap();
}

/// Write sets one after the other, each durable; entries a second.
fn each_group(store: &mut Store, first: u64, last: u64, writes: impl Fn(u64) -> Vec<Write>) -> f64 {
    let start = Instant::now();
    for first in (first..=last).step_by(usize::try_from(GROUP).unwrap()) {
        let mut writes = writes(first);
        let epochs = [(EPOCH, Identity { server: String::new(), tenant: String::new(), user: String::new() })].into();
        writes.push(Write::Registry(Registry {
            current: Some(EPOCH),
            epochs,
            last_entry: first + GROUP - 1,
            ..Registry::default()
        }));
        writes.push(Write::Ledger(EPOCH, Ledger::default()));
        store.apply(&WriteSet { writes }).unwrap();
        store.sync().unwrap();
    }
    (last - first + 1) as f64 / start.elapsed().as_secs_f64()
}

fn entry(number: u64) -> Entry {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let fields = json!({ "id": id, "title": "x".repeat(100) }).as_object().cloned().unwrap();
    Entry { bytes: 150, ..Entry::new(EPOCH, number, ("interactions", &id), EntryOp::Create, fields, Timestamp::EPOCH) }
}

fn size(store: &Store) -> u64 {
    let sizes = store.reader().sizes().unwrap();
    (sizes.sled + sizes.journal) / 1_000_000
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_000
}
