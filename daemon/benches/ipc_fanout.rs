//! Changes to 1, 100 and 1,000 subscribers over the local socket: the daemon's ring beside its limit, which is the barest ring (one buffer, a
//! position for each subscriber, everything up to the head in one write), and beside a tokio broadcast channel that writes every message by
//! itself, in the same run. And what one stalled subscriber costs the others. All of them begin with the same changes, whose JSON the engine
//! has written once for the store and for the ring. The publisher and the connections share a thread, as they do in the daemon; the
//! subscribers have one of their own. Quote the ratios.
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

mod claims;
#[path = "../tests/ipc/support.rs"]
mod ipc_support;

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aesync_protocol::Change;
use aesync_protocol::codec::EncodedChange;
use aesyncd::ipc::{BindOptions, DEFAULT_RING, Limits, bind, serve};
use ipc_support::FakeDaemon;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};

/// Changes are published in batches, as a pull or a push commits them, and the publisher lets the connections work in between.
const BATCH: u64 = 150;
/// Deliveries are counted in at least so many rounds.
const ROUNDS: u64 = 5;
/// The ring's size in bytes, as the daemon has it. Rounds that fill it come before those that are counted, but not more of them.
const RING: usize = DEFAULT_RING;
/// The best of this many counts.
const REPEATS: usize = 3;
const DELIVERIES: u64 = 8_000_000;
/// And of these for each subscriber at most.
const CHANGES: u64 = 2_000_000;
const BROADCAST_DELIVERIES: u64 = 400_000;
/// Changes of a round at most: as few as are still in the processor's caches when they are published, as those are that the engine just made.
const PREPARED: u64 = 3_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let apps = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let apps = apps.handle();
    println!("million deliveries per second of lines of {} B", line(1).len());
    let mut ratios = Vec::new();
    for subscribers in [1, 100, 1000] {
        let (mut limit, mut ring, mut stalled, mut broadcast) = (0_f64, 0_f64, 0_f64, 0_f64);
        for _ in 0..REPEATS {
            limit = limit.max(runtime.block_on(barest_ring(apps, subscribers)));
            ring = ring.max(runtime.block_on(ring_of(apps, subscribers, false)));
            stalled = stalled.max(runtime.block_on(ring_of(apps, subscribers, true)));
            broadcast = broadcast.max(runtime.block_on(broadcast_channel(apps, subscribers)));
        }
        println!(
            "{subscribers:5} subscribers: limit {limit:6.2}, ring {ring:6.2} ({:.2} of the limit, {:.1} broadcast channels), with one more that is stalled {stalled:6.2} ({:.2}), broadcast {broadcast:5.2} (the limit is {:.1} of it)",
            ring / limit,
            ring / broadcast,
            stalled / ring,
            limit / broadcast
        );
        ratios.push((subscribers, ring / limit, ring / broadcast, stalled / ring));
    }
    for (subscribers, of_limit, of_broadcast, of_stalled) in ratios {
        claims::at_least(&format!("fan-out to {subscribers}, of the ring's limit"), of_limit, 0.6);
        claims::at_least(&format!("fan-out to {subscribers}, in broadcast channels"), of_broadcast, 10.0);
        // Nothing, but for what two counts differ by anyway.
        claims::at_least(&format!("fan-out to {subscribers} beside one that is stalled, of that without it"), of_stalled, 0.9);
    }
}

/// As short as a change can be: it is deliveries that are counted, and not bytes.
fn one(seq: u64) -> Change {
    ipc_support::change(seq, "user", "0")
}

fn encoded(seq: u64) -> EncodedChange {
    EncodedChange::new(&one(seq)).unwrap()
}

fn line(seq: u64) -> Vec<u8> {
    encoded(seq).line().to_vec()
}

/// The changes of a round, in batches.
fn batches<T>(round: u64, changes: u64, one: impl Fn(u64) -> T) -> Vec<Vec<T>> {
    let first = round * changes + 1;
    (0..changes / BATCH).map(|batch| (0..BATCH).map(|n| one(first + batch * BATCH + n)).collect()).collect()
}

async fn ring_of(apps: &Handle, subscribers: u64, one_stalls: bool) -> f64 {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let daemon = FakeDaemon::new(RING);
    let limits = Limits { connections: 4096, ..Limits::default() };
    let listener = bind(BindOptions { limits, ..BindOptions::new(&path) }).await.unwrap();
    let (calls, _calls) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve(listener, daemon.clone() as Arc<_>, calls, daemon.fanout.clone(), stopped));
    let mut clients = Vec::new();
    for _ in 0..subscribers + u64::from(one_stalls) {
        let path = path.clone();
        let subscribed = apps.spawn(async move {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream
                .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\",\"params\":{\"channels\":[\"change\"]}}\n")
                .await
                .unwrap();
            let mut answer = [0; 256];
            let count = stream.read(&mut answer).await.unwrap();
            assert!(answer[..count].ends_with(b"\n"));
            stream
        });
        clients.push(subscribed.await.unwrap());
    }
    let _stalled = one_stalls.then(|| clients.pop());
    let prepare = |round, changes| batches(round, changes, encoded);
    let fanout = daemon.fanout.clone();
    let speed = rounds(apps, clients, DELIVERIES, prepare, |batch: &Vec<EncodedChange>| fanout.publish_changes(batch)).await;
    stop.send_replace(true);
    served.await.unwrap();
    speed
}

