//! What a stop owes to the next start: full listings after an unclean one, and what nobody has acknowledged.

use std::fs;
use std::time::Instant;

use aesync_protocol::client::Client;
use aesync_protocol::request::{AttentionAcknowledge, GetStatus};
use aesync_protocol::{Status, StatusWord};
use serde_json::json;

use crate::support::process::Process;
use crate::support::{PATIENCE, Scene};

/// Every wait short.
const HURRIED: &str = "[tuning]\nbackoff_min = \"50ms\"\nbackoff_max = \"300ms\"\npull_gap = \"50ms\"\n";

fn connect(scene: &Scene) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Client::connect_within(&scene.socket(), PATIENCE) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Waits for a status.
fn status_where(client: &mut Client, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = client.call(&GetStatus {}).expect("answered");
        if is_so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}; the status is {status:#?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn synced(client: &mut Client) -> Status {
    status_where(client, "synced", |status| status.status == StatusWord::Synced)
}

fn listed(status: &Status) -> usize {
    status.types.values().filter(|kind| kind.last_reconciled_at.is_some()).count()
}

#[test]
fn after_a_kill_every_type_is_listed_in_full() {
    let scene = Scene::new();
    scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "a@example.com"})).expect("inserted");
    let daemon = Process::start(&scene, HURRIED);
    assert_eq!(listed(&synced(&mut connect(&scene))), 0, "the first sync is no listing");
    daemon.kill();
    let daemon = Process::start(&scene, HURRIED);
    status_where(&mut connect(&scene), "listings", |status| listed(status) == 2);
    daemon.end();
}

#[test]
fn after_a_kill_every_type_is_listed_in_full_though_a_clean_stop_without_a_server_lies_in_between() {
    let mut scene = Scene::new();
    let daemon = Process::start(&scene, HURRIED);
    synced(&mut connect(&scene));
    daemon.kill();
    let stopped = scene.kill_server();
    let daemon = Process::start(&scene, HURRIED);
    status_where(&mut connect(&scene), "offline", |status| status.status == StatusWord::Offline);
    daemon.end();
    scene.revive(stopped);
    let daemon = Process::start(&scene, HURRIED);
    status_where(&mut connect(&scene), "listings", |status| listed(status) == 2);
    daemon.end();
    let daemon = Process::start(&scene, HURRIED);
    let mut client = connect(&scene);
    let before = synced(&mut client);
    assert_eq!(listed(&before), 2);
    daemon.end();
    let daemon = Process::start(&scene, HURRIED);
    let after = synced(&mut connect(&scene));
    let when = |status: &Status| status.types.values().map(|kind| kind.last_reconciled_at).collect::<Vec<_>>();
    assert_eq!(when(&after), when(&before), "once settled, no more are owed");
    daemon.end();
}

#[test]
fn that_the_store_was_lost_is_told_over_restarts_until_somebody_acknowledges_it() {
    let scene = Scene::new();
    let daemon = Process::start(&scene, HURRIED);
    synced(&mut connect(&scene));
    daemon.end();
    for times in 1..=2 {
        fs::write(scene.state_dir().join("sled/db"), "rubbish").expect("writable");
        let daemon = Process::start(&scene, HURRIED);
        synced(&mut connect(&scene));
        daemon.end();
        let daemon = Process::start(&scene, HURRIED);
        let status = synced(&mut connect(&scene));
        let lost = status.attention.iter().find(|item| item.code == "store_damaged").expect("still told");
        assert_eq!(lost.count, Some(times), "{lost:?}");
        assert!(lost.message.contains("damaged-") && lost.message.contains("`aectl acknowledge`"), "{lost:?}");
        daemon.end();
    }
    let daemon = Process::start(&scene, HURRIED);
    let mut client = connect(&scene);
    let told = |client: &mut Client| -> Vec<String> {
        client.call(&GetStatus {}).expect("answered").attention.into_iter().map(|item| item.code).collect()
    };
    assert_eq!(told(&mut client), ["outbox_restored", "store_damaged"]);
    let codes = Some(vec!["store_damaged".to_owned()]);
    assert_eq!(client.call(&AttentionAcknowledge { codes }).expect("answered").count, 1);
    assert_eq!(told(&mut client), ["outbox_restored"]);
    daemon.end();
    let daemon = Process::start(&scene, HURRIED);
    let mut client = connect(&scene);
    assert_eq!(told(&mut client), ["outbox_restored"]);
    assert_eq!(client.call(&AttentionAcknowledge { codes: None }).expect("answered").count, 1);
    assert_eq!(client.call(&AttentionAcknowledge { codes: None }).expect("answered").count, 0);
    assert_eq!(told(&mut client), Vec::<String>::new());
    daemon.end();
}
