//! Every code of the contract, from a daemon in the state that it stands for. `permission_denied` needs another user: see `roles`.

use std::collections::BTreeSet;
use std::time::Instant;

use aesync_protocol::{Error, ErrorCode};
use serde_json::{Value, json};

use crate::house::{PATIENCE, own, own_signed_out, status_where, wait};
use crate::server::PASSWORD;
use crate::wire::error_of;

/// What is so for every application error.
#[track_caller]
fn assert_code(error: &Error, code: ErrorCode) -> serde_json::Map<String, Value> {
    let data = error.data.as_ref().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!((error.code, data.code.as_str(), data.retryable), (-32000, code.as_str(), code.retryable()), "{error:?}");
    assert!(!error.message.is_empty());
    data.more.clone()
}

#[test]
fn what_is_asked_wrongly_is_refused_by_its_own_code() {
    let Some(house) = own(&[("AESYNC_TUNING__OUTBOX_ENTRIES", "2")]) else { return };
    let mut wire = house.connect_synced();

    let error = wire.err("hello", json!({"client": {"name": "x", "version": "1"}, "protocol": 2}));
    assert_eq!(assert_code(&error, ErrorCode::Unsupported)["protocols"], json!([1]));
    for (method, params) in [
        ("records.get", json!({"entityType": "end_user", "id": "00000000-0000-4000-8000-000000000000"})),
        ("records.get", json!({"entityType": "nothing", "id": "00000000-0000-4000-8000-000000000000"})),
        ("outbox.edit", json!({"entry": 999, "data": {}})),
        ("conflicts.resolve", json!({"entry": 999, "keep": "server"})),
    ] {
        assert_code(&wire.err(method, params), ErrorCode::NotFound);
    }
    for (changes, entity_type, index, field) in [
        (json!({"end_user": [{"email": "good@example.com"}, {"id": 5, "email": "bad@example.com"}]}), "end_user", 1, "id"),
        (json!({"end_user": [{"email": "good@example.com"}, {"name": "No address"}]}), "end_user", 1, "email"),
        (json!({"end_user": [{"email": "good@example.com"}], "nothing": [{}]}), "nothing", 0, "entityType"),
    ] {
        let more = assert_code(&wire.err("push", json!({"changes": changes})), ErrorCode::InvalidEntity);
        assert_eq!((&more["entityType"], &more["index"], &more["field"]), (&json!(entity_type), &json!(index), &json!(field)));
        assert!(more["reason"].is_string());
    }
    let outbox = wire.ok("outbox.list", json!({}));
    assert_eq!(outbox["entries"], json!([]), "a push is all or nothing");
    let long = json!({"changes": {"end_user": [{"email": "long@example.com", "name": "x".repeat(1 << 20)}]}});
    assert_code(&wire.err("push", long), ErrorCode::TooLarge);
    let many = json!({"changes": {"end_user": [{"email": "1@x.org"}, {"email": "2@x.org"}, {"email": "3@x.org"}]}});
    assert_code(&wire.err("push", many), ErrorCode::StorageFull);
    for (method, params) in [
        ("subscribe", json!({"channels": ["change"], "since": 1_000_000})),
        ("subscribe", json!({"channels": ["change"], "since": 0, "log": "another"})),
        ("changes", json!({"since": 0, "log": "another"})),
    ] {
        let more = assert_code(&wire.err(method, params), ErrorCode::Gone);
        assert_eq!(more["reason"], "log_changed");
        assert!(more["log"].is_string() && more["firstSeq"].is_u64(), "{more:?}");
    }
    for (method, params) in [
        ("wait", json!({"for": "synced", "timeoutMs": 86_400_001})),
        ("changes", json!({"since": 0, "waitMs": 86_400_001})),
        ("push", json!({"changes": {}, "timeoutMs": 86_400_001})),
    ] {
        let error = wire.err(method, params);
        assert!(error.code == -32602 && error.message.contains("at most 86400000"), "{method}: {error:?}");
    }
    house.break_the_configuration();
    assert_code(&wire.err("config.reload", json!({})), ErrorCode::Misconfigured);
}

