//! Lines of 200 B to 1, 100 and 1,000 subscribers over the local socket: the ring beside its limit, which is lines that are there already
//! and go out 64 KiB at a time, and beside a tokio broadcast channel that writes every message by itself, in the same run. And what one
//! stalled subscriber costs the others. Quote the ratios.
//!
//! `cargo bench -p aesyncd --bench ipc_fanout`
#![cfg(unix)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench"
)]

#[path = "../tests/ipc_support/mod.rs"]
mod ipc_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aesync_protocol::Change;
use aesyncd::ipc::{BindOptions, Limits, bind, serve};
use ipc_support::FakeDaemon;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, watch};

/// Changes are published in batches, as a pull or a push commits them, and the publisher lets the connections work in between.
const BATCH: u64 = 100;
/// The best of this many counts.
const REPEATS: usize = 3;
const DELIVERIES: u64 = 4_000_000;
const BROADCAST_DELIVERIES: u64 = 300_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("million deliveries per second of lines of {} B", line_length());
    println!("      serializing alone: {:6.2}", serializing());
    for subscribers in [1, 100, 1000] {
        let (mut limit, mut ring, mut stalled, mut broadcast) = (0_f64, 0_f64, 0_f64, 0_f64);
        for _ in 0..REPEATS {
            limit = limit.max(runtime.block_on(ready_lines(subscribers)));
            ring = ring.max(runtime.block_on(ring_of(subscribers, false)));
            stalled = stalled.max(runtime.block_on(ring_of(subscribers, true)));
            broadcast = broadcast.max(runtime.block_on(broadcast_channel(subscribers)));
        }
        println!(
            "{subscribers:5} subscribers: limit {limit:6.2}, ring {ring:6.2} ({:.2} of it), with one more that is stalled {stalled:6.2} ({:.2}), broadcast {broadcast:5.2}; ring to broadcast {:.1}",
            ring / limit,
            stalled / ring,
            ring / broadcast
        );
    }
}

fn one(seq: u64) -> Change {
    ipc_support::change(seq, "an_entity_type", "00000000-0000-0000-0000-000000000000")
}

fn line_length() -> usize {
    let mut line = Vec::new();
    aesync_protocol::codec::write_change(&mut line, &one(1)).unwrap();
    line.len()
}

/// What any publisher of changes is bounded by, however few subscribers there are.
fn serializing() -> f64 {
    const COUNT: u64 = 200_000;
    let changes: Vec<Change> = (1..=COUNT).map(one).collect();
    let mut lines = Vec::new();
    let before = Instant::now();
    for batch in changes.chunks(100) {
        lines.clear();
        for change in batch {
            aesync_protocol::codec::write_change(&mut lines, change).unwrap();
        }
    }
    rate(COUNT, before.elapsed())
}

async fn ring_of(subscribers: u64, one_stalls: bool) -> f64 {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let daemon = FakeDaemon::new(1 << 24);
    let limits = Limits { connections: 4096, ..Limits::default() };
    let listener = bind(BindOptions { limits, ..BindOptions::new(&path) }).await.unwrap();
    let (calls, _calls) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve(listener, daemon.clone() as Arc<_>, calls, daemon.fanout.clone(), stopped));
    let mut clients = Vec::new();
    for _ in 0..subscribers + u64::from(one_stalls) {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream
            .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\",\"params\":{\"channels\":[\"change\"]}}\n")
            .await
            .unwrap();
        let mut answer = [0; 256];
        let count = stream.read(&mut answer).await.unwrap();
        assert!(answer[..count].ends_with(b"\n"));
        clients.push(stream);
    }
    let _stalled = one_stalls.then(|| clients.pop());
    let changes = changes_for(subscribers);
    // What is stored must not grow while the clock runs.
    let batches: Vec<Vec<Change>> =
        (0..changes / BATCH).map(|batch| (1..=BATCH).map(|n| one(batch * BATCH + n)).collect()).collect();
    daemon.feed.lock().unwrap().extend(batches.iter().flatten().cloned());
    let readers: Vec<_> = clients.into_iter().map(|stream| tokio::spawn(read_to(stream, changes))).collect();
    let before = Instant::now();
    for batch in &batches {
        daemon.fanout.publish_changes(batch);
        tokio::task::yield_now().await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let speed = rate(changes * subscribers, before.elapsed());
    stop.send_replace(true);
    served.await.unwrap();
    speed
}

/// What the sockets carry: nothing is serialized, shared under a lock or waited for.
async fn ready_lines(subscribers: u64) -> f64 {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let changes = changes_for(subscribers);
    let mut lines = Vec::new();
    for seq in 1..=changes {
        aesync_protocol::codec::write_change(&mut lines, &one(seq)).unwrap();
    }
    let lines: Arc<[u8]> = lines.into();
    let mut ends = Vec::new();
    for _ in 0..subscribers {
        let client = UnixStream::connect(&path).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        ends.push((client, server));
    }
    let before = Instant::now();
    let mut readers = Vec::new();
    for (client, mut server) in ends {
        let lines = Arc::clone(&lines);
        tokio::spawn(async move {
            for chunk in lines.chunks(64 * 1024) {
                server.write_all(chunk).await.unwrap();
            }
            // Open until the reader has everything.
            server.read(&mut [0]).await
        });
        readers.push(tokio::spawn(read_to(client, changes)));
    }
    for reader in readers {
        reader.await.unwrap();
    }
    rate(changes * subscribers, before.elapsed())
}

/// No more than the ring holds: nothing here holds the publisher back, and the durable feed is not what is measured.
fn changes_for(subscribers: u64) -> u64 {
    (DELIVERIES / subscribers).clamp(2_000, 40_000) / BATCH * BATCH
}

async fn broadcast_channel(subscribers: u64) -> f64 {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let changes = (BROADCAST_DELIVERIES / subscribers).clamp(300, 100_000) / BATCH * BATCH;
    let (sender, _) = broadcast::channel::<Arc<[u8]>>(usize::try_from(changes).unwrap());
    let mut clients = Vec::new();
    for _ in 0..subscribers {
        clients.push(UnixStream::connect(&path).await.unwrap());
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut receiver = sender.subscribe();
        tokio::spawn(async move {
            while let Ok(line) = receiver.recv().await {
                stream.write_all(&line).await.unwrap();
            }
        });
    }
    let readers: Vec<_> = clients.into_iter().map(|stream| tokio::spawn(read_to(stream, changes))).collect();
    let before = Instant::now();
    for seq in 1..=changes {
        let mut line = Vec::new();
        aesync_protocol::codec::write_change(&mut line, &one(seq)).unwrap();
        sender.send(line.into()).unwrap();
        if seq % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    rate(changes * subscribers, before.elapsed())
}

/// Reads until so many lines have come, counting only: the clients share the cores with the daemon.
async fn read_to(mut stream: UnixStream, lines: u64) {
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0_u64;
    // The last line is the only one that ends with this seq; its place in the stream is known from the lengths.
    let expected: u64 = (1..=lines).map(length_of).sum();
    while bytes < expected {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "closed after {bytes} of {expected} bytes");
        bytes += count as u64;
    }
}

/// A line holds its seq twice, as `seq` and as the record's `version`.
fn length_of(seq: u64) -> u64 {
    let digits = u64::from(seq.ilog10()) + 1;
    line_length_of_one() + 2 * (digits - 1)
}

fn line_length_of_one() -> u64 {
    static LENGTH: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *LENGTH.get_or_init(|| line_length() as u64)
}

fn rate(deliveries: u64, time: Duration) -> f64 {
    deliveries as f64 / time.as_secs_f64() / 1e6
}
