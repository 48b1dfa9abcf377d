//! What a session costs: nothing once it is gone, and next to nothing while nothing happens. Alone in its binary, since it counts the
//! threads and file descriptors of the process.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by them, its helpers included")]

#[path = "server/support/mod.rs"]
mod support;

use std::fs;
use std::time::Duration;

use adminengine_dev::{DevServer, Options, SocketEnd, World};
use aesyncd::server::ServerUrl;
use support::PATIENCE;
use support::socket::{hasty, open, options};
use tokio::time::{sleep, timeout};

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("the descriptors").count()
}

/// The threads of sessions, each with its context switches so far.
fn session_threads() -> Vec<u64> {
    let tasks = fs::read_dir("/proc/self/task").expect("the threads").flatten();
    // A thread may end while it is looked at.
    let status = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    status
        .filter(|status| status.lines().next().is_some_and(|name| name.contains("aesync-session")))
        .map(|status| {
            let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
            switches.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
        })
        .collect()
}

async fn settled(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: {} descriptors, {} threads", descriptors(), session_threads().len()));
}

#[tokio::test]
async fn a_hundred_sessions_leave_neither_threads_nor_descriptors_behind() {
    let world = World::new();
    let server = DevServer::start(Options::new(world.clone())).expect("a server");
    let url = ServerUrl::parse(&server.url()).expect("an address");
    drop(open(options(url.clone())).quiet().await);
    settled("the first", || world.sockets().is_empty() && session_threads().is_empty()).await;
    let before = descriptors();
    for round in 0..100 {
        match round % 4 {
            // Dropped while it is up.
            0 => drop(open(options(url.clone())).quiet().await),
            // Dropped while it connects.
            1 => drop(open(options(url.clone()))),
            // Ended by the server in the way that the library does not notice.
            2 => {
                let running = open(hasty(url.clone())).quiet().await;
                world.end_sockets(SocketEnd::Disconnect, None);
                running.end().await;
            }
            _ => {
                let running = open(hasty(url.clone())).quiet().await;
                world.end_sockets(SocketEnd::Stall, None);
                running.end().await;
            }
        }
    }
    // The server keeps its side of those that it stalled: what is left once it is gone would be of the sessions.
    server.stop();
    settled("all of them", || session_threads().is_empty() && descriptors() < before).await;
}

#[tokio::test]
#[ignore = "takes two minutes; run it with: cargo test -p aesyncd --test session_cost -- --ignored --nocapture"]
async fn an_idle_session_wakes_less_than_twelve_times_a_minute() {
    let server = DevServer::start(Options::new(World::new())).expect("a server");
    let mut running = open(options(ServerUrl::parse(&server.url()).expect("an address"))).quiet().await;
    // The thread that looked up the name is gone after a second.
    settled("one thread", || session_threads().len() == 1).await;
    let before = session_threads();
    let end = tokio::time::Instant::now() + Duration::from_secs(120);
    while tokio::time::timeout_at(end, running.events.recv()).await.is_ok() {}
    let after = session_threads();
    let switches: u64 = after.iter().sum::<u64>() - before.iter().sum::<u64>();
    assert!(switches <= 24, "{switches} context switches in two minutes");
    eprintln!("{switches} context switches in two minutes");
}
