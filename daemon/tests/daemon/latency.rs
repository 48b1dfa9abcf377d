//! How long a change made elsewhere takes to a local subscriber.

use std::time::{Duration, Instant};

use aesync_protocol::event::{Channel, Event};
use serde_json::json;

use crate::support::apps::subscribe;
use crate::support::{Scene, synced};

/// How many changes are measured.
const CHANGES: usize = 100;
/// Far above what is to be expected, so that a busy machine does not fail the test: the figure is for people.
const SANE: Duration = Duration::from_secs(5);

/// The 150 ms in which hints are gathered are in force; the second that two pulls keep apart is not, since changes come one by one here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_made_on_the_server_reaches_a_subscriber_soon() {
    let scene = Scene::with(|config| config.tuning.pull_gap = Duration::from_millis(1));
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut events = subscribe(&daemon, &[Channel::Change]).await;
    let device = scene.world.device(&scene.tenant);
    let mut taken = Vec::with_capacity(CHANGES);
    for count in 0..CHANGES {
        let start = Instant::now();
        let row = device.insert("end_user", &json!({ "email": format!("{count}@example.com") })).expect("inserted");
        let id = row["id"].as_str().expect("an id").to_owned();
        let found = events.find("the change", move |event| match event {
            Event::Change { change } if change.id == id => Some(Instant::now()),
            _ => None,
        });
        taken.push(found.await - start);
        synced(&daemon).await;
    }
    taken.sort();
    let (p50, p90, worst) = (taken[CHANGES / 2], taken[CHANGES * 9 / 10], taken[CHANGES - 1]);
    println!("from the server's change to the subscriber's event, {CHANGES} times: p50 {p50:?}, p90 {p90:?}, worst {worst:?}");
    assert!(p50 >= Duration::from_millis(150), "hints are gathered for 150 ms: {p50:?}");
    assert!(worst < SANE, "{worst:?}");
    daemon.stop().await;
}
