//! The listening socket: who may bind, who gets in, how it ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ipc_support;

use std::io::{BufRead as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use aesyncd::ipc::{AccessLists, BindError, BindOptions, Limits, bind, serve};
use ipc_support::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

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

/// Where the other users' side of the test below finds the socket and what to send.
const SPEAK_TO: &str = "AESYNC_TEST_SPEAK_TO";
const SPEAK: &str = "AESYNC_TEST_SPEAK";

/// The other users' side: the test below runs it in a process of theirs. By itself it has nothing to say.
#[test]
fn another_user_speaks() {
    let (Some(path), Ok(line)) = (std::env::var_os(SPEAK_TO), std::env::var(SPEAK)) else { return };
    let heard = std::os::unix::net::UnixStream::connect(path).and_then(|mut stream| {
        stream.write_all(line.as_bytes())?;
        let mut answer = String::new();
        std::io::BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    });
    println!("\nheard {}", heard.unwrap_or_else(|error| format!("{:?}", error.kind())));
}

/// What another user hears: the role from `hello`, or the error's code.
async fn as_user(path: &Path, user: u32, method: &str) -> String {
    let params = if method == "hello" { json!({"client": {"name": "t", "version": "1"}, "protocol": 1}) } else { json!({}) };
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut command = std::process::Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "another_user_speaks", "--nocapture"]);
    command.env(SPEAK_TO, path).env(SPEAK, format!("{line}\n"));
    let called = tokio::task::spawn_blocking(move || command.output());
    let output = in_time("another user's call", called).await.unwrap().expect("setpriv");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let heard = text.lines().find_map(|line| line.strip_prefix("heard ")).unwrap_or_else(|| panic!("{output:?}"));
    let Ok(answer) = serde_json::from_str::<Value>(heard) else { return heard.to_owned() };
    answer["result"]["role"].as_str().unwrap_or_else(|| code(&answer["error"])).to_owned()
}

#[tokio::test]
async fn other_users_have_the_roles_that_access_and_the_sockets_group_give_them() {
    if !nix::unistd::Uid::effective().is_root() || std::process::Command::new("setpriv").arg("--version").output().is_err() {
        println!("skipped: becoming another user needs root and setpriv");
        return;
    }
    let directory = TempDir::new().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("s");
    let access = AccessLists {
        observers: vec!["6001".to_owned(), "@6100".to_owned()],
        operators: vec!["6002".to_owned()],
        admins: vec!["6003".to_owned()],
    };
    let limits = Limits { connections_per_user: 1, ..Limits::default() };
    let listener = bind(BindOptions { access, limits, ..BindOptions::new(&path) }).await.expect("bound");
    let daemon = FakeDaemon::new(1 << 16);
    let (calls, _calls) = mpsc::channel(1);
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, daemon.clone(), calls, daemon.fanout.clone(), stopped));
    let refused = as_user(&path, 6001, "hello").await;
    assert!(refused.contains("PermissionDenied"), "0660 keeps others out: {refused}");
    // Let everybody reach the daemon, so that its own rules are what decides.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    for (user, method, expected) in [
        (6001, "hello", "observer"),
        (6001, "shutdown", "permission_denied"),
        (6002, "hello", "operator"),
        (6003, "hello", "admin"),
        (6100, "hello", "observer"),
        (6009, "hello", "permission_denied"),
    ] {
        assert_eq!(as_user(&path, user, method).await, expected, "{user} {method}");
    }
    // One connection too many for a user leaves the others alone.
    let path = directory.path().join("full");
    let limits = Limits { connections_per_user: 0, ..Limits::default() };
    let access = AccessLists { admins: vec!["6003".to_owned()], ..AccessLists::default() };
    let listener = bind(BindOptions { access, limits, ..BindOptions::new(&path) }).await.expect("bound");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (calls, _calls) = mpsc::channel(1);
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, daemon.clone(), calls, daemon.fanout.clone(), stopped));
    assert_eq!(as_user(&path, 6003, "hello").await, "busy");
    assert_eq!(as_user(&path, 0, "hello").await, "admin");
}
