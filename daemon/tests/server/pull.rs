//! A pull goes through page by page, however large it is.

use std::time::Duration;

use adminengine_dev::{DevServer, Fault, Options, World};
use aesync_protocol::Timestamp;
use aesyncd::engine::effect::Request;
use aesyncd::engine::input::{FailureKind, RequestId, RestEvent};
use aesyncd::server::{Rest, RestOptions, ServerUrl};
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{self, FakeServer, Step, chunked, last_chunk, ok, send};

const START: &str = r#"{"success":true,"data":{"end_user":["#;
const END: &str = r#"]},"syncTimestamp":"2026-01-01T00:00:00.000Z"}"#;

fn pull(since: Timestamp) -> Request {
    Request::Pull { entity_types: vec!["end_user".into()], since }
}

fn rows(event: &RestEvent) -> usize {
    match event {
        RestEvent::Rows { rows, .. } => rows.len(),
        other => panic!("a page was expected, not {other:?}"),
    }
}

fn body_of(count: usize) -> String {
    let rows: Vec<String> = (0..count).map(|n| format!(r#"{{"id":"{n}"}}"#)).collect();
    format!("{START}{}{END}", rows.join(","))
}

#[tokio::test]
async fn at_most_two_pages_are_ahead_of_what_was_committed() {
    let server = FakeServer::answering(ok(&body_of(2_600))).await;
    let mut running = send(&server.rest(), pull(Timestamp::EPOCH));
    assert_eq!((rows(&running.next().await), rows(&running.next().await)), (500, 500));
    for _ in 0..3 {
        // Nothing says that no third page is on its way but that it does not come.
        assert!(timeout(Duration::from_millis(100), running.events.recv()).await.is_err(), "a page came unasked");
        running.handle.next_page();
        assert_eq!(rows(&running.next().await), 500);
    }
    running.handle.next_page();
    assert_eq!(rows(&running.next().await), 100);
    assert!(matches!(running.next().await, RestEvent::PullDone { .. }));
}

#[tokio::test]
async fn asking_more_often_than_pages_came_lets_no_more_of_them_ahead() {
    let server = FakeServer::answering(ok(&body_of(5_000))).await;
    let mut running = send(&server.rest(), pull(Timestamp::EPOCH));
    (0..50).for_each(|_| running.handle.next_page());
    let mut ahead = 0;
    while let Ok(Some(_)) = timeout(Duration::from_millis(200), running.events.recv()).await {
        ahead += 1;
    }
    assert!(ahead <= 4, "{ahead} pages came");
}

#[tokio::test]
async fn the_first_page_is_there_before_the_answer_is_whole() {
    let first = format!("{START}{}", (0..501).map(|n| format!(r#"{{"id":"{n}"}},"#)).collect::<String>());
    let server = FakeServer::answering(chunked(&[&first], Step::Hang)).await;
    let mut running = send(&server.rest(), pull(Timestamp::EPOCH));
    assert_eq!(rows(&running.next().await), 500);
}

#[tokio::test]
async fn rows_are_read_across_chunks_wherever_they_are_cut() {
    let body = format!(r#"{START}{{"id":"ä\u00e4\"}}","n":1.5}},{{"id":"2"}}{END}"#);
    for cut in (0..body.len()).filter(|at| body.is_char_boundary(*at)) {
        let pieces: Vec<&str> = [&body[..cut], &body[cut..]].into_iter().filter(|piece| !piece.is_empty()).collect();
        let server = FakeServer::answering(chunked(&pieces, last_chunk())).await;
        let events = send(&server.rest(), pull(Timestamp::EPOCH)).all().await;
        let [RestEvent::Rows { rows, .. }, RestEvent::PullDone { .. }] = &events[..] else { panic!("{cut}: {events:?}") };
        assert_eq!(json!(rows), json!([{"id": "ää\"}", "n": 1.5}, {"id": "2"}]));
    }
}

#[tokio::test]
async fn an_answer_that_goes_wrong_after_pages_fails_as_a_whole() {
    let good = (0..501).map(|n| format!(r#"{{"id":"{n}"}},"#)).collect::<String>();
    for (rest, then, kind) in [
        (format!("7{END}"), last_chunk(), FailureKind::NotOurs),
        (r#"{"id":"x"}]}}"#.to_owned(), last_chunk(), FailureKind::NotOurs),
        (r#"{"id":"x"}"#.to_owned(), last_chunk(), FailureKind::Broken),
        (r#"{"id":"x"}"#.to_owned(), Step::Close, FailureKind::Broken),
        (format!(r#"{{"id":"x"}}{END}"#), Step::Close, FailureKind::Broken),
    ] {
        let server = FakeServer::answering(chunked(&[START, &good, &rest], then)).await;
        let events = send(&server.rest(), pull(Timestamp::EPOCH)).all().await;
        let [pages @ .., RestEvent::Failed(failure)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(failure.kind, kind, "{rest}: {}", failure.detail);
        assert!(pages.iter().all(|page| rows(page) > 0));
    }
}

#[tokio::test]
async fn pages_that_are_never_committed_end_the_pull() {
    let server = FakeServer::answering(ok(&body_of(3_000))).await;
    let rest = server.rest_with(|options| options.timeouts.page_patience = Duration::from_millis(100));
    let mut running = send(&rest, pull(Timestamp::EPOCH));
    assert_eq!((rows(&running.next().await), rows(&running.next().await)), (500, 500));
    let RestEvent::Failed(failure) = running.next().await else { panic!("a failure") };
    assert!(failure.detail.contains("not stored in time"), "{}", failure.detail);
}

#[tokio::test]
async fn only_a_pull_of_everything_gets_more_time_for_its_headers() {
    let server = FakeServer::answering(vec![Step::Hang]).await;
    let rest = server.rest_with(|options| {
        options.timeouts.pull_headers = Duration::from_millis(50);
        options.timeouts.full_pull_headers = Duration::from_secs(3_600);
    });
    assert_eq!(send(&rest, pull(Timestamp::from_millis(1))).failure().await.kind, FailureKind::TimedOut);
    let mut full = send(&rest, pull(Timestamp::EPOCH));
    assert!(timeout(Duration::from_millis(300), full.events.recv()).await.is_err(), "it still waits");
}

#[tokio::test]
async fn against_the_development_server_what_was_pushed_is_pulled() {
    support::logs::gather();
    let world = World::new();
    let tenant = world.add_customer("ada@example.com", "secret");
    let server = DevServer::start(Options::new(world.clone())).expect("a server");
    let rest = Rest::new(RestOptions::new(ServerUrl::parse(&server.url()).expect("an address"))).expect("a client");
    let run = async |request: Request| {
        let (sender, mut events) = mpsc::channel(16);
        let handle = rest.send(RequestId(1), request, SecretString::from(world.token(&tenant)), sender);
        let mut all = Vec::new();
        while let Some((_, event)) = timeout(support::PATIENCE, events.recv()).await.expect("an event in time") {
            handle.next_page();
            all.push(event);
        }
        all
    };
    let row = |id: &str| json!({"id": id, "email": format!("{id}@example.com"), "password": "hunter2", "is_deleted": 0});
    let ids = ["6f9619ff-8b86-4011-b42d-00c04fc964ff", "6f9619ff-8b86-4011-b42d-00c04fc964fe"];
    let rows = ids.iter().filter_map(|id| row(id).as_object().cloned()).collect();
    let pushed = run(Request::Push { changes: vec![("end_user".into(), rows)] }).await;
    let [RestEvent::Pushed { rows }] = &pushed[..] else { panic!("{pushed:?}") };
    assert_eq!(rows.iter().map(|row| row["id"].as_str().expect("an id")).collect::<Vec<_>>(), ids);
    assert!(rows.iter().all(|row| row.get("password").is_none()));

    let pulled = run(pull(Timestamp::EPOCH)).await;
    let [RestEvent::Rows { rows, .. }, RestEvent::PullDone { listed, .. }] = &pulled[..] else { panic!("{pulled:?}") };
    assert_eq!((rows.len(), listed.as_slice()), (2, &["end_user".to_owned()][..]));
    assert!(rows.iter().all(|row| row.get("email").is_some() && row.get("password").is_none()));

    let pending = run(Request::PullPending { entity_types: vec!["end_user".into()] }).await;
    assert!(matches!(pending[..], [RestEvent::Pending(_)]), "{pending:?}");

    for (fault, kind) in [
        (Fault::DropRequest, FailureKind::Broken),
        (Fault::DropAnswer, FailureKind::Broken),
        (Fault::TruncateAnswer, FailureKind::Broken),
        (Fault::CaptivePortal, FailureKind::NotOurs),
        (Fault::RejectTokens, FailureKind::Status { status: 401, message: Some("Unauthorized".into()), retry_after: None }),
        (Fault::BadGateway, FailureKind::Status { status: 502, message: None, retry_after: None }),
    ] {
        world.faults().set(fault.clone());
        let events = run(pull(Timestamp::EPOCH)).await;
        let Some(RestEvent::Failed(failure)) = events.last() else { panic!("{fault:?}: {events:?}") };
        assert_eq!(failure.kind, kind, "{fault:?}: {}", failure.detail);
        world.faults().clear();
    }
    // As after five idle seconds: the pooled connection is gone, and nobody notices.
    run(pull(Timestamp::EPOCH)).await;
    world.faults().next(1, Fault::DropRequest);
    assert!(matches!(run(pull(Timestamp::EPOCH)).await.last(), Some(RestEvent::PullDone { .. })));
    server.stop();
}
