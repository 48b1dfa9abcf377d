//! Every way in which the server misbehaves, alone and in pairs: once it is over, the daemon is converged, or says what is wrong.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use adminengine_dev::{Failure, Fault, Route, Rule, SocketEnd};
use aesync_protocol::request::PushWait;
use aesyncd::Daemon;
use serde_json::json;
use support::apps::push;
use support::truth::{converged, divergence};
use support::{PATIENCE, Scene, synced};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Scenes at a time: each has a server and a daemon of its own.
const AT_ONCE: usize = 6;

/// How a scene may end once the faults are over.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The replica is what the server shows, the outbox is empty, and the status says synced.
    Converged,
    /// As above, or this code is among `status.attention`.
    Reported(&'static str),
}
use End::{Converged, Reported};

/// Faults that are in force together, each for a few requests.
#[derive(Clone, Debug)]
struct Case {
    rules: Vec<Rule>,
    end: End,
}

fn case(rule: Rule, end: End) -> Case {
    Case { rules: vec![rule], end }
}

fn twice(fault: Fault) -> Rule {
    Rule::new(fault).times(2)
}

/// Requests of the socket are left alone: it is tried again only after its own deadline of 15 s.
fn twice_over_http(fault: Fault) -> Rule {
    twice(fault).on(Route::Push).on(Route::Pull)
}

fn answer(status: u16, content_type: &str, body: &str) -> Fault {
    Fault::Answer { status, content_type: content_type.to_owned(), body: body.to_owned() }
}

fn every_fault() -> Vec<Case> {
    let not_null = || Failure::NotNull("email".to_owned(), "end_user".to_owned());
    let mut cases = vec![
        case(twice(Fault::Delay { ms: 300 }), Converged),
        case(twice(Fault::DropRequest), Converged),
        case(twice(Fault::DropAnswer), Converged),
        case(twice(Fault::TruncateAnswer), Converged),
        case(twice_over_http(Fault::NeverAnswer), Converged),
        case(twice_over_http(Fault::NeverAnswerAfterWork), Converged),
        case(twice(Fault::CaptivePortal), Converged),
        case(twice(Fault::BadGateway), Converged),
        case(twice_over_http(Fault::TooManyRequests { retry_after: Some("1".to_owned()) }), Converged),
        case(twice_over_http(Fault::TooManyRequests { retry_after: None }), Converged),
        case(twice_over_http(Fault::Unavailable { retry_after: Some("1".to_owned()) }), Converged),
        case(twice(Fault::Redirect { status: 302, location: "http://127.0.0.1:1/".to_owned() }), Converged),
        case(twice(answer(200, "application/json", "{}")), Converged),
        case(twice(answer(200, "application/json", "{\"success\":true,\"data\":[]}")), Converged),
        case(twice(answer(200, "application/json", "not JSON")), Converged),
        case(twice(answer(404, "text/html", "<h1>not found</h1>")), Converged),
        case(twice(answer(502, "application/json", "{\"message\":\"Bad gateway\"}")), Converged),
        case(twice(answer(404, "application/json", "{\"message\":\"Route not found\"}")).on(Route::Pull), Converged),
        case(
            twice(answer(404, "application/json", "{\"message\":\"Route not found\"}")).on(Route::Push),
            Reported("push_stopped"),
        ),
        case(twice(answer(400, "application/json", "{\"error\":\"\\\"table\\\" is required\"}")).on(Route::Push), Converged),
        case(twice(Fault::DatabaseDown), Converged),
        case(twice(Fault::RejectTokens), Reported("auth_required")),
        case(twice(Fault::Fail { failure: not_null() }).on(Route::Push), Converged),
        case(twice(Fault::BodyLimit { bytes: 10 }), Converged),
        case(twice(Fault::StorePrefixThenFail { rows: 1, failure: not_null() }), Converged),
        case(twice(Fault::SlowCommit { ms: 200 }), Converged),
        case(twice(Fault::FutureStamp { ms: 3_600_000 }), Converged),
        case(twice(Fault::NotificationStorm { notifications: 2_000 }), Converged),
        case(twice(Fault::MuteNotifications), Converged),
        case(twice(Fault::RefuseUpgrade { status: 403 }), Converged),
        case(Rule::new(Fault::IgnoreAuthenticate).times(1), Converged),
        case(Rule::new(Fault::RefuseAuthenticate).times(1), Converged),
        case(Rule::new(Fault::DeafMembership).times(1), Converged),
    ];
    for failure in Failure::PASSING {
        cases.push(case(twice(Fault::Fail { failure: failure.clone() }), Converged));
        cases.push(case(twice(Fault::StoreThenFail { failure }), Converged));
    }
    for entity_type in [None, Some("end_user".to_owned())] {
        cases.push(case(twice(Fault::SwallowError { entity_type: entity_type.clone() }), Converged));
        cases.push(case(twice(Fault::OmitType { entity_type: entity_type.clone() }), Converged));
        cases.push(case(twice(Fault::HalfListing { entity_type }), Converged));
    }
    cases
}

