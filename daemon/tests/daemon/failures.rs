//! What the documented client gets wrong, each by name: this daemon doesn't.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adminengine_dev::{Fault, RequestRecord, Route, SocketEnd};
use aesync_protocol::StatusWord;
use aesync_protocol::entity::Changes;
use aesync_protocol::request::{
    ConflictsList, ConflictsResolve, Keep, OutboxDiscard, Pull, PullPending, Push, PushWait, Reconcile,
};
use aesync_protocol::response::{EntryState, Verdict};
use serde_json::{Value, json};

use crate::support::apps::{call, change, code, outbox, push, records, try_call};
use crate::support::truth::converged;
use crate::support::{PATIENCE, Scene, status_where, synced, wait_for};

fn interaction(title: &str) -> Value {
    json!({"type": "call", "title": title, "description": "d", "date": "2026-01-01T10:00:00.000Z"})
}

/// Another client, as documented: over HTTP, with the answer's `syncTimestamp` as its cursor.
struct Documented {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Documented {
    fn new(scene: &Scene) -> Self {
        let url = scene.server.as_ref().expect("a server that runs").url();
        Self { http: reqwest::Client::new(), url, token: scene.world.token(&scene.tenant) }
    }

    async fn post(&self, route: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}/api/client/sync/{route}", self.url)).bearer_auth(&self.token);
        let answer = request.header("Content-Type", "application/json").body(body.to_string()).send().await.expect("answered");
        serde_json::from_slice(&answer.bytes().await.expect("a whole answer")).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_240_rows_pushed_in_batches_none_is_missed_where_a_cursor_of_the_servers_time_misses_some() {
    let scene = Scene::hurried();
    scene.world.faults().set(Fault::SlowCommit { ms: 3 });
    let daemon = scene.start().await;
    synced(&daemon).await;

    let (writer, naive) = (Documented::new(&scene), Documented::new(&scene));
    let done = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&done);
    let naive = tokio::spawn(async move {
        let (mut cursor, mut seen) = (json!("1970-01-01T00:00:00.000Z"), BTreeSet::new());
        loop {
            let last = over.load(Ordering::SeqCst);
            let answer = naive.post("pull", &json!({"lastSyncTimestamp": cursor, "entityTypes": ["end_user"]})).await;
            let rows = answer["data"]["end_user"].as_array().expect("a list").iter();
            seen.extend(rows.map(|row| row["id"].as_str().expect("an id").to_owned()));
            cursor = answer["syncTimestamp"].clone();
            if last {
                return seen.len();
            }
        }
    });
    for batch in 0..12 {
        let rows: Vec<Value> =
            (0..20).map(|count| json!({"email": format!("{batch}.{count}@example.com"), "is_deleted": 0})).collect();
        writer.post("push", &json!({"changes": {"end_user": rows}})).await;
    }
    done.store(true, Ordering::SeqCst);
    let naive = naive.await.expect("it pulled");
    assert!(naive < 240, "the server no longer makes a naive cursor lose rows, so this test shows nothing");
    converged(&scene, &daemon).await;
    assert_eq!(records(&daemon, "end_user").await.len(), 240);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pull_pending_is_asked_for_in_the_form_that_the_server_takes() {
    let scene = Scene::hurried();
    let device = scene.world.device(&scene.tenant);
    let user = device.insert("end_user", &json!({"email": "p@example.com", "password": "hush"})).expect("inserted");
    device.set_sync_status("end_user", user["id"].as_str().expect("an id"), "pending").expect("there");
    device.insert("interactions", &interaction("one")).expect("inserted");
    let documented = Documented::new(&scene).post("pull-pending", &json!({"entityTypes": ["end_user"]})).await;
    assert!(documented["error"].as_str().is_some_and(|error| error.contains("lastSyncTimestamp")), "{documented}");

    let daemon = scene.start().await;
    synced(&daemon).await;
    let pending = call(&daemon, PullPending::default()).await;
    assert_eq!(pending.data["end_user"].len(), 1);
    assert!(!pending.data["end_user"][0].contains_key("password"));
    assert_eq!(pending.data["interactions"].len(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reconnect_it_is_not_deaf() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    assert_eq!(scene.world.end_sockets(SocketEnd::Cut, None), 1);
    status_where(&daemon, "reconnected", |status| status.server.reconnects == 1 && status.status == StatusWord::Synced).await;
    // The poll floor is five minutes away.
    scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "heard@example.com"})).expect("inserted");
    let start = Instant::now();
    while records(&daemon, "end_user").await.is_empty() {
        assert!(start.elapsed() < PATIENCE, "it is deaf");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_the_server_drops_with_success_is_reported_as_a_conflict_and_can_be_settled() {
    let scene = Scene::hurried();
    let row = scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "c@example.com", "name": "Server"}));
    let id = row.expect("inserted")["id"].as_str().expect("an id").to_owned();
    let daemon = scene.start().await;
    synced(&daemon).await;

