//! Requests over HTTP: what is sent, what is reported, and what each failure is.

use std::time::{Duration, Instant};

use aesync_protocol::{Record, Timestamp};
use aesyncd::engine::effect::Request;
use aesyncd::engine::input::{FailureKind, RequestId, RestEvent};
use aesyncd::server::{Rest, RestOptions, ServerUrl};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{self, FakeServer, JSON, Step, TOKEN, answer, chunked, last_chunk, ok, send};

fn record(value: &Value) -> Record {
    value.as_object().cloned().expect("an object")
}

fn push() -> Request {
    let user = record(&json!({"id": "a", "email": "a@b.c", "is_deleted": 0}));
    let interaction = record(&json!({"id": "b", "type": "call"}));
    Request::Push { changes: vec![("end_user".into(), vec![user]), ("interactions".into(), vec![interaction])] }
}

fn pull() -> Request {
    Request::Pull {
        entity_types: vec!["end_user".into(), "interactions".into()],
        since: Timestamp::from_millis(1_767_225_600_120),
    }
}

fn pull_pending() -> Request {
    Request::PullPending { entity_types: vec!["end_user".into(), "interactions".into()] }
}

const PUSHED: &str =
    r#"{"success":true,"data":[{"id":"a","password":"hunter2"},17,{"id":"b"}],"syncTimestamp":"2026-01-01T00:00:00.000Z"}"#;

