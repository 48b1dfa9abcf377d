//! A large answer to a pull goes through the daemon without ever being in its memory: at the first sync, and when every row has changed
//! since. `AESYNC_PULL_MEGABYTES` sets how large; 300 takes minutes in a debug build.
//!
//! Alone in its binary: beside other tests a daemon is seen to take more memory.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]
#![allow(clippy::print_stdout, reason = "figures that a person may want to see")]

mod flood;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use aesync_protocol::StatusWord;
use aesync_protocol::client::Client;
use aesync_protocol::request::{GetStatus, RecordsGet, Sync};

use flood::{Flood, id, name};
use support::Scene;
use support::process::Process;

/// The answer. What is kept of it would be far more than the bound: the rows and their changes are stored, and in memory a row takes more
/// than on the wire.
const MEGABYTES: u64 = 60;
/// Resident memory at most, in kilobytes. It is some 95 MB, with the cache full, and a tenth more where the daemon waits for the processor.
const MOST_KILOBYTES: u64 = 130 * 1000;
/// How long one of the two may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(240);

const SETTINGS: &str = r#"
[sync]
entity_types = ["end_user"]
"#;

#[test]
fn a_large_answer_of_large_rows_is_never_in_memory_whole() {
    pull_twice(20_000);
}

#[test]
fn a_large_answer_of_many_rows_is_never_in_memory_whole() {
    pull_twice(2_000);
}

fn pull_twice(row_bytes: usize) {
    let megabytes = std::env::var("AESYNC_PULL_MEGABYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(MEGABYTES);
    let rows = megabytes * 1_000_000 / row_bytes as u64;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let flood = Flood::new(rows, row_bytes);
    let addr = runtime.block_on(flood.serve());
    let mut scene = Scene::new();
    scene.config.server.url = Some(format!("http://{addr}"));
    let daemon = Process::start(&scene, SETTINGS);

    let start = Instant::now();
    while !holds_everything(&scene, rows) {
        assert!(start.elapsed() < PATIENCE, "the first sync did not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    check(&scene, &flood, &daemon, 0, "first sync", start);

    // From here on the peak is counted anew.
    std::fs::write(format!("/proc/{}/clear_refs", daemon.id()), "5").expect("our own process");
    flood.rewrite();
    let start = Instant::now();
    let mut client = Client::connect(&scene.socket()).expect("the daemon is there");
    let synced = client.call_within(&Sync {}, PATIENCE).expect("synced");
    assert_eq!(synced.types["end_user"].changed, rows);
    check(&scene, &flood, &daemon, 1, "catch-up", start);
}

fn holds_everything(scene: &Scene, rows: u64) -> bool {
    let status = Client::connect(&scene.socket()).and_then(|mut client| client.call(&GetStatus {}));
    status.is_ok_and(|status| status.status == StatusWord::Synced && status.types["end_user"].records == rows)
}

/// All of it came, and the daemon stayed small.
fn check(scene: &Scene, flood: &Flood, daemon: &Process, edition: u64, what: &str, start: Instant) {
    let (took, sent) = (start.elapsed(), flood.sent());
    let peak = daemon.of("status", "VmHWM:");
    println!("{what}: {} MB in {took:.1?}, {peak} kB resident at most", sent / 1_000_000);
    assert!(sent >= flood.rows * flood.row_bytes as u64, "only {sent} bytes were sent");
    let mut client = Client::connect(&scene.socket()).expect("the daemon is there");
    for number in [0, flood.rows / 2, flood.rows - 1] {
        let found = client.call(&RecordsGet { entity_type: "end_user".to_owned(), id: id(number) }).expect("it is there");
        assert_eq!(found.record["name"], name(number, edition));
    }
    assert!(peak < MOST_KILOBYTES, "{what}: {peak} kB resident");
}