#[test]
fn what_the_server_does_not_let_through_is_told_by_its_own_code() {
    let Some(mut house) = own(&[]) else { return };
    let mut wire = house.connect_synced();
    let broken = house.server().fault(&json!({"fault": "fail", "failure": {"text": "out of order"}, "routes": ["pull_pending"]}));
    let more = assert_code(&wire.err("pullPending", json!({})), ErrorCode::ServerError);
    assert!(more["status"].is_u64() && more["serverMessage"].is_string(), "{more:?}");
    house.server().mend(&broken);
    let silent = house.server().fault(&json!({"fault": "never_answer", "routes": ["pull_pending"]}));
    assert_code(&wire.err("pullPending", json!({})), ErrorCode::Timeout);
    house.server().mend(&silent);

    wire.ok("pause", json!({}));
    for method in ["pull", "sync", "pullPending", "reconcile"] {
        assert_code(&wire.err(method, json!({})), ErrorCode::Paused);
    }
    wire.ok("resume", json!({}));
    wait(&mut wire, "synced");

    wire.ok("auth.logout", json!({}));
    for method in ["pull", "sync", "pullPending", "reconcile"] {
        assert_code(&wire.err(method, json!({})), ErrorCode::AuthRequired);
    }
    assert_code(&wire.err("auth.login", json!({"email": "ada@example.com", "password": "wrong"})), ErrorCode::AuthRequired);
    let token = house.server().token.clone();
    let other = json!({"token": token, "tenantId": "00000000-0000-4000-8000-000000000000"});
    assert_code(&wire.err("auth.setToken", other), ErrorCode::Misconfigured);
    wire.ok("auth.login", json!({"email": "ada@example.com", "password": PASSWORD}));
    wait(&mut wire, "synced");

    house.server = None;
    status_where(&mut wire, "offline", |status| status["status"] == "offline");
    for method in ["pull", "pullPending"] {
        assert_code(&wire.err(method, json!({})), ErrorCode::Offline);
    }
}

#[test]
fn a_full_house_is_busy_and_one_that_has_room_again_is_not() {
    let Some(house) = own(&[("AESYNC_IPC__MAX_CONNECTIONS", "2")]) else { return };
    // The connection that only looked whether the daemon listens may not have been seen off yet.
    let let_in = || {
        let start = Instant::now();
        loop {
            let mut next = house.connect();
            next.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
            let line = next.line().expect("an answer");
            if error_of(&line).is_none() {
                return next;
            }
            assert!(start.elapsed() < PATIENCE, "{line}");
        }
    };
    let (mut first, second) = (let_in(), let_in());
    let mut third = house.connect();
    assert_code(&third.err("ping", json!({})), ErrorCode::Busy);
    assert_eq!(third.line(), None);
    first.ok("ping", json!({}));
    drop(second);
    let_in();
}

#[test]
fn a_token_that_stays_on_the_disk_after_signing_out_is_a_failure_of_the_storage() {
    let Some(house) = own_signed_out() else { return };
    let mut wire = house.connect();
    wire.ok("auth.setToken", json!({"token": house.server().token}));
    // A directory with something in it can't be removed as a file is, not even by root.
    let kept = house.state_dir().join("token");
    std::fs::remove_file(&kept).expect("the token was kept");
    std::fs::create_dir_all(kept.join("in the way")).expect("made");
    assert_code(&wire.err("auth.logout", json!({})), ErrorCode::StorageFailed);
}

#[test]
fn the_codes_above_and_the_one_of_roles_are_all_there_are() {
    let provoked = concat!(include_str!("errors.rs"), include_str!("roles.rs"));
    let golden = include_str!("../golden/errors.ndjson");
    let codes: BTreeSet<String> = golden
        .lines()
        .filter_map(|line| serde_json::from_str::<Error>(&serde_json::from_str::<Value>(line).ok()?["error"].to_string()).ok())
        .filter_map(|error| error.name().map(str::to_owned))
        .collect();
    assert_eq!(codes.len(), 15);
    for code in codes {
        let code: ErrorCode = serde_json::from_value(code.into()).expect("a code");
        assert!(provoked.contains(&format!("ErrorCode::{code:?})")), "{code} is not provoked");
    }
}