#[tokio::test]
async fn a_push_sends_the_changes_in_order_and_reports_the_rows_without_secrets() {
    let server = FakeServer::answering(ok(PUSHED)).await;
    let events = send(&server.rest(), push()).all().await;
    assert_eq!(events, [RestEvent::Pushed { rows: vec![json!({"id": "a"}), Value::Null, json!({"id": "b"})] }]);

    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert!(seen.head.starts_with("POST /api/client/sync/push HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("user-agent"), Some(concat!("aesyncd/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        seen.body,
        r#"{"changes":{"end_user":[{"id":"a","email":"a@b.c","is_deleted":0}],"interactions":[{"id":"b","type":"call"}]}}"#
    );
}

#[tokio::test]
async fn a_pull_reports_its_rows_and_then_its_end() {
    let body = r#"{"success":true,"data":{"end_user":[{"id":"2","password":"hunter2","n":1.10},{"id":"1"}],"interactions":[]},"syncTimestamp":"2026-01-02T00:00:00.000Z"}"#;
    let server = FakeServer::answering(ok(body)).await;
    let events = send(&server.rest(), pull()).all().await;
    assert_eq!(
        events,
        [
            RestEvent::Rows {
                entity_type: "end_user".into(),
                rows: vec![record(&json!({"id": "2", "n": 1.10})), record(&json!({"id": "1"}))]
            },
            RestEvent::PullDone {
                sync_timestamp: "2026-01-02T00:00:00.000Z".parse().expect("a timestamp"),
                listed: vec!["end_user".into(), "interactions".into()]
            },
        ]
    );
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.path(), "/api/client/sync/pull");
    assert_eq!(seen.body, r#"{"lastSyncTimestamp":"2026-01-01T00:00:00.120Z","entityTypes":["end_user","interactions"]}"#);
}

#[tokio::test]
async fn a_pull_pending_sends_a_timestamp_and_reports_the_rows_by_type() {
    let body = r#"{"success":true,"data":{"end_user":[],"interactions":[{"id":"b","Password":"x"}]},"syncTimestamp":"2026-01-02T00:00:00.000Z"}"#;
    let server = FakeServer::answering(ok(body)).await;
    let events = send(&server.rest(), pull_pending()).all().await;
    let [RestEvent::Pending(pending)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(json!(pending.data), json!({"end_user": [], "interactions": [{"id": "b"}]}));

    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.path(), "/api/client/sync/pull-pending");
    assert_eq!(seen.body, r#"{"lastSyncTimestamp":"1970-01-01T00:00:00.000Z","entityTypes":["end_user","interactions"]}"#);
}

#[tokio::test]
async fn an_error_status_is_reported_with_the_servers_message() {
    let status = |status, message: Option<&str>, retry_after: Option<u64>| FailureKind::Status {
        status,
        message: message.map(str::to_owned),
        retry_after: retry_after.map(Duration::from_secs),
    };
    let long = format!(r#"{{"message":"{}"}}"#, "m".repeat(5_000));
    for (steps, kind) in [
        (
            answer("401 Unauthorized", JSON, r#"{"success":false,"error":"Unauthorized"}"#),
            status(401, Some("Unauthorized"), None),
        ),
        (answer("500 Oops", JSON, r#"{"message":"Internal server error"}"#), status(500, Some("Internal server error"), None)),
        (answer("500 Oops", JSON, r#"{"error":{"message":"deep"}}"#), status(500, Some("deep"), None)),
        (answer("500 Oops", JSON, r#"{"success":false}"#), status(500, None, None)),
        (answer("500 Oops", JSON, &long), status(500, Some(&"m".repeat(1_000)), None)),
        (answer("502 Bad Gateway", "Content-Type: text/html\r\n", "<html>"), status(502, None, None)),
        (answer("503 Busy", "Retry-After: 7\r\n", ""), status(503, None, Some(7))),
        (
            answer("429 Slow", &format!("{JSON}Retry-After: 9999999\r\n"), r#"{"error":"slow"}"#),
            status(429, Some("slow"), Some(86_400)),
        ),
        (answer("302 Found", "Location: http://127.0.0.1:1/login\r\n", ""), status(302, None, None)),
        (answer("204 No Content", "", ""), status(204, None, None)),
        (answer("400 Bad", JSON, &"x".repeat(70_000)), status(400, None, None)),
        (vec![Step::Write(b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n{".to_vec()), Step::Close], status(500, None, None)),
    ] {
        for request in [push(), pull(), pull_pending()] {
            let server = FakeServer::answering(steps.clone()).await;
            let failure = send(&server.rest(), request).failure().await;
            assert_eq!(failure.kind, kind, "{}", failure.detail);
            assert!(failure.detail.contains("failed: "), "{}", failure.detail);
        }
    }
}

#[tokio::test]
async fn an_echoed_token_does_not_come_back() {
    let server = FakeServer::answering(answer("401 No", JSON, &format!(r#"{{"error":"Bearer {TOKEN} is no good"}}"#))).await;
    let failure = send(&server.rest(), push()).failure().await;
    assert!(!format!("{failure:?}").contains(TOKEN), "{failure:?}");
    assert!(failure.detail.contains("[hidden]"), "{failure:?}");
}

#[tokio::test]
async fn an_answer_of_something_else_is_not_ours() {
    let html = "Content-Type: text/html\r\n";
    for (steps, part) in [
        (answer("200 OK", html, "<html>Sign in to the hotel</html>"), "is no JSON"),
        (answer("200 OK", "", PUSHED), "is no JSON"),
        (answer("200 OK", html, PUSHED), "is no JSON"),
        (ok(""), ""),
        (ok("[]"), ""),
        (ok("null"), ""),
        (ok("{}"), "success"),
        (ok(r#"{"success":"true","data":[],"syncTimestamp":"2026-01-01T00:00:00.000Z"}"#), ""),
        (ok(r#"{"success":false,"data":[],"syncTimestamp":"2026-01-01T00:00:00.000Z"}"#), ""),
        (ok(r#"{"success":true,"syncTimestamp":"2026-01-01T00:00:00.000Z"}"#), ""),
        (ok(r#"{"success":true,"data":7,"syncTimestamp":"2026-01-01T00:00:00.000Z"}"#), ""),
    ] {
        for request in [push(), pull(), pull_pending()] {
            let server = FakeServer::answering(steps.clone()).await;
            let failure = send(&server.rest(), request.clone()).failure().await;
            // A body that is cut short is a broken connection where it is read row by row.
            let broken = matches!(steps.as_slice(), [Step::Write(bytes)] if bytes.ends_with(b"\r\n\r\n"))
                && !matches!(request, Request::Push { .. });
            assert_eq!(
                failure.kind,
                if broken { FailureKind::Broken } else { FailureKind::NotOurs },
                "{steps:?}: {}",
                failure.detail
            );
            assert!(failure.detail.contains(part), "{}", failure.detail);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let refused = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    for (url, part) in [(refused.as_str(), "refused"), ("http://no-such-host.invalid", "")] {
        let rest = Rest::new(RestOptions::new(ServerUrl::parse(url).expect("an address"))).expect("a client");
        let failure = send(&rest, push()).failure().await;
        assert_eq!(failure.kind, FailureKind::Unreachable, "{}", failure.detail);
        assert!(
            failure.detail.starts_with("pushing failed: ") && failure.detail.contains("check the network"),
            "{}",
            failure.detail
        );
        assert!(failure.detail.to_lowercase().contains(part), "{}", failure.detail);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_broken() {
    let head = || Step::Write(format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n{JSON}\r\n").into_bytes());
    for steps in [
        vec![Step::Reset],
        vec![Step::Close],
        vec![Step::Write(b"HTTP/1.1 200".to_vec()), Step::Close],
        vec![head(), Step::Close],
        vec![head(), Step::Write(br#"{"success":true,"data":"#.to_vec()), Step::Reset],
        vec![Step::Write(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Step::Close],
    ] {
        for request in [push(), pull(), pull_pending()] {
            let server = FakeServer::answering(steps.clone()).await;
            let failure = send(&server.rest(), request).failure().await;
            assert_eq!(failure.kind, FailureKind::Broken, "{steps:?}: {}", failure.detail);
            assert_eq!(server.seen().len(), 1, "over a new connection nothing is sent twice");
        }
    }
}

#[tokio::test]
async fn a_pooled_connection_that_was_reset_is_replaced_once() {
    // The first answer leaves its connection open; it breaks at the second request, as after the server's five seconds.
    let server =
        FakeServer::start(
            |seen| if seen.connection == 1 && seen.body.contains("entityTypes") { vec![Step::Reset] } else { ok(PUSHED) },
        )
        .await;
    let rest = server.rest();
    assert!(matches!(send(&rest, push()).all().await[..], [RestEvent::Pushed { .. }]));
    let failure = send(&rest, pull()).failure().await;
    assert_eq!(failure.kind, FailureKind::NotOurs, "the second connection answered: {}", failure.detail);
    assert_eq!(server.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [1, 1, 2]);
}

#[tokio::test]
async fn what_was_answered_in_part_is_not_sent_again() {
    let server = FakeServer::start(|seen| {
        if seen.body.contains("entityTypes") {
            chunked(&[r#"{"success":true,"data":{"end_user":[{"id":"1"},"#], Step::Reset)
        } else {
            ok(PUSHED)
        }
    })
    .await;
    let rest = server.rest();
    send(&rest, push()).all().await;
    assert_eq!(send(&rest, pull()).failure().await.kind, FailureKind::Broken);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn every_silence_has_a_deadline() {
    let short = Duration::from_millis(200);
    for (request, steps, part) in [
        (push(), vec![Step::Hang], "no whole answer"),
        (pull_pending(), vec![Step::Hang], "no whole answer"),
        (pull(), vec![Step::Hang], "no answer"),
        (push(), chunked(&[r#"{"success":true,"#], Step::Hang), "no whole answer"),
        (pull(), chunked(&[r#"{"success":true,"#], Step::Hang), "nothing more"),
        (Request::Pull { entity_types: vec!["end_user".into()], since: Timestamp::EPOCH }, vec![Step::Hang], "no answer"),
    ] {
        let server = FakeServer::answering(steps).await;
        let rest = server.rest_with(|options| {
            options.timeouts.request = short;
            options.timeouts.pull_headers = short;
            options.timeouts.full_pull_headers = short * 2;
            options.timeouts.silence = short;
        });
        let started = Instant::now();
        let failure = send(&rest, request).failure().await;
        assert_eq!(failure.kind, FailureKind::TimedOut, "{}", failure.detail);
        assert!(failure.detail.contains(part), "{}", failure.detail);
        assert!(started.elapsed() >= short && started.elapsed() < short * 10, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn an_answer_over_its_limit_is_too_large() {
    let large = format!(r#"{{"success":true,"data":[{{"x":"{}"}}]}}"#, "x".repeat(2_000));
    let row = format!(
        r#"{{"success":true,"data":{{"end_user":[{{"id":"1"}},{{"x":"{}"}}]}},"syncTimestamp":"2026-01-01T00:00:00.000Z"}}"#,
        "x".repeat(2_000)
    );
    for (request, steps) in [
        (push(), ok(&large)),
        (push(), chunked(&[&large], last_chunk())),
        // What says that it is too large is not waited for.
        (push(), vec![Step::Write(format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n{JSON}\r\n").into_bytes()), Step::Hang]),
        (pull_pending(), ok(&large)),
        (pull(), ok(&row)),
    ] {
        let server = FakeServer::answering(steps).await;
        let rest = server.rest_with(|options| {
            options.limits.push_answer_bytes = 1_000;
            options.limits.pending_answer_bytes = 1_000;
            options.limits.row_bytes = 1_000;
        });
        let failure = send(&rest, request).failure().await;
        assert_eq!(failure.kind, FailureKind::TooLarge, "{}", failure.detail);
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let server = FakeServer::answering(ok(PUSHED)).await;
    for token in ["", "line\nbreak"] {
        let (sender, mut events) = mpsc::channel(1);
        let _handle = server.rest().send(RequestId(1), push(), SecretString::from(token), sender);
        let Some((_, RestEvent::Failed(failure))) = events.recv().await else { panic!("a failure") };
        assert_eq!(failure.kind, FailureKind::NoToken);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_dropped_handle_ends_the_request() {
    let server = FakeServer::answering(vec![Step::Hang]).await;
    let running = send(&server.rest(), push());
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut events = running.events;
    drop(running.handle);
    assert_eq!(tokio::time::timeout(support::PATIENCE, events.recv()).await.expect("the end in time"), None);
}
