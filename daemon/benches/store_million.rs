//! A million records of 500 bytes, pulled by the daemon: how fast, how much memory and disk, how fast a record is read, how soon a daemon
//! answers that starts with them.
//!
//! `cargo bench -p aesyncd --bench store_million`; `AESYNC_BENCH_ROWS` and `AESYNC_BENCH_ROW_BYTES` set other numbers.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench"
)]

#[path = "../tests/large_pull/flood.rs"]
mod flood;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use aesync_protocol::StatusWord;
use aesync_protocol::client::Client;
use aesync_protocol::request::{GetStatus, RecordsGet};
use flood::{Flood, id};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use support::Scene;
use support::process::Process;

const READS: u64 = 20_000;
/// The files are settled once they have kept their size for so long.
const SETTLED: Duration = Duration::from_secs(15);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn main() {
    let (rows, row_bytes) = (number("AESYNC_BENCH_ROWS", 1_000_000), number("AESYNC_BENCH_ROW_BYTES", 500));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A row has some 200 bytes of other fields.
    let flood = Flood::new(rows, usize::try_from(row_bytes.saturating_sub(200)).unwrap());
    let addr = runtime.block_on(flood.serve());
    let mut scene = Scene::new();
    scene.config.server.url = Some(format!("http://{addr}"));
    let settings = "[sync]\nentity_types = [\"end_user\"]\n";

    let start = Instant::now();
    let daemon = Process::start(&scene, settings);
    wait(&scene, &daemon, rows);
    let took = start.elapsed();
    let data = flood.sent();
    println!("{rows} records of {} B in {took:.1?}: {:.0} records/s", data / rows, rows as f64 / took.as_secs_f64());
    println!("resident at most {} MB so far", daemon.of("status", "VmHWM:") / 1_000);

    let (mut size, mut since) = (0, Instant::now());
    while since.elapsed() < SETTLED {
        let found = disk(&scene.state_dir());
        if found != size {
            (size, since) = (found, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("disk once settled {} MB, {:.2} of the data", size / 1_000_000, size as f64 / data as f64);
    reads(&scene, &daemon, rows);
    println!(
        "resident at most {} MB, in the end {} MB",
        daemon.of("status", "VmHWM:") / 1_000,
        daemon.of("status", "VmRSS:") / 1_000
    );
    daemon.kill();
    let killed = answers_after(&scene, settings);
    println!("status {:.0?} after the start that follows a SIGKILL", killed.1);
    wait(&scene, &killed.0, rows);
    killed.0.end();
    let (daemon, took) = answers_after(&scene, settings);
    println!("status {took:.0?} after the start that follows a clean stop");
    drop(daemon);
}

fn wait(scene: &Scene, daemon: &Process, rows: u64) {
    let mut told = Instant::now();
    loop {
        let status = Client::connect(&scene.socket()).and_then(|mut client| client.call(&GetStatus {}));
        let records = status.as_ref().map_or(0, |status| status.types["end_user"].records);
        if status.is_ok_and(|status| status.status == StatusWord::Synced && status.types["end_user"].records == rows) {
            return;
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let disk = disk(&scene.state_dir()) / 1_000_000;
            println!("  {records} records, {} MB resident, {disk} MB on disk", daemon.of("status", "VmRSS:") / 1_000);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Reads of any record as lines at the socket, client and daemon on one core, both as in `ipc_roundtrip`: what it takes to wake a core differs
/// by more than a read. And by the Rust client, which builds the record as well.
fn reads(scene: &Scene, daemon: &Process, rows: u64) {
    let mut one = CpuSet::new();
    one.set(0).unwrap();
    // The daemon's first thread is the one that answers.
    let threads = [Pid::from_raw(0), Pid::from_raw(i32::try_from(daemon.id()).unwrap())];
    let before = threads.map(|thread| sched_getaffinity(thread).unwrap());
    threads.iter().for_each(|thread| sched_setaffinity(*thread, &one).unwrap());
    let any = |read: u64| id(read.wrapping_mul(2_654_435_761) % rows);
    let mut lines = BufReader::new(UnixStream::connect(scene.socket()).unwrap());
    let mut line = String::new();
    let mut ask = |request: &str| {
        line.clear();
        lines.get_mut().write_all(request.as_bytes()).unwrap();
        lines.read_line(&mut line).unwrap();
        assert!(line.starts_with(r#"{"jsonrpc":"2.0","id":1,"result":"#), "{line}");
    };
    percentiles("ping", |_| ask("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n"));
    let request = |read| {
        let id = any(read);
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"records.get","params":{{"entityType":"end_user","id":"{id}"}}}}"#) + "\n"
    };
    let requests: Vec<String> = (0..READS).map(request).collect();
    percentiles("records.get of any record", |read| ask(&requests[usize::try_from(read).unwrap()]));
    let mut client = Client::connect(&scene.socket()).unwrap();
    percentiles("records.get by the Rust client", |read| {
        client.call(&RecordsGet { entity_type: "end_user".to_owned(), id: any(read) }).unwrap();
    });
    threads.iter().zip(before).for_each(|(thread, cores)| sched_setaffinity(*thread, &cores).unwrap());
}

/// Does it many times, and tells how long it took.
fn percentiles(what: &str, mut ask: impl FnMut(u64)) {
    let each = |read| {
        let start = Instant::now();
        ask(read);
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..READS).map(each).collect();
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    println!("{what}: p50 {:.1} µs, p99 {:.1} µs", at(50), at(99));
}

/// A daemon that was started, and how long it took to answer.
fn answers_after(scene: &Scene, settings: &str) -> (Process, Duration) {
    let start = Instant::now();
    let daemon = Process::start(scene, settings);
    loop {
        if Client::connect(&scene.socket()).and_then(|mut client| client.call(&GetStatus {})).is_ok() {
            return (daemon, start.elapsed());
        }
        assert!(start.elapsed() < Duration::from_secs(120), "it does not answer");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn disk(path: &Path) -> u64 {
    let Ok(files) = path.read_dir() else { return path.metadata().map_or(0, |file| file.len()) };
    files.flatten().map(|file| disk(&file.path())).sum()
}