    let edit = json!({"id": id, "email": "c@example.com", "name": "Local"});
    let entry = push(&daemon, "end_user", edit.clone(), PushWait::Confirmed).await;
    assert_eq!(entry.state, EntryState::Conflict);
    assert!(matches!(&entry.verdict, Some(Verdict::Overwritten { server }) if server["name"] == "Server"), "{entry:?}");
    assert_eq!(records(&daemon, "end_user").await[&id]["name"], "Server");
    let conflicts = call(&daemon, ConflictsList {}).await.conflicts;
    assert_eq!(
        (conflicts.len(), &conflicts[0].sent["name"], &conflicts[0].server["name"]),
        (1, &json!("Local"), &json!("Server"))
    );
    let status = synced(&daemon).await;
    let codes: Vec<&str> = status.attention.iter().map(|attention| attention.code.as_str()).collect();
    assert_eq!(codes, ["conflicts", "updates_dropped"]);
    // Never sent again by itself (no ping-pong), whatever is pulled meanwhile.
    let received = scene.world.writes(&scene.tenant, "end_user", &id).received;
    scene.world.device(&scene.tenant).update("end_user", &id, &json!({"name": "Server 2"})).expect("there");
    converged(&scene, &daemon).await;
    assert_eq!((received, scene.world.writes(&scene.tenant, "end_user", &id).received), (1, 1));

