//! Every fault does what its documentation says, and only where and as often as its rule says.

use std::time::{Duration, Instant};

use adminengine_dev::{Failure, Fault, Route, Rule};
use serde_json::{Value, json};

use crate::support::socket::Socket;
use crate::support::{self, Answer, Bench, EPOCH, PULL, PUSH, ids, interaction, new_id, user};

fn pull_body() -> Value {
    json!({ "lastSyncTimestamp": EPOCH, "entityTypes": ["end_user", "interactions"] })
}

#[tokio::test]
async fn a_dropped_request_was_not_carried_out() {
    let bench = Bench::start();
    bench.world.faults().next(1, Fault::DropRequest);
    let body = json!({ "changes": { "end_user": [user(&new_id())] } });
    assert!(bench.try_post(PUSH, &body).await.is_err());
    assert!(bench.pulled_users().await.is_empty());
    assert_eq!(bench.post(PUSH, &body).await.status, 200);
}

#[tokio::test]
async fn a_dropped_answer_was_carried_out() {
    let bench = Bench::start();
    bench.world.faults().next(1, Fault::DropAnswer);
    let id = new_id();
    let error = bench.try_post(PUSH, &json!({ "changes": { "end_user": [user(&id)] } })).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    assert_eq!(bench.pulled_users().await, [id]);
}

