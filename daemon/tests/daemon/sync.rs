//! The main job: a daemon in this process against the development server.

use aesync_protocol::StatusWord;
use aesync_protocol::entity::Changes;
use aesync_protocol::request::{Push, PushWait, RecordsGet};
use aesync_protocol::response::{EntryState, Verdict};
use serde_json::json;

use crate::support::{Scene, status_where, with_client};

fn users(entities: Vec<serde_json::Value>) -> Push {
    Push { changes: Changes(vec![("end_user".to_owned(), entities)]), ..Push::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_with_a_token_becomes_synced() {
    let scene = Scene::new();
    scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "one@example.com", "name": "One"})).expect("inserted");
    let daemon = scene.start().await;
    let status = status_where(&daemon, "synced", |status| status.status == StatusWord::Synced).await;
    assert_eq!(status.types["end_user"].records, 1);
    assert!(status.has_synced);
    assert_eq!(status.server.tenant_id.as_deref(), Some(scene.tenant.as_str()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_confirmed_and_stands_on_the_server_once() {
    let scene = Scene::new();
    let daemon = scene.start().await;
    let pushed = with_client(&daemon, |client| {
        client.call(&Push { wait: Some(PushWait::Confirmed), ..users(vec![json!({"email": "two@example.com", "name": "Two"})]) })
    })
    .await
    .expect("pushed");
    let entry = &pushed.entries[0];
    assert_eq!((entry.state, &entry.verdict), (EntryState::Confirmed, &Some(Verdict::Accepted)));
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &entry.id).inserted, 1);
    let id = entry.id.clone();
    let found = with_client(&daemon, move |client| client.call(&RecordsGet { entity_type: "end_user".to_owned(), id }))
        .await
        .expect("found");
    assert!(!found.pending);
    assert_eq!(found.record["name"], "Two");
    status_where(&daemon, "synced", |status| status.status == StatusWord::Synced).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_while_the_server_is_down_arrives_when_it_is_back() {
    let mut scene = Scene::new();
    let daemon = scene.start().await;
    status_where(&daemon, "synced", |status| status.status == StatusWord::Synced).await;
    let gone = scene.kill_server();
    status_where(&daemon, "offline", |status| status.status == StatusWord::Offline).await;
    let pushed =
        with_client(&daemon, |client| client.call(&users(vec![json!({"email": "three@example.com"})]))).await.expect("queued");
    assert_eq!(pushed.entries[0].state, EntryState::Pending);
    scene.revive(gone);
    let status =
        status_where(&daemon, "synced again", |status| status.status == StatusWord::Synced && status.outbox.pending == 0).await;
    assert_eq!(status.outbox, aesync_protocol::status::OutboxStatus::default());
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &pushed.entries[0].id).inserted, 1);
    daemon.stop().await;
}
