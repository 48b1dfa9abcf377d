//! Whether the replica is what the server shows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adminengine_dev::World;
use aesync_protocol::status::OutboxStatus;
use aesync_protocol::{Record, StatusWord};
use aesyncd::Daemon;
use aesyncd::engine::fingerprint::BOOKKEEPING;

use super::apps::records;
use super::{PATIENCE, Scene};

/// The types of every scene.
pub const TYPES: [&str; 2] = ["end_user", "interactions"];

/// What the replica should hold of a type: what the server shows, without bookkeeping and secrets.
pub fn shown(world: &World, tenant: &str, entity_type: &str) -> BTreeMap<String, Record> {
    let rows = world.visible_rows(tenant, entity_type).into_iter();
    rows.map(|row| plain(row.as_object().cloned().expect("a row is an object"))).collect()
}

/// The replica's records of a type, without bookkeeping.
pub async fn held(daemon: &Daemon, entity_type: &str) -> BTreeMap<String, Record> {
    records(daemon, entity_type)
        .await
        .into_values()
        .map(|record| {
            assert!(!record.contains_key("password"), "a secret was stored: {record:?}");
            plain(record)
        })
        .collect()
}

fn plain(mut record: Record) -> (String, Record) {
    record.retain(|field, _| !BOOKKEEPING.contains(&field.as_str()) && field != "password");
    (record["id"].as_str().expect("an id").to_owned(), record)
}

/// What keeps the daemon from being converged; `None` when it is.
pub async fn divergence(scene: &Scene, daemon: &Daemon) -> Option<String> {
    let status = daemon.status().borrow().clone();
    if status.status != StatusWord::Synced {
        return Some(format!("the status is {}", status.status));
    }
    let waiting = OutboxStatus { conflicts: 0, ..status.outbox };
    if waiting.pending + waiting.sent + waiting.in_doubt + waiting.acked + waiting.quarantined + waiting.blocked > 0 {
        return Some(format!("the outbox is not empty: {waiting:?}"));
    }
    for entity_type in TYPES {
        let (shown, held) = (shown(&scene.world, &scene.tenant, entity_type), held(daemon, entity_type).await);
        if shown != held {
            let missing: Vec<_> = shown.keys().filter(|id| !held.contains_key(*id)).collect();
            let extra: Vec<_> = held.keys().filter(|id| !shown.contains_key(*id)).collect();
            let other: Vec<_> = held.iter().filter(|(id, record)| shown.get(*id).is_some_and(|row| row != *record)).collect();
            return Some(format!("{entity_type}: missing {missing:?}, extra {extra:?}, different {other:?}"));
        }
    }
    None
}

/// Waits until the replica is what the server shows, nothing waits, and the status says so.
pub async fn converged(scene: &Scene, daemon: &Daemon) {
    let start = Instant::now();
    while let Some(why) = divergence(scene, daemon).await {
        let status = daemon.status().borrow().clone();
        assert!(start.elapsed() < PATIENCE, "did not converge: {why}; {status:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