#[tokio::test]
async fn a_truncated_answer_ends_in_the_middle() {
    let bench = Bench::start();
    bench.world.faults().next(1, Fault::TruncateAnswer);
    let response = bench.http.post(bench.server.url() + PULL).bearer_auth(&bench.token).json(&pull_body()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn an_unanswered_request_hangs_with_or_without_its_work() {
    let bench = Bench::start();
    for (fault, rows) in [(Fault::NeverAnswer, 0), (Fault::NeverAnswerAfterWork, 1)] {
        bench.world.faults().next(1, fault.clone());
        let request = bench.http.post(bench.server.url() + PUSH).bearer_auth(&bench.token);
        let request = request.json(&json!({ "changes": { "end_user": [user(&new_id())] } }));
        let error = request.timeout(Duration::from_millis(200)).send().await.unwrap_err();
        assert!(error.is_timeout(), "{fault:?}: {error:?}");
        assert_eq!(bench.pulled_users().await.len(), rows, "{fault:?}");
    }
}

#[tokio::test]
async fn a_delay_comes_before_the_work() {
    let bench = Bench::start();
    bench.world.faults().next(1, Fault::Delay { ms: 150 });
    let begun = Instant::now();
    assert_eq!(bench.pull(EPOCH).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn something_in_front_of_the_server_answers_in_its_place() {
    let bench = Bench::start();
    let retry_after = |value: &str| Some(value.to_owned());
    let canned = Fault::Answer { status: 200, content_type: "application/json".into(), body: "{\"ok\":1}".into() };
    let redirect = Fault::Redirect { status: 302, location: "http://portal.example/".into() };
    let table = [
        (Fault::CaptivePortal, 200, Some(("content-type", "text/html"))),
        (Fault::BadGateway, 502, Some(("content-type", "text/html"))),
        (Fault::TooManyRequests { retry_after: retry_after("7") }, 429, Some(("retry-after", "7"))),
        (Fault::TooManyRequests { retry_after: None }, 429, None),
        (
            Fault::Unavailable { retry_after: retry_after("Wed, 21 Oct 2026 07:28:00 GMT") },
            503,
            Some(("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")),
        ),
        (redirect, 302, Some(("location", "http://portal.example/"))),
        (canned, 200, Some(("content-type", "application/json"))),
    ];
    for (fault, status, header) in table {
        bench.world.faults().set(fault.clone());
        for path in [PUSH, PULL, "/api/customers/login", "/socket.io/?EIO=4&transport=polling"] {
            let answer = bench.post(path, &json!({ "changes": { "end_user": [user(&new_id())] } })).await;
            assert_eq!(answer.status, status, "{fault:?} on {path}");
            if let Some((name, value)) = header {
                assert_eq!(answer.headers[name], value, "{fault:?} on {path}");
            }
        }
        bench.world.faults().clear();
    }
    assert!(bench.pulled_users().await.is_empty(), "the server itself saw nothing of it");
}

#[tokio::test]
async fn a_database_that_is_down_fails_every_sync_route_with_a_passing_text() {
    let bench = Bench::start();
    bench.world.faults().set(Fault::DatabaseDown);
    for (path, body) in [(PUSH, json!({ "changes": {} })), (PULL, pull_body()), (support::PULL_PENDING, pull_body())] {
        let answer = bench.post(path, &body).await;
        assert_eq!(answer.status, 500);
        assert!(answer.body["error"].as_str().unwrap().starts_with("Failed to initialize tenant database: "), "{path}");
    }
}

#[tokio::test]
async fn passing_failures_have_the_documented_texts() {
    let bench = Bench::start();
    let texts = [
        "connect ECONNREFUSED",
        "Failed to initialize tenant database: ",
        "terminating connection ",
        "duplicate key value violates unique constraint \"PK_",
    ];
    for (failure, text) in Failure::PASSING.into_iter().zip(texts) {
        bench.world.faults().next(1, Fault::Fail { failure });
        let answer = bench.push(json!({ "end_user": [user(&new_id())] })).await;
        assert_eq!(answer.status, 500);
        assert!(answer.body["error"].as_str().unwrap().starts_with(text), "{}", answer.text);
    }
    assert!(bench.pulled_users().await.is_empty());
}

#[tokio::test]
async fn a_push_can_be_stored_and_answered_with_500() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    bench.world.faults().next(1, Fault::StoreThenFail { failure: Failure::Terminating });
    let answer = bench.push(json!({ "end_user": [user(&new_id()), user(&new_id())] })).await;
    assert_eq!(answer.status, 500);
    assert_eq!(bench.pulled_users().await.len(), 2);
    let kinds: Vec<Value> = socket.drain().await.into_iter().map(|(_, argument)| argument["type"].clone()).collect();
    assert_eq!(kinds, ["data_available", "data_available", "sync_error"]);
}

#[tokio::test]
async fn a_push_can_fail_after_a_prefix() {
    let bench = Bench::start();
    bench.world.faults().set(Fault::StorePrefixThenFail { rows: 2, failure: Failure::UniqueEmail });
    let new: Vec<String> = (0..5).map(|_| new_id()).collect();
    let rows: Vec<Value> = new.iter().map(|id| user(id)).collect();
    let answer = bench.push(json!({ "end_user": rows })).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body["error"].as_str().unwrap().contains("\"UQ_"));
    let mut stored = bench.pulled_users().await;
    let mut expected = new[..2].to_vec();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
    assert_eq!(bench.push(json!({ "end_user": [rows[3].clone()] })).await.status, 200);
}

#[tokio::test]
async fn a_poisoned_row_fails_every_push_that_holds_it() {
    let bench = Bench::start();
    let (good, bad) = (new_id(), new_id());
    bench.world.faults().set(Fault::PoisonRow { id: bad.to_uppercase(), failure: Failure::Text("check constraint".into()) });
    for _ in 0..2 {
        let answer = bench.push(json!({ "end_user": [user(&good), user(&bad)] })).await;
        assert_eq!((answer.status, &answer.body["error"]), (500, &json!("check constraint")));
    }
    assert_eq!(bench.push(json!({ "end_user": [user(&good)] })).await.status, 200);
}

#[tokio::test]
async fn stamps_can_lie_ahead() {
    let bench = Bench::start();
    bench.world.faults().next(1, Fault::FutureStamp { ms: 3_600_000 });
    let ahead = bench.push(json!({ "end_user": [user(&new_id())] })).await;
    let row = &ahead.body["data"][0];
    assert!(row["updatedAt"].as_str() > ahead.body["syncTimestamp"].as_str());
    let pulled = bench.pull(ahead.body["syncTimestamp"].as_str().unwrap()).await;
    assert_eq!(ids(&pulled.body["data"]["end_user"]).len(), 1);
}

#[tokio::test]
async fn pushes_can_be_followed_by_a_storm_or_by_silence() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    bench.world.faults().next(1, Fault::NotificationStorm { notifications: 300 });
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    assert_eq!(socket.drain().await.len(), 302);
    bench.world.faults().next(1, Fault::MuteNotifications);
    bench.push(json!({ "end_user": [user(&new_id())] })).await;
    assert!(socket.drain().await.is_empty());
}

#[tokio::test]
async fn listings_can_be_empty_halved_or_missing() {
    let bench = Bench::start();
    let users: Vec<Value> = (0..10).map(|_| user(&new_id())).collect();
    bench.push(json!({ "end_user": users, "interactions": [interaction(&new_id())] })).await;
    let lengths = |answer: &Answer| {
        let length = |name: &str| answer.body["data"].get(name).map(|rows| rows.as_array().unwrap().len());
        (length("end_user"), length("interactions"))
    };
    let only = Some("end_user".to_owned());
    for (fault, expected) in [
        (Fault::SwallowError { entity_type: None }, (Some(0), Some(0))),
        (Fault::SwallowError { entity_type: only.clone() }, (Some(0), Some(1))),
        (Fault::HalfListing { entity_type: only.clone() }, (Some(5), Some(1))),
        (Fault::OmitType { entity_type: only.clone() }, (None, Some(1))),
        (Fault::OmitType { entity_type: None }, (None, None)),
    ] {
        bench.world.faults().next(1, fault.clone());
        let answer = bench.pull(EPOCH).await;
        assert_eq!((answer.status, lengths(&answer)), (200, expected), "{fault:?}");
    }
    assert_eq!(lengths(&bench.pull(EPOCH).await), (Some(10), Some(1)));
}

#[tokio::test]
async fn every_token_can_be_rejected() {
    let bench = Bench::start();
    let rule = bench.world.faults().set(Fault::RejectTokens);
    for (path, body) in [(PUSH, json!({ "changes": {} })), (PULL, pull_body())] {
        let answer = bench.post(path, &body).await;
        assert_eq!((answer.status, &answer.body["error"]), (401, &json!("Unauthorized")));
    }
    assert!(bench.world.faults().remove(rule));
    assert!(!bench.world.faults().remove(rule));
    assert_eq!(bench.pull(EPOCH).await.status, 200);
}

#[tokio::test]
async fn rules_choose_routes_tenants_counts_and_bodies() {
    let bench = Bench::start();
    let faults = bench.world.faults();
    let fail = || Rule::new(Fault::BadGateway);
    let push = || json!({ "end_user": [user(&new_id())] });

    faults.add(fail().on(Route::Push));
    assert_eq!((bench.pull(EPOCH).await.status, bench.push(push()).await.status), (200, 502));
    faults.clear();

    faults.add(fail().after(1).times(2));
    let statuses = [bench.pull(EPOCH).await.status, bench.push(push()).await.status, bench.pull(EPOCH).await.status];
    assert_eq!(statuses, [200, 502, 502]);
    assert_eq!(bench.pull(EPOCH).await.status, 200);
    assert!(faults.active().is_empty());

    faults.add(fail().of_tenant(&new_id()));
    assert_eq!(bench.pull(EPOCH).await.status, 200);
    faults.add(fail().of_tenant(&bench.tenant));
    assert_eq!(bench.pull(EPOCH).await.status, 502);
    faults.clear();

    faults.add(fail().on_full_listings());
    assert_eq!(bench.pull("2024-01-01T00:00:00.000Z").await.status, 200);
    assert_eq!(bench.pull(EPOCH).await.status, 502);
    faults.clear();

    faults.add(fail().when(|seen| seen.body.is_some_and(|body| body["changes"]["interactions"].is_array())));
    assert_eq!(bench.push(push()).await.status, 200);
    assert_eq!(bench.push(json!({ "interactions": [] })).await.status, 502);
}
