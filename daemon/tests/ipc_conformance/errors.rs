//! Every code of the contract, from a daemon in the state that it stands for. `permission_denied` needs another user: `ipc_roles`.

use std::collections::BTreeSet;
use std::time::Duration;

use adminengine_dev::{Failure, Fault, Route, Rule};
use aesync_protocol::{Error, ErrorCode};
use serde_json::{Value, json};

use crate::support::{Scene, status_where, synced};
use crate::wire::{Wire, error_of};

/// What is so for every application error.
#[track_caller]
fn assert_code(error: &Error, code: ErrorCode) -> serde_json::Map<String, Value> {
    let data = error.data.as_ref().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!((error.code, data.code.as_str(), data.retryable), (-32000, code.as_str(), code.retryable()), "{error:?}");
    assert!(!error.message.is_empty());
    data.more.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_refused_by_its_own_code() {
    let mut scene = Scene::hurried();
    scene.config.tuning.outbox_entries = 2;
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;

    let error = wire.err("hello", json!({"client": {"name": "x", "version": "1"}, "protocol": 2})).await;
    assert_eq!(assert_code(&error, ErrorCode::Unsupported)["protocols"], json!([1]));
    for (method, params) in [
        ("records.get", json!({"entityType": "end_user", "id": "00000000-0000-4000-8000-000000000000"})),
        ("records.get", json!({"entityType": "nothing", "id": "00000000-0000-4000-8000-000000000000"})),
        ("outbox.edit", json!({"entry": 999, "data": {}})),
        ("conflicts.resolve", json!({"entry": 999, "keep": "server"})),
    ] {
        assert_code(&wire.err(method, params).await, ErrorCode::NotFound);
    }
    let mixed = json!({"changes": {"end_user": [{"email": "good@example.com"}, {"id": 5, "email": "bad@example.com"}]}});
    let more = assert_code(&wire.err("push", mixed).await, ErrorCode::InvalidEntity);
    assert_eq!((&more["entityType"], &more["index"], &more["field"]), (&json!("end_user"), &json!(1), &json!("id")));
    assert!(more["reason"].is_string());
    let outbox = wire.ok("outbox.list", json!({})).await;
    assert_eq!(outbox["entries"], json!([]), "a push is all or nothing");
    let long = json!({"changes": {"end_user": [{"email": "long@example.com", "name": "x".repeat(1 << 20)}]}});
    assert_code(&wire.err("push", long).await, ErrorCode::TooLarge);
    let many = json!({"changes": {"end_user": [{"email": "1@x.org"}, {"email": "2@x.org"}, {"email": "3@x.org"}]}});
    assert_code(&wire.err("push", many).await, ErrorCode::StorageFull);
    for (method, params) in [
        ("subscribe", json!({"channels": ["change"], "since": 1_000_000})),
        ("subscribe", json!({"channels": ["change"], "since": 0, "log": "another"})),
        ("changes", json!({"since": 0, "log": "another"})),
    ] {
        let more = assert_code(&wire.err(method, params).await, ErrorCode::Gone);
        assert_eq!(more["reason"], "log_changed");
        assert!(more["log"].is_string() && more["firstSeq"].is_u64(), "{more:?}");
    }
    // Without a file to read it from.
    assert_code(&wire.err("config.reload", json!({})).await, ErrorCode::Misconfigured);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_does_not_let_through_is_told_by_its_own_code() {
    let mut scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;
    let faults = scene.world.faults();

    let broken = faults.add(Rule::new(Fault::Fail { failure: Failure::Text("out of order".to_owned()) }).on(Route::PullPending));
    let more = assert_code(&wire.err("pullPending", json!({})).await, ErrorCode::ServerError);
    assert!(more["status"].is_u64() && more["serverMessage"].is_string(), "{more:?}");
    faults.remove(broken);
    let silent = faults.add(Rule::new(Fault::NeverAnswer).on(Route::PullPending));
    assert_code(&wire.err("pullPending", json!({})).await, ErrorCode::Timeout);
    faults.remove(silent);

    wire.ok("pause", json!({})).await;
    for method in ["pull", "sync", "pullPending", "reconcile"] {
        assert_code(&wire.err(method, json!({})).await, ErrorCode::Paused);
    }
    wire.ok("resume", json!({})).await;
    synced(&daemon).await;

    let gone = scene.kill_server();
    status_where(&daemon, "offline", |status| status.status == aesync_protocol::StatusWord::Offline).await;
    for method in ["pull", "pullPending"] {
        assert_code(&wire.err(method, json!({})).await, ErrorCode::Offline);
    }
    scene.revive(gone);
    synced(&daemon).await;

    wire.ok("auth.logout", json!({})).await;
    for method in ["pull", "sync", "pullPending", "reconcile"] {
        assert_code(&wire.err(method, json!({})).await, ErrorCode::AuthRequired);
    }
    assert_code(&wire.err("auth.login", json!({"email": "ada@example.com", "password": "wrong"})).await, ErrorCode::AuthRequired);
    let other = json!({"token": scene.world.token(&scene.tenant), "tenantId": "00000000-0000-4000-8000-000000000000"});
    assert_code(&wire.err("auth.setToken", other).await, ErrorCode::Misconfigured);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_house_is_busy_and_one_that_has_room_again_is_not() {
    let mut scene = Scene::hurried();
    scene.config.ipc.max_connections = 2;
    let daemon = scene.start().await;
    let (mut first, mut second) = (Wire::open(&daemon).await, Wire::open(&daemon).await);
    first.ok("ping", json!({})).await;
    second.ok("ping", json!({})).await;
    let mut third = Wire::open(&daemon).await;
    assert_code(&third.err("ping", json!({})).await, ErrorCode::Busy);
    assert_eq!(third.line().await, None);
    drop(second);
    let start = std::time::Instant::now();
    loop {
        let mut next = Wire::open(&daemon).await;
        next.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await;
        let line = next.line().await.expect("an answer");
        if error_of(&line).is_none() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{line}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_stays_on_the_disk_after_signing_out_is_a_failure_of_the_storage() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    let mut wire = Wire::open(&daemon).await;
    wire.ok("auth.setToken", json!({"token": scene.world.token(&scene.tenant)})).await;
    // A directory with something in it can't be removed as a file is, not even by root.
    let kept = scene.state_dir().join("token");
    std::fs::remove_file(&kept).expect("the token was kept");
    std::fs::create_dir_all(kept.join("in the way")).expect("made");
    assert_code(&wire.err("auth.logout", json!({})).await, ErrorCode::StorageFailed);
    daemon.stop().await;
}

#[test]
fn the_codes_above_and_the_one_of_roles_are_all_there_are() {
    let here = include_str!("errors.rs");
    let golden = include_str!("../../../protocol/tests/golden/errors.ndjson");
    let codes: BTreeSet<String> = golden
        .lines()
        .filter_map(|line| serde_json::from_str::<Error>(&serde_json::from_str::<Value>(line).ok()?["error"].to_string()).ok())
        .filter_map(|error| error.name().map(str::to_owned))
        .collect();
    assert_eq!(codes.len(), 15);
    for code in codes.iter().filter(|code| *code != "permission_denied") {
        let code: ErrorCode = serde_json::from_value(code.as_str().into()).expect("a code");
        assert!(here.contains(&format!("ErrorCode::{code:?})")), "{code} is not provoked");
    }
}
