//! Every channel of a subscription, its order and its resumption.

use std::collections::BTreeMap;

use adminengine_dev::Notification;
use aesync_protocol::event::{ChangeOp, Origin};
use aesync_protocol::response::EntryState;
use aesync_protocol::{Event, Record};
use serde_json::{Value, json};

use crate::support::{Scene, synced};
use crate::wire::Wire;

const ALL: [&str; 5] = ["status", "notification", "change", "outbox", "progress"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_has_its_events_and_the_first_is_the_status_as_it_is() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;
    let position = wire.ok("subscribe", json!({"channels": ALL})).await;
    let first = wire.event().await;
    assert!(matches!(&first, Event::Status { status } if status.feed.log == position["log"]), "{first:?}");

    scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "a@example.com"})).expect("inserted");
    let mut seen = BTreeMap::new();
    wire.event_where(|event| {
        let name = match event {
            Event::Status { .. } => "status",
            Event::Notification { notification } => {
                assert_eq!((notification.kind.as_str(), notification.entity_type.as_str()), ("data_available", "end_user"));
                "notification"
            }
            Event::Change { change } => {
                assert_eq!((change.op, change.origin, change.pending), (ChangeOp::Upsert, Origin::Server, false));
                "change"
            }
            Event::Progress(progress) => {
                assert!(["pull", "push", "reconcile"].contains(&progress.op.as_str()), "{progress:?}");
                "progress"
            }
            other => panic!("{other:?}"),
        };
        *seen.entry(name).or_insert(0) += 1;
        ["notification", "change"].iter().all(|name| seen.contains_key(name)).then_some(())
    })
    .await;

    let mut other = Wire::open(&daemon).await;
    let params = json!({"changes": {"end_user": [{"email": "b@example.com"}]}, "wait": "confirmed"});
    let pushed = other.ok("push", params).await["entries"][0]["entry"].clone();
    let mut states = Vec::new();
    let (mut local, mut progress) = (false, false);
    wire.event_where(|event| {
        match event {
            Event::Outbox { entry } => {
                assert_eq!(pushed, entry.entry);
                states.push(entry.state);
            }
            Event::Change { change } => local |= change.origin == Origin::Local && change.pending,
            Event::Progress(_) => progress = true,
            _ => {}
        }
        (states.last() == Some(&EntryState::Confirmed)).then_some(())
    })
    .await;
    assert_eq!(states.first(), Some(&EntryState::Pending), "{states:?}");
    assert!(local, "the change is in the feed at once");
    assert!(progress || seen.contains_key("progress"), "nothing was said of the pulls and the push");

    // The server's own data stays with the daemon.
    let secret = json!({"id": "x", "secret": "s3cret"});
    scene.world.notify(&scene.tenant, &Notification::existed("end_user", "x", secret));
    wire.event_where(|event| match event {
        Event::Notification { notification } if notification.kind == "sync_complete" => {
            assert!(!serde_json::to_string(event).expect("JSON").contains("s3cret"));
            Some(())
        }
        _ => None,
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folding_the_changes_from_nothing_gives_the_visible_replica_also_across_a_restart() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;
    let mut fold: BTreeMap<String, Record> = BTreeMap::new();
    let mut last = 0;
    let people =
        |range: std::ops::Range<u32>| range.map(|n| json!({"email": format!("{n}@example.com")})).collect::<Vec<Value>>();
    wire.ok("push", json!({"changes": {"end_user": people(0..30)}, "wait": "confirmed"})).await;
    let log = wire.ok("subscribe", json!({"channels": ["change"], "since": 0})).await["log"].clone();
    follow(&mut wire, &mut fold, &mut last, 30).await;
    daemon.stop().await;

    let daemon = scene.start().await;
    let mut other = Wire::open(&daemon).await;
    let pushed = other.ok("push", json!({"changes": {"end_user": people(30..60)}, "wait": "confirmed"})).await;
    let id = pushed["entries"][0]["id"].clone();
    let mut wire = Wire::open(&daemon).await;
    wire.ok("subscribe", json!({"channels": ["change"], "since": last, "log": log})).await;
    other.ok("push", json!({"changes": {"end_user": [{"id": id, "is_deleted": 1}]}, "wait": "confirmed"})).await;
    follow(&mut wire, &mut fold, &mut last, 59).await;
    let listed = other.ok("records.list", json!({"entityType": "end_user", "limit": 1000})).await;
    let seq = listed["seq"].as_u64().expect("a position");
    while last < seq {
        let Event::Change { change } = wire.event().await else { panic!("only changes were asked for") };
        apply(&mut fold, &mut last, change);
    }
    let visible: Vec<Value> = listed["records"].as_array().expect("rows").iter().map(|row| row["record"].clone()).collect();
    assert_eq!(fold.into_values().map(Value::Object).collect::<Vec<_>>(), visible);
    daemon.stop().await;
}

/// Until the fold has so many records that no change is pending for.
async fn follow(wire: &mut Wire, fold: &mut BTreeMap<String, Record>, last: &mut u64, records: usize) {
    let mut pending = BTreeMap::new();
    while fold.len() != records || pending.values().any(|pending| *pending) {
        let Event::Change { change } = wire.event().await else { panic!("only changes were asked for") };
        // What is gone holds no changes any more.
        pending.insert(change.id.clone(), change.pending && change.op == ChangeOp::Upsert);
        apply(fold, last, change);
    }
}

fn apply(fold: &mut BTreeMap<String, Record>, last: &mut u64, change: aesync_protocol::Change) {
    assert_eq!(change.seq, *last + 1, "no gap and no repeat");
    *last = change.seq;
    match change.op {
        ChangeOp::Upsert => fold.insert(change.id, change.record.expect("the record of an upsert")),
        ChangeOp::Delete => fold.remove(&change.id),
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_replaces_the_one_before_and_ends_when_it_is_said() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;
    wire.ok("subscribe", json!({"channels": ["change"]})).await;
    wire.ok("subscribe", json!({"channels": ["outbox"], "entityTypes": ["interactions"]})).await;
    let push = |email: &str| json!({"changes": {"end_user": [{"email": email}]}, "wait": "confirmed"});
    wire.ok("push", push("a@example.com")).await;
    let note = json!({"changes": {"interactions": [{"type": "call", "title": "t", "description": "d", "date": "2026-01-01T10:00:00.000Z"}]}});
    wire.ok("push", note).await;
    let entity_type = wire.event_where(|event| match event {
        Event::Outbox { entry } => Some(entry.entity_type.clone()),
        other => panic!("{other:?}"),
    });
    assert_eq!(entity_type.await, "interactions", "what was pushed before is of a type that was not asked for");
    wire.ok("unsubscribe", json!({})).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_progress_of_a_push_counts_up_to_a_total_that_stays() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;
    wire.ok("pause", json!({})).await;
    let users: Vec<_> = (0..60).map(|n| json!({"email": format!("{n}@example.com")})).collect();
    wire.ok("push", json!({"changes": {"end_user": users}})).await;
    wire.ok("subscribe", json!({"channels": ["progress"]})).await;
    wire.ok("resume", json!({})).await;
    let mut told = Vec::new();
    wire.event_where(|event| {
        let Event::Progress(progress) = event else { panic!("{event:?}") };
        if progress.op == "push" {
            told.push((progress.done, progress.total));
        }
        (told.last() == Some(&(60, Some(60)))).then_some(())
    })
    .await;
    assert!(told.is_sorted() && told.iter().all(|(_, total)| *total == Some(60)), "{told:?}");
    assert!(told.iter().any(|(done, _)| (1..60).contains(done)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_it_was_synced_last_is_known_after_a_restart_without_the_server() {
    let mut scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    daemon.stop().await;
    let _gone = scene.kill_server();
    let daemon = scene.start().await;
    let status = Wire::open(&daemon).await.ok("status", json!({})).await;
    assert!(status["hasSynced"] == true && status["status"] != "synced", "{status:#}");
    let pulled = ["end_user", "interactions"].map(|name| status["types"][name]["lastPulledAt"].as_str().expect("a time"));
    assert_eq!(status["lastSyncedAt"].as_str(), pulled.into_iter().min(), "{status:#}");
}
