//! Durable enqueues a second: the daemon through its socket, beside the limit (append and fdatasync, shared by all who wait), SQLite and
//! redb, each with as many applications at once. Quote the ratios, not the numbers.
//!
//! `cargo bench -p aesyncd --bench store_enqueue`; `AESYNC_BENCH_APPS` sets one other number of applications.
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

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Scene;
use support::process::Process;

/// How many applications at once.
const APPS: [usize; 4] = [1, 8, 64, 512];
/// How long each is measured.
const SPAN: Duration = Duration::from_secs(5);
/// The most that one commit takes, as the daemon.
const GROUP: usize = 512;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    println!("durable enqueues per second of 1 KB, {} s each", SPAN.as_secs());
    println!(
        "{:>5} {:>9} {:>9} {:>9} {:>9} {:>9}  daemon against raw, raw behind a socket, SQLite",
        "apps", "raw", "raw+sock", "SQLite", "redb", "daemon"
    );
    let chosen = std::env::var("AESYNC_BENCH_APPS").ok().and_then(|text| text.parse().ok());
    for apps in chosen.map_or(APPS.to_vec(), |apps| vec![apps]) {
        let raw = grouped(apps, append_to(&dir.path().join("raw")));
        let socket = behind_socket(apps, &dir.path().join("raw.sock"), append_to(&dir.path().join("raw-socket")));
        let sqlite = grouped(apps, sqlite_at(&dir.path().join("sqlite")));
        let redb = grouped(apps, redb_at(&dir.path().join("redb")));
        let daemon = daemon(apps);
        println!(
            "{apps:>5} {raw:>9.0} {socket:>9.0} {sqlite:>9.0} {redb:>9.0} {daemon:>9.0}  {:.2} {:.2} {:.2}",
            daemon / raw,
            daemon / socket,
            daemon / sqlite
        );
    }
}

/// Makes a group durable.
type Commit = Box<dyn FnMut(&[Vec<u8>]) + Send>;

fn append_to(path: &Path) -> Commit {
    let mut file = File::create(path).unwrap();
    Box::new(move |group| {
        file.write_all(&group.concat()).unwrap();
        file.sync_data().unwrap();
    })
}

fn sqlite_at(path: &Path) -> Commit {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute("CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, value BLOB)", []).unwrap();
    Box::new(move |group| {
        let transaction = connection.transaction().unwrap();
        let mut insert = transaction.prepare_cached("INSERT INTO outbox (value) VALUES (?1)").unwrap();
        for value in group {
            insert.execute([value]).unwrap();
        }
        drop(insert);
        transaction.commit().unwrap();
    })
}

fn redb_at(path: &Path) -> Commit {
    const OUTBOX: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("outbox");
    let database = redb::Database::create(path).unwrap();
    let mut number = 0;
    Box::new(move |group| {
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(OUTBOX).unwrap();
        for value in group {
            number += 1;
            table.insert(number, value.as_slice()).unwrap();
        }
        drop(table);
        transaction.commit().unwrap();
    })
}

type Waiting = (Vec<u8>, mpsc::SyncSender<()>);

/// One writer for all who wait; it ends when nobody is left.
fn write_groups(waiting: &mpsc::Receiver<Waiting>, mut commit: Commit) {
    while let Ok(first) = waiting.recv() {
        let next = std::iter::from_fn(|| waiting.try_recv().ok());
        let (values, done): (Vec<_>, Vec<_>) = std::iter::once(first).chain(next).take(GROUP).unzip();
        commit(&values);
        done.iter().for_each(|done| done.send(()).unwrap());
    }
}

fn value(number: u64) -> Vec<u8> {
    format!("{number:01000}").into_bytes()
}

/// Applications as threads of this process, which hand their values to the writer.
fn grouped(apps: usize, commit: Commit) -> f64 {
    let (queue, waiting) = mpsc::sync_channel::<Waiting>(GROUP);
    let writer = std::thread::spawn(move || write_groups(&waiting, commit));
    let app = || {
        let queue = queue.clone();
        let (done, is_done) = mpsc::sync_channel(1);
        move |number| {
            queue.send((value(number), done.clone())).unwrap();
            is_done.recv().unwrap();
        }
    };
    let rate = rate(apps, app);
    drop(queue);
    writer.join().unwrap();
    rate
}

/// The same behind a socket with a line for each value, without JSON being read or anything but the append being done.
fn behind_socket(apps: usize, path: &Path, commit: Commit) -> f64 {
    let listener = UnixListener::bind(path).unwrap();
    let (queue, waiting) = mpsc::sync_channel::<Waiting>(GROUP);
    let server = std::thread::spawn(move || {
        let writer = std::thread::spawn(move || write_groups(&waiting, commit));
        for stream in listener.incoming().take(apps) {
            let (mut stream, queue) = (BufReader::new(stream.unwrap()), queue.clone());
            std::thread::spawn(move || {
                let (done, is_done) = mpsc::sync_channel(1);
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).unwrap() > 0 {
                    queue.send((std::mem::take(&mut line), done.clone())).unwrap();
                    is_done.recv().unwrap();
                    stream.get_mut().write_all(b"done\n").unwrap();
                }
            });
        }
        drop(queue);
        writer.join().unwrap();
    });
    let rate = rate(apps, || {
        asking(path, |number| {
            let mut line = value(number);
            line.push(b'\n');
            line
        })
    });
    server.join().unwrap();
    std::fs::remove_file(path).unwrap();
    rate
}

/// The daemon in a process of its own, whose server is away, so that the outbox only grows.
fn daemon(apps: usize) -> f64 {
    let mut scene = Scene::new();
    let _gone = scene.kill_server();
    let _daemon = Process::start(&scene, "[sync]\nentity_types = [\"interactions\"]\n[tuning]\noutbox_entries = 2000000\n");
    let deadline = Instant::now() + support::PATIENCE;
    while UnixStream::connect(scene.socket()).is_err() {
        assert!(Instant::now() < deadline, "the daemon does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Written once but for the numbers: what the applications take to build their requests is not asked for.
    let entity = json!({"id": "00000000-0000-4000-8000-", "type": "call", "title": "t", "description": "x".repeat(720),
        "date": "2026-01-31T12:00:00.000Z"});
    let push =
        json!({"jsonrpc": "2.0", "method": "push", "params": {"changes": {"interactions": [entity]}}, "id": 0}).to_string();
    let (before, after) = push.split_at(push.find("8000-").unwrap() + 5);
    let (before, after) = (before.to_owned(), after.strip_suffix("0}").unwrap().to_owned());
    let request = move |number: u64| format!("{before}{number:012}{after}{number}}}\n").into_bytes();
    let socket = scene.socket();
    rate(apps, || asking(&socket, request.clone()))
}

/// A connection, and a request over it that is answered.
fn asking(path: &Path, request: impl Fn(u64) -> Vec<u8> + Send) -> impl FnMut(u64) + Send {
    let mut stream = BufReader::new(UnixStream::connect(path).unwrap());
    let mut line = String::new();
    move |number| {
        stream.get_mut().write_all(&request(number)).unwrap();
        line.clear();
        stream.read_line(&mut line).unwrap();
        assert!(!line.is_empty() && !line.contains("\"error\""), "{line}");
    }
}

/// How many a second `apps` threads get done.
fn rate<A: FnMut(u64) + Send>(apps: usize, app: impl Fn() -> A) -> f64 {
    let number = AtomicU64::new(0);
    let ready: Vec<A> = (0..apps).map(|_| app()).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for mut ask in ready {
            let number = &number;
            scope.spawn(move || {
                while start.elapsed() < SPAN {
                    ask(number.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    number.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}