/// The least that a ring of serialized lines does: nothing is filtered, counted or replayed, and a round has room in it.
async fn barest_ring(apps: &Handle, subscribers: u64) -> f64 {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let lines = Arc::new(RwLock::new(Vec::new()));
    // How many rounds there were before, and up to where there are lines of this one.
    let (head, heads) = watch::channel((0_u64, 0_usize));
    let mut clients = Vec::new();
    for _ in 0..subscribers {
        clients.push(connected(apps, &path).await);
        let (mut server, _) = listener.accept().await.unwrap();
        let (lines, mut heads) = (Arc::clone(&lines), heads.clone());
        tokio::spawn(async move {
            let (mut former, mut position, mut chunk) = (0, 0, Vec::new());
            while heads.changed().await.is_ok() {
                let (round, head) = *heads.borrow_and_update();
                if round != former {
                    (former, position) = (round, 0);
                }
                while position < head {
                    let end = head.min(position + 64 * 1024);
                    chunk.clear();
                    chunk.extend_from_slice(&lines.read().unwrap()[position..end]);
                    server.write_all(&chunk).await.unwrap();
                    position = end;
                }
            }
        });
    }
    let prepare = |round, changes| batches(round, changes, encoded).into_iter().map(|batch| (round, batch)).collect();
    let mut former = 0;
    rounds(apps, clients, DELIVERIES, prepare, |(round, batch): &(u64, Vec<EncodedChange>)| {
        let mut lines = lines.write().unwrap();
        if std::mem::replace(&mut former, *round) != *round {
            lines.clear();
        }
        batch.iter().for_each(|change| lines.extend_from_slice(change.line()));
        head.send_replace((*round, lines.len()));
    })
    .await
}

async fn broadcast_channel(apps: &Handle, subscribers: u64) -> f64 {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, _) = broadcast::channel::<Arc<[u8]>>(usize::try_from(PREPARED).unwrap());
    let mut clients = Vec::new();
    for _ in 0..subscribers {
        clients.push(connected(apps, &path).await);
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut receiver = sender.subscribe();
        tokio::spawn(async move {
            while let Ok(line) = receiver.recv().await {
                stream.write_all(&line).await.unwrap();
            }
        });
    }
    let prepare = |round, changes| batches(round, changes, encoded);
    rounds(apps, clients, BROADCAST_DELIVERIES, prepare, |batch: &Vec<EncodedChange>| {
        for change in batch {
            sender.send(change.line().into()).unwrap();
        }
    })
    .await
}

/// Million deliveries per second. What is published is prepared, and thrown away, while the clock stands still.
async fn rounds<B>(
    apps: &Handle,
    mut clients: Vec<UnixStream>,
    deliveries: u64,
    prepare: impl Fn(u64, u64) -> Vec<B>,
    mut publish: impl FnMut(&B),
) -> f64 {
    let subscribers = clients.len() as u64;
    let all = (deliveries / subscribers).min(CHANGES);
    let changes = (all / ROUNDS).clamp(BATCH, PREPARED) / BATCH * BATCH;
    let rounds = ROUNDS.max(all / changes);
    let filling = (RING as u64 / length_of(1) / changes + 1).min(rounds);
    let mut took = Duration::ZERO;
    for round in 0..filling + rounds {
        let prepared = prepare(round, changes);
        let bytes = (1..=changes).map(|n| length_of(round * changes + n)).sum();
        let before = Instant::now();
        let readers: Vec<_> = clients.drain(..).map(|stream| apps.spawn(read_bytes(stream, bytes))).collect();
        for batch in &prepared {
            publish(batch);
            tokio::task::yield_now().await;
        }
        for reader in readers {
            clients.push(reader.await.unwrap());
        }
        if round >= filling {
            took += before.elapsed();
        }
    }
    (rounds * changes * subscribers) as f64 / took.as_secs_f64() / 1e6
}

/// An application's end of a connection.
async fn connected(apps: &Handle, path: &Path) -> UnixStream {
    let path = path.to_path_buf();
    apps.spawn(async move { UnixStream::connect(path).await.unwrap() }).await.unwrap()
}

/// Reads as much as the lines of a round have, counting only: the clients share the cores with the daemon.
async fn read_bytes(mut stream: UnixStream, expected: u64) -> UnixStream {
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0_u64;
    while bytes < expected {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "closed after {bytes} of {expected} bytes");
        bytes += count as u64;
    }
    assert_eq!(bytes, expected);
    stream
}

/// A line holds its seq twice, as `seq` and as the record's `version`.
fn length_of(seq: u64) -> u64 {
    static LENGTH: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let digits = u64::from(seq.ilog10()) + 1;
    LENGTH.get_or_init(|| line(1).len() as u64) + 2 * (digits - 1)
}
