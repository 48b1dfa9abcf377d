//! One request and its answer over the local socket, beside a bare tokio echo in the same run, client and server pinned to one core:
//! the local interface by itself, in a thread beside an echo in a thread, and the real aesyncd, a process beside an echo that is one.
//! And what an idle connection costs. Quote the ratios, not the microseconds.
//!
//! `cargo bench -p aesyncd --bench ipc_roundtrip`
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
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aesync_protocol::Timestamp;
use aesync_protocol::status::TypeStatus;
use aesyncd::ipc::{BindOptions, Limits, bind, serve};
use ipc_support::FakeDaemon;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

const ROUNDS: usize = 20_000;
const REPEATS: usize = 5;
const IDLE: usize = 10_000;

/// Set for the process that is nothing but an echo: where it listens.
const ECHO: &str = "AESYNC_BENCH_ECHO";

/// A process that ends with the bench.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    if let Some(path) = std::env::var_os(ECHO) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(async { echo(UnixListener::bind(path).unwrap()).await });
    }
    // Threads and processes inherit the core.
    let this = nix::unistd::Pid::from_raw(0);
    let mut cores = nix::sched::CpuSet::new();
    cores.set(0).unwrap();
    nix::sched::sched_setaffinity(this, &cores).expect("pinned");
    let directory = TempDir::new().unwrap();
    let [echo, daemon, echo_process] = ["echo", "daemon", "process"].map(|name| directory.path().join(name));
    let _servers = start(echo.clone(), daemon.clone());
    let mut command = Command::new(std::env::current_exe().unwrap());
    let _echo = Peer(command.env(ECHO, &echo_process).spawn().unwrap());
    let mut scene = support::Scene::new();
    // What the daemon does for its server would be in the way.
    let _gone = scene.kill_server();
    let _aesyncd = support::process::Process::start(&scene, "");
    let aesyncd = scene.socket();
    wait_for(&echo_process);
    wait_for(&aesyncd);

    let line = format!("{}\n", "x".repeat(199));
    let call = |method: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\"}}\n");
    let get = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"records.get\",\"params\":{\"entityType\":\"a\",\"id\":\"x\"}}\n";
    // Each with the place of the echo that it is held against.
    let cases = [
        ("echo, 200 B", &echo, line.clone(), 0),
        ("ping", &daemon, call("ping"), 0),
        ("status", &daemon, call("status"), 0),
        ("records.get", &daemon, get.to_owned(), 0),
        ("process: echo", &echo_process, line, 4),
        ("process: ping", &aesyncd, call("ping"), 4),
        ("process: status", &aesyncd, call("status"), 4),
    ];
    let mut best = [Duration::MAX; 7];
    for _ in 0..REPEATS {
        for (best, (_, path, request, _)) in best.iter_mut().zip(&cases) {
            *best = median(path, request).min(*best);
        }
    }
    println!("request and answer, p50, best of {REPEATS} times {ROUNDS}, one core");
    let ratio = |case: usize| best[case].as_secs_f64() / best[cases[case].3].as_secs_f64();
    for (case, (name, _, _, _)) in cases.iter().enumerate() {
        println!("{name:16} {:7.2} µs  {:.2} of its echo", best[case].as_secs_f64() * 1e6, ratio(case));
    }
    idle(&daemon);
    claims::at_most("ping of aesyncd, of an echo that is a process", ratio(5), 1.3);
    claims::at_most("status of aesyncd, of an echo that is a process", ratio(6), 1.6);
    claims::at_most("ping of the interface by itself, of an echo in a thread", ratio(1), 1.3);
    claims::at_most("status of the interface by itself, of an echo in a thread", ratio(2), 1.6);
}

/// Until somebody listens there.
fn wait_for(path: &Path) {
    let deadline = Instant::now() + support::PATIENCE;
    while let Err(error) = UnixStream::connect(path) {
        assert!(Instant::now() < deadline, "{}: {error}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn echo(listener: UnixListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
            }
        });
    }
}

fn start(echo_path: PathBuf, daemon: PathBuf) -> Vec<std::thread::JoinHandle<()>> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let run = |serve: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        std::thread::spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve))
    };
    let ready_too = ready.clone();
    let servers = vec![
        run(Box::pin(async move {
            let listener = UnixListener::bind(echo_path).unwrap();
            ready.send(()).unwrap();
            echo(listener).await;
        })),
        run(Box::pin(async move {
            let fake = FakeDaemon::new(1 << 24);
            fake.commit(&[ipc_support::change(1, "a", "x")]);
            fake.set_status(|status| {
                for number in 0..10 {
                    let times = Some(Timestamp::EPOCH);
                    let filled = TypeStatus {
                        high_water: times,
                        last_pulled_at: times,
                        last_reconciled_at: times,
                        ..TypeStatus::default()
                    };
                    status.types.insert(format!("type_{number}"), filled);
                }
            });
            let limits = Limits { connections: 2 * IDLE, ..Limits::default() };
            let listener = bind(BindOptions { limits, ..BindOptions::new(daemon) }).await.unwrap();
            ready_too.send(()).unwrap();
            let (calls, _calls) = mpsc::channel(1);
            let (_stop, stopped) = watch::channel(false);
            let fanout = fake.fanout.clone();
            serve(listener, fake as Arc<_>, calls, fanout, stopped).await;
        })),
    ];
    is_ready.recv().unwrap();
    is_ready.recv().unwrap();
    servers
}

fn median(path: &Path, request: &str) -> Duration {
    let mut stream = BufReader::new(UnixStream::connect(path).unwrap());
    let mut line = String::new();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            line.clear();
            let before = Instant::now();
            stream.get_mut().write_all(request.as_bytes()).unwrap();
            stream.read_line(&mut line).unwrap();
            before.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

/// Connections that have asked something and then rest; the clients' ends cost this process nothing but a descriptor each.
fn idle(path: &Path) {
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let (_, hard) = nix::sys::resource::getrlimit(limit).unwrap();
    // Both ends are in this process. Root may raise the bound; anybody else measures fewer.
    let wanted = 2 * IDLE as u64 + 200;
    let bound = if nix::sys::resource::setrlimit(limit, wanted, wanted).is_ok() { wanted } else { hard };
    nix::sys::resource::setrlimit(limit, bound, bound).expect("more descriptors");
    let count = IDLE.min(usize::try_from(bound / 2).unwrap() - 100);
    for (name, request) in [
        ("idle", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n"),
        (
            "subscribed",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscribe\",\"params\":{\"channels\":[\"notification\",\"change\"]}}\n",
        ),
    ] {
        let before = resident();
        let mut clients = Vec::with_capacity(count);
        let mut byte = [0; 1];
        for _ in 0..count {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            while byte != *b"\n" {
                std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            }
            byte = [0];
            clients.push(stream);
        }
        let each = resident().saturating_sub(before) as f64 * 1024.0 / clients.len() as f64;
        println!("{} connections {name}: {each:.0} B each", clients.len());
        claims::at_most(&format!("KB of {} connections {name}, each", clients.len()), each / 1024.0, 4.0);
        drop(clients);
    }
}

/// This process's resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