fn pairs() -> Vec<Case> {
    let pair = |first: Rule, second: Rule| Case { rules: vec![first, second], end: Converged };
    let passing = || Failure::TenantDatabase;
    vec![
        pair(twice(Fault::DropAnswer).on(Route::Push), twice(Fault::SwallowError { entity_type: None })),
        pair(twice(Fault::StoreThenFail { failure: passing() }), twice(Fault::MuteNotifications)),
        pair(twice(Fault::StoreThenFail { failure: passing() }), twice(Fault::SwallowError { entity_type: None })),
        pair(twice(Fault::StorePrefixThenFail { rows: 1, failure: passing() }), twice(Fault::HalfListing { entity_type: None })),
        pair(twice(Fault::SlowCommit { ms: 300 }), twice(Fault::DropAnswer).on(Route::Push)),
        pair(twice(Fault::SlowCommit { ms: 300 }), twice(Fault::FutureStamp { ms: 3_600_000 })),
        pair(twice(Fault::FutureStamp { ms: 3_600_000 }), twice(Fault::SwallowError { entity_type: None })),
        pair(Rule::new(Fault::DeafMembership).times(1), twice(Fault::MuteNotifications)),
        pair(twice(Fault::RefuseUpgrade { status: 403 }), twice(Fault::DropAnswer)),
        pair(twice(Fault::RefuseUpgrade { status: 403 }), twice(Fault::DatabaseDown)),
        pair(twice(Fault::CaptivePortal), twice(Fault::TruncateAnswer)),
        pair(twice(Fault::DatabaseDown), twice(Fault::HalfListing { entity_type: None })),
        pair(twice(Fault::OmitType { entity_type: None }), twice(Fault::HalfListing { entity_type: None })),
        pair(twice_over_http(Fault::NeverAnswerAfterWork), twice(Fault::NotificationStorm { notifications: 2_000 })),
    ]
}

/// A daemon that is synced with some rows; then the faults, with work on both sides until each of them has struck as often as it should.
async fn play(case: Case) {
    let Case { rules, end } = case;
    let mut scene = Scene::hurried();
    scene.config.sync.interval = Duration::from_millis(500);
    scene.config.tuning.ping_interval = Duration::from_millis(300);
    scene.config.tuning.silence = Duration::from_secs(2);
    let device = scene.world.device(&scene.tenant);
    for count in 0..5 {
        let user = device.insert("end_user", &json!({ "email": format!("{count}@first.example"), "password": "hush" }));
        let id = user.expect("inserted")["id"].clone();
        let about = json!({"type": "call", "title": count.to_string(), "description": "d", "date": "2026-01-01T10:00:00.000Z",
            "clientUser": {"id": id}});
        device.insert("interactions", &about).expect("inserted");
    }
    let daemon = scene.start().await;
    synced(&daemon).await;

    for rule in &rules {
        scene.world.faults().add(rule.clone());
    }
    scene.world.end_sockets(SocketEnd::Cut, None);
    let start = Instant::now();
    let mut round = 0;
    while round < 2 || (!scene.world.faults().active().is_empty() && !is_reported(&daemon, end)) {
        assert!(start.elapsed() < PATIENCE, "{rules:?} did not strike; {:#?}", daemon.status().borrow());
        round += 1;
        let email = format!("{round}@local.example");
        push(&daemon, "end_user", json!({ "email": email, "password": "hush" }), PushWait::Queued).await;
        device.insert("end_user", &json!({ "email": format!("{round}@remote.example") })).expect("inserted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.world.faults().clear();
    match end {
        Converged => converged(&scene, &daemon).await,
        Reported(code) => {
            let start = Instant::now();
            while !is_reported(&daemon, end) {
                let Some(why) = divergence(&scene, &daemon).await else { break };
                assert!(start.elapsed() < PATIENCE, "{rules:?}: neither {code} nor converged: {why}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    for row in scene.world.rows(&scene.tenant, "end_user") {
        let id = row["id"].as_str().expect("an id");
        assert_eq!(scene.world.writes(&scene.tenant, "end_user", id).inserted, 1, "{rules:?}: {row}");
    }
    daemon.stop().await;
}

fn is_reported(daemon: &Daemon, end: End) -> bool {
    let Reported(code) = end else { return false };
    daemon.status().borrow().attention.iter().any(|attention| attention.code == code)
}

async fn play_all(cases: Vec<Case>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for case in cases {
        let room = Arc::clone(&room);
        playing.spawn(async move {
            let _turn = room.acquire_owned().await.expect("never closed");
            let rules = case.rules.clone();
            (rules, tokio::spawn(play(case)).await)
        });
    }
    let mut failed = Vec::new();
    while let Some(played) = playing.join_next().await {
        let (rules, outcome) = played.expect("its panic is caught inside");
        if outcome.is_err() {
            failed.push(rules);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_fault_alone_the_daemon_is_converged_or_says_what_is_wrong() {
    play_all(every_fault()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_pairs_of_faults_the_daemon_is_converged() {
    play_all(pairs()).await;
}
