//! One request and its answer over the local socket, beside a bare tokio echo in the same run, client and server pinned to one core.
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

#[path = "../tests/ipc_support/mod.rs"]
mod ipc_support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
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

fn main() {
    // Threads inherit the core.
    let this = nix::unistd::Pid::from_raw(0);
    let mut cores = nix::sched::CpuSet::new();
    cores.set(0).unwrap();
    nix::sched::sched_setaffinity(this, &cores).expect("pinned");
    let directory = TempDir::new().unwrap();
    let (echo, daemon) = (directory.path().join("echo"), directory.path().join("daemon"));
    let _servers = start(echo.clone(), daemon.clone());

    let cases = [
        ("echo, 200 B", &echo, format!("{}\n", "x".repeat(199))),
        ("ping", &daemon, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n".to_owned()),
        ("status", &daemon, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n".to_owned()),
        (
            "records.get",
            &daemon,
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"records.get\",\"params\":{\"entityType\":\"a\",\"id\":\"x\"}}\n"
                .to_owned(),
        ),
    ];
    let mut best = [Duration::MAX; 4];
    for _ in 0..REPEATS {
        for (best, (_, path, request)) in best.iter_mut().zip(&cases) {
            *best = median(path, request).min(*best);
        }
    }
    println!("request and answer, p50, best of {REPEATS} times {ROUNDS}, one core");
    for (best_of_case, (name, _, _)) in best.iter().zip(&cases) {
        let micros = best_of_case.as_secs_f64() * 1e6;
        println!("{name:12} {micros:7.2} µs  {:.2} of the echo", best_of_case.as_secs_f64() / best[0].as_secs_f64());
    }
    idle(&daemon);
}

fn start(echo: PathBuf, daemon: PathBuf) -> Vec<std::thread::JoinHandle<()>> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let run = |serve: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        std::thread::spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve))
    };
    let ready_too = ready.clone();
    let servers = vec![
        run(Box::pin(async move {
            let listener = UnixListener::bind(echo).unwrap();
            ready.send(()).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..count]).await.unwrap();
                    }
                });
            }
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
        drop(clients);
    }
}

/// This process's resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