    // From now on it is said at once.
    let warned = push(&daemon, "end_user", edit, PushWait::Confirmed).await;
    assert!(warned.warnings.iter().any(|warning| warning.contains("drops updates")), "{warned:?}");
    call(&daemon, ConflictsResolve { entry: conflicts[0].entry, keep: Keep::Server }).await;
    call(&daemon, ConflictsResolve { entry: warned.entry, keep: Keep::Server }).await;
    let status = synced(&daemon).await;
    assert_eq!(status.outbox.conflicts, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_answer_was_lost_does_not_make_a_second_row() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    scene.world.faults().add(adminengine_dev::Rule::new(Fault::DropAnswer).on(Route::Push).times(3));
    let entry = push(&daemon, "interactions", interaction("once"), PushWait::Confirmed).await;
    assert_eq!(entry.state, EntryState::Confirmed);
    assert_eq!(scene.world.rows(&scene.tenant, "interactions").len(), 1);
    converged(&scene, &daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_entity_does_not_hold_up_the_others_and_is_named() {
    let scene = Scene::hurried();
    scene.world.device(&scene.tenant).quietly().insert("end_user", &json!({"email": "taken@example.com"})).expect("inserted");
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut entities: Vec<Value> = (0..40).map(|count| json!({"email": format!("{count}@good.example")})).collect();
    entities.insert(17, json!({"email": "taken@example.com", "name": "Poison"}));
    let pushed = call(&daemon, change("end_user", entities, PushWait::Confirmed)).await;
    for (position, entry) in pushed.entries.iter().enumerate() {
        let expected = if position == 17 { EntryState::Quarantined } else { EntryState::Confirmed };
        assert_eq!(entry.state, expected, "{position}: {entry:?}");
    }
    let waiting = outbox(&daemon).await;
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].last_error.as_ref().is_some_and(|error| error.message.contains("unique constraint")), "{waiting:?}");
    let status = daemon.status().borrow().clone();
    assert!(status.attention.iter().any(|attention| attention.code == "quarantined" && attention.count == Some(1)));
    call(&daemon, OutboxDiscard { entries: Some(vec![waiting[0].entry]), all: None }).await;
    converged(&scene, &daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_server_takes_at_once_goes_in_several_requests_and_what_never_fits_is_refused_here() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    // Two bytes each in UTF-8: what counts is bytes.
    let large = |count: usize, email: &str| json!({"email": email, "name": "é".repeat(count)});
    let entities = (0..5).map(|count| large(25_000, &format!("{count}@large.example"))).collect();
    let pushed = call(&daemon, change("end_user", entities, PushWait::Confirmed)).await;
    assert!(pushed.entries.iter().all(|entry| entry.state == EntryState::Confirmed), "{pushed:?}");
    assert!(scene.world.requests().iter().all(|request| request.bytes <= 102_400));
    // As large as can be.
    let entity = large(50_600, "largest@large.example");
    assert_eq!(push(&daemon, "end_user", entity, PushWait::Confirmed).await.state, EntryState::Confirmed);

    let both = vec![json!({"email": "small@large.example"}), large(51_200, "never@large.example")];
    let error = try_call(&daemon, change("end_user", both, PushWait::Queued)).await.expect_err("too large");
    assert_eq!(code(&error), "too_large");
    assert_eq!(error.data.as_ref().expect("data").more["index"], 1);
    converged(&scene, &daemon).await;
    assert_eq!(records(&daemon, "end_user").await.len(), 6, "all or nothing");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_smaller_limit_gets_smaller_requests() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    scene.world.faults().add(adminengine_dev::Rule::new(Fault::BodyLimit { bytes: 2_000 }).on(Route::Push));
    let entities = (0..20).map(|count| json!({"email": format!("{count}@example.com"), "name": "n".repeat(300)})).collect();
    let pushed = call(&daemon, change("end_user", entities, PushWait::Confirmed)).await;
    assert!(pushed.entries.iter().all(|entry| entry.state == EntryState::Confirmed), "{pushed:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_answered_as_an_empty_list_deletes_nothing_moves_nothing_and_is_not_called_synced() {
    let scene = Scene::hurried();
    let device = scene.world.device(&scene.tenant);
    for count in 0..30 {
        device.insert("end_user", &json!({"email": format!("{count}@example.com")})).expect("inserted");
    }
    let daemon = scene.start().await;
    let before = synced(&daemon).await;
    let swallowed = scene.world.faults().set(Fault::SwallowError { entity_type: Some("end_user".to_owned()) });
    device.insert("end_user", &json!({"email": "unseen@example.com"})).expect("inserted");
    let status = status_where(&daemon, "suspicious", |status| status.types["end_user"].suspicious).await;
    assert_eq!(status.types["end_user"].high_water, before.types["end_user"].high_water);
    let last = scene.world.requests().last().map_or(0, |request| request.seq);
    let statuses = daemon.status();
    wait_for("a few more of these answers", || {
        assert_ne!(statuses.borrow().status, StatusWord::Synced);
        scene.world.requests_since(last).len() >= 8
    })
    .await;
    assert_eq!(records(&daemon, "end_user").await.len(), 30);
    assert!(scene.world.faults().remove(swallowed));
    converged(&scene, &daemon).await;
    assert_eq!(records(&daemon, "end_user").await.len(), 31);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_sync_is_not_done_by_an_error_answered_as_an_empty_list() {
    let scene = Scene::hurried();
    scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "there@example.com"})).expect("inserted");
    scene.world.faults().next(1, Fault::SwallowError { entity_type: None });
    let daemon = scene.start().await;
    synced(&daemon).await;
    assert_eq!(records(&daemon, "end_user").await.len(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_row_deleted_elsewhere_goes_after_two_listings_agree_and_asking_stops() {
    let mut scene = Scene::hurried();
    scene.config.tuning.reconcile_agree = Duration::from_secs(1);
    let device = scene.world.device(&scene.tenant);
    let hour_ago = scene.world.now().minus(Duration::from_secs(3_600));
    device.clone().stamped(hour_ago).insert("end_user", &json!({"email": "old@example.com"})).expect("inserted");
    let newest = device.insert("end_user", &json!({"email": "new@example.com"})).expect("inserted");
    let daemon = scene.start().await;
    synced(&daemon).await;
    let last = scene.world.requests().last().map_or(0, |request| request.seq);
    device.delete("end_user", newest["id"].as_str().expect("an id")).expect("there");
    converged(&scene, &daemon).await;
    assert_eq!(records(&daemon, "end_user").await.len(), 1);
    let requests = scene.world.requests_since(last);
    assert!(requests.len() <= 8, "{requests:#?}");
    for _ in 0..3 {
        call(&daemon, Pull::default()).await;
        assert!(!daemon.status().borrow().types["end_user"].suspicious);
    }
    synced(&daemon).await;
    let requests = scene.world.requests_since(last);
    let full = |request: &&RequestRecord| {
        request.entity_types == ["end_user"] && request.last_sync_timestamp.as_deref() == Some("1970-01-01T00:00:00.000Z")
    };
    assert_eq!(requests.iter().filter(full).count(), 2, "{requests:#?}");
    device.insert("end_user", &json!({"email": "next@example.com"})).expect("inserted");
    converged(&scene, &daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_deletions_than_the_brakes_allow_wait_for_a_person() {
    let mut scene = Scene::hurried();
    scene.config.tuning.reconcile_agree = Duration::from_millis(100);
    let device = scene.world.device(&scene.tenant).quietly();
    let rows: Vec<Value> = (0..40)
        .map(|count| device.insert("end_user", &json!({"email": format!("{count}@example.com")})).expect("inserted"))
        .collect();
    let daemon = scene.start().await;
    synced(&daemon).await;
    for row in &rows[..30] {
        assert!(device.erase("end_user", row["id"].as_str().expect("an id")));
    }
    for _ in 0..3 {
        let result = call(&daemon, Reconcile::default()).await.types["end_user"];
        assert_eq!((result.listed, result.deleted, result.held), (10, 0, 30));
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
    let status = daemon.status().borrow().clone();
    assert!(status.attention.iter().any(|attention| attention.code == "reconcile_held" && attention.count == Some(30)));
    assert_eq!(records(&daemon, "end_user").await.len(), 40);
    let result = call(&daemon, Reconcile { accept: Some(true), ..Reconcile::default() }).await.types["end_user"];
    assert_eq!((result.deleted, result.held), (30, 0));
    converged(&scene, &daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_and_its_children_arrive_in_order_however_they_are_pushed() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let user = "6f1c2f8e-94a0-4a3d-9a55-0c8d6c1f0a11";
    let mut child = interaction("first the child");
    child["clientUser"] = json!({"id": user});
    let push = Push {
        changes: Changes(vec![
            ("interactions".to_owned(), vec![child]),
            ("end_user".to_owned(), vec![json!({"id": user, "email": "parent@example.com"})]),
        ]),
        wait: Some(PushWait::Confirmed),
        ..Push::default()
    };
    let pushed = call(&daemon, push).await;
    assert!(pushed.entries.iter().all(|entry| entry.state == EntryState::Confirmed), "{pushed:?}");
    converged(&scene, &daemon).await;
    daemon.stop().await;
}
