//! What an application sees of its own changes, from the push to the verdict and after it.

use std::time::Instant;

use adminengine_dev::{Fault, Route, Rule};
use aesync_protocol::request::{ConflictsList, ConflictsResolve, Keep, PushWait, RecordsGet, Sync};
use aesync_protocol::response::{EntryState, RecordFound};
use aesyncd::Daemon;
use serde_json::{Value, json};

use crate::support::apps::{call, change, push, records};
use crate::support::truth::converged;
use crate::support::{PATIENCE, Scene, status_where, synced};

/// A server with one user, and a daemon that has it.
async fn scene_with_a_user() -> (Scene, Daemon, String) {
    let scene = Scene::hurried();
    let row = scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "c@example.com", "name": "Server"}));
    let id = row.expect("inserted")["id"].as_str().expect("an id").to_owned();
    let daemon = scene.start().await;
    synced(&daemon).await;
    (scene, daemon, id)
}

async fn get(daemon: &Daemon, id: &str) -> RecordFound {
    call(daemon, RecordsGet { entity_type: "end_user".to_owned(), id: id.to_owned() }).await
}

/// Until a record is so.
async fn get_where(daemon: &Daemon, id: &str, what: &str, is_so: impl Fn(&RecordFound) -> bool) -> RecordFound {
    let start = Instant::now();
    loop {
        let found = get(daemon, id).await;
        if is_so(&found) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come: {found:?}");
        tokio::task::yield_now().await;
    }
}

fn local(id: &str) -> Value {
    json!({"id": id, "email": "c@example.com", "name": "Local"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pushed_is_read_back_at_once_and_through_pulls_of_older_rows_until_its_verdict() {
    let (scene, daemon, id) = scene_with_a_user().await;
    let away = scene.world.faults().add(Rule::new(Fault::TooManyRequests { retry_after: Some("1".to_owned()) }).on(Route::Push));
    push(&daemon, "end_user", local(&id), PushWait::Queued).await;
    let found = get(&daemon, &id).await;
    assert!(found.pending, "{found:?}");
    assert_eq!((&found.record["name"], &found.base.expect("the server's row")["name"]), (&json!("Local"), &json!("Server")));

    // Rows that are pulled meanwhile change the base below it, and nothing else.
    for round in 0..3 {
        let name = json!(format!("Server {round}"));
        scene.world.device(&scene.tenant).update("end_user", &id, &json!({"name": name})).expect("there");
        let in_base = |found: &RecordFound| found.base.as_ref().is_some_and(|base| base["name"] == name);
        let found = get_where(&daemon, &id, "the pulled row", in_base).await;
        assert!(found.pending && found.record["name"] == "Local", "a pull hid the change: {found:?}");
    }
    assert_eq!(records(&daemon, "end_user").await[&id]["name"], "Local", "a listing shows the same");

    // The verdict: the server keeps its own row.
    assert!(scene.world.faults().remove(away));
    let found = get_where(&daemon, &id, "the verdict", |found| !found.pending).await;
    assert_eq!(found.record["name"], "Server 2");
    status_where(&daemon, "a conflict", |status| status.outbox.conflicts == 1).await;
    converged(&scene, &daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_that_is_settled_for_the_local_change_sends_it_once_more_and_tells_what_came_of_it() {
    let (scene, daemon, id) = scene_with_a_user().await;
    let entry = push(&daemon, "end_user", local(&id), PushWait::Confirmed).await;
    assert_eq!(entry.state, EntryState::Conflict);
    call(&daemon, ConflictsResolve { entry: entry.entry, keep: Keep::Local }).await;
    let sent_twice = || scene.world.writes(&scene.tenant, "end_user", &id).received == 2;
    status_where(&daemon, "the second try judged", |status| sent_twice() && status.outbox.conflicts == 1).await;
    let conflicts = call(&daemon, ConflictsList {}).await.conflicts;
    assert_eq!(
        (conflicts.len(), &conflicts[0].sent["name"]),
        (1, &json!("Local")),
        "the server dropped it again, and that is told"
    );

    // Not a third time by itself.
    call(&daemon, Sync {}).await;
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &id).received, 2);
    call(&daemon, ConflictsResolve { entry: conflicts[0].entry, keep: Keep::Server }).await;
    assert_eq!(synced(&daemon).await.outbox.conflicts, 0);
    assert_eq!(get(&daemon, &id).await.record["name"], "Server");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_seen_at_once_and_comes_back_when_the_server_drops_it() {
    let (scene, daemon, id) = scene_with_a_user().await;
    let away = scene.world.faults().add(Rule::new(Fault::TooManyRequests { retry_after: Some("1".to_owned()) }).on(Route::Push));
    let deletion = json!({"id": id, "is_deleted": 1});
    let entries = call(&daemon, change("end_user", vec![deletion], PushWait::Queued)).await.entries;
    assert!(records(&daemon, "end_user").await.is_empty(), "it is still listed");
    assert!(scene.world.faults().remove(away));
    status_where(&daemon, "a conflict", |status| status.outbox.conflicts == 1).await;
    assert_eq!(records(&daemon, "end_user").await.len(), 1, "the server kept the row, so it is here");
    let conflicts = call(&daemon, ConflictsList {}).await.conflicts;
    assert_eq!(conflicts[0].entry, entries[0].entry);
    daemon.stop().await;
}
