//! The listening socket: who may bind, who gets in, how it ends.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use aesyncd::ipc::{BindError, BindOptions, Limits, bind, serve};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::support::*;

#[tokio::test]
async fn the_socket_is_for_its_user_and_group_and_goes_with_the_listener() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let listener = bind(BindOptions::new(&path)).await.expect("bound");
    let file = std::fs::metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    assert_eq!(listener.path(), Some(path.as_path()));
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_nobody_listens_to_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    // As a killed daemon leaves it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    bind(BindOptions::new(&path)).await.expect("bound in its place");
}

#[tokio::test]
async fn a_live_daemon_is_left_alone_and_named() {
    let house = House::open().await;
    let error = bind(BindOptions::new(&house.path)).await.expect_err("two daemons");
    assert!(matches!(error, BindError::AlreadyRunning { .. }), "{error}");
    assert!(error.to_string().contains("already running") && error.to_string().contains(house.path.to_str().unwrap()), "{error}");
    assert!(house.connect().await.call("ping", json!({})).await["time"].is_string());
}

#[tokio::test]
async fn a_daemon_too_busy_to_accept_counts_as_running() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let _busy = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        let stream = tokio::time::timeout(std::time::Duration::from_millis(50), tokio::net::UnixStream::connect(&path)).await;
        match stream {
            Ok(Ok(stream)) => waiting.push(stream),
            Ok(Err(error)) => break error.kind() == std::io::ErrorKind::WouldBlock,
            Err(_) => break true,
        }
    };
    assert!(full);
    assert!(matches!(bind(BindOptions::new(&path)).await, Err(BindError::AlreadyRunning { .. })));
}

#[tokio::test]
async fn what_is_no_socket_stays() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    std::fs::write(&path, "precious").unwrap();
    let error = bind(BindOptions::new(&path)).await.expect_err("a file");
    assert!(error.to_string().contains("no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let target = directory.path().join("dangling");
    std::os::unix::fs::symlink(directory.path().join("nowhere"), &target).unwrap();
    assert!(matches!(bind(BindOptions::new(&target)).await, Err(BindError::NotASocket { .. })));
}

#[tokio::test]
async fn paths_that_can_not_be_bound_say_what_to_do() {
    let directory = TempDir::new().unwrap();
    let missing = bind(BindOptions::new(directory.path().join("none/s"))).await.expect_err("no directory");
    assert!(missing.to_string().contains("none is missing; create it"), "{missing}");
    let long = bind(BindOptions::new(directory.path().join("x".repeat(108)))).await.expect_err("too long");
    assert!(matches!(long, BindError::PathTooLong { .. }) && long.to_string().contains("allows 107"), "{long}");
    let sealed = bind(BindOptions::new("/proc/s")).await.expect_err("nobody creates files in /proc");
    assert!(sealed.to_string().contains("/proc"), "{sealed}");
}

#[tokio::test]
async fn a_listener_leaves_a_file_that_took_its_place() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let listener = bind(BindOptions::new(&path)).await.expect("bound");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "another's").unwrap();
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn a_socket_that_was_handed_over_is_served_and_its_file_stays() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let inherited = OwnedFd::from(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let options = BindOptions { inherited: Some(inherited), ..BindOptions::new("/unused") };
    let listener = bind(options).await.expect("taken over");
    assert_eq!(listener.path(), None);
    let daemon = FakeDaemon::new(1 << 16);
    let (calls, _calls) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(serve(listener, daemon.clone(), calls, daemon.fanout.clone(), stopped));
    let mut client = Client::new(tokio::net::UnixStream::connect(&path).await.unwrap());
    assert!(client.call("ping", json!({})).await["time"].is_string());
    stop.send_replace(true);
    in_time("the end", served).await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn a_full_house_answers_busy_to_the_first_request_and_closes() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let house = House::build(Plan { limits, ..Plan::default() }).await;
    let mut first = house.connect().await;
    first.call("ping", json!({})).await;
    let mut second = house.connect().await;
    second.request(7, "status", json!({})).await;
    let answer = second.json().await;
    assert_eq!((&answer["id"], code(&answer["error"])), (&json!(7), "busy"));
    second.expect_end().await;
    first.call("ping", json!({})).await;
    drop(first);
    // Its place is free once the daemon has seen it go.
    in_time("a free place", async {
        loop {
            let mut next = house.connect().await;
            next.request(1, "ping", json!({})).await;
            if next.json().await.get("result").is_some() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_crowd_at_the_door_of_a_full_house_is_told_so_at_once() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let house = House::build(Plan { limits, ..Plan::default() }).await;
    let mut first = house.connect().await;
    first.call("ping", json!({})).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(house.connect().await);
    }
    // None of them asks anything, so that nobody's turn ends while they come.
    for client in &mut crowd {
        let told = client.json().await;
        assert_eq!((&told["id"], code(&told["error"])), (&json!(null), "busy"));
        client.expect_end().await;
    }
    first.call("ping", json!({})).await;
}

#[tokio::test]
async fn a_stop_writes_pending_answers_closes_idle_connections_and_removes_the_socket() {
    let mut house = House::open().await;
    let (mut busy, mut idle, mut subscribed) = (house.connect().await, house.connect().await, house.connect().await);
    idle.call("ping", json!({})).await;
    subscribed.call("subscribe", json!({"channels": ["change"]})).await;
    busy.request(1, "sync", json!({})).await;
    let call = house.next_call().await;
    house.stop.send_replace(true);
    idle.expect_end().await;
    subscribed.expect_end().await;
    assert!(!house.path.exists());
    call.reply.send(Ok(b"{}".to_vec())).unwrap();
    assert_eq!(busy.json().await["id"], 1);
    busy.expect_end().await;
    in_time("the end", house.served).await.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_an_answer_that_does_not_come() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    client.request(1, "sync", json!({})).await;
    let _never_answered = house.next_call().await;
    tokio::time::pause();
    house.stop.send_replace(true);
    let before = tokio::time::Instant::now();
    house.served.await.unwrap();
    assert!(before.elapsed() <= std::time::Duration::from_secs(3));
}
