//! What must be so whenever everything has come to rest.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use aesync_protocol::client::Client;
use aesync_protocol::request::{ConflictsList, GetStatus, RecordsList};
use aesync_protocol::{Record, Status, StatusWord};
use aesyncd::engine::fingerprint::BOOKKEEPING;
use serde_json::Value;

use super::follower::{Follower, Way};
use crate::app::{Promise, Promises};
use crate::stage::{PATIENCE, Stage};
use crate::support::Scene;
use crate::support::truth::{TYPES, shown};

type Records = BTreeMap<(String, String), Record>;

/// Waits until the daemon is synced with an empty outbox, its records are the server's rows and every fold is its records; then
/// looks for each acknowledged change.
pub(crate) fn check(scene: &Scene, stage: &Stage, promises: &Promises, followers: &[Follower]) {
    let deadline = Instant::now() + PATIENCE;
    let mut client = stage.connect().expect("the play is not over");
    while let Some(why) = unrest(scene, &mut client, followers) {
        stage.check();
        assert!(Instant::now() < deadline, "no rest: {why}; {:#?}", status(&mut client));
        thread::sleep(Duration::from_millis(20));
    }
    let conflicts = client.call(&ConflictsList {}).expect("answered").conflicts;
    let sent: Vec<_> = conflicts.into_iter().map(|conflict| (conflict.entity_type, conflict.id, conflict.sent)).collect();
    for ((entity_type, id), promise) in &*promises.lock().expect("the promises") {
        let row = scene.world.row(&scene.tenant, entity_type, id);
        let row = row.unwrap_or_else(|| panic!("{entity_type} {id} was acknowledged and is not on the server: {promise:?}"));
        let in_conflict = |title: &str| sent.iter().any(|(t, i, sent)| t == entity_type && i == id && sent["title"] == title);
        holds(&row, promise, in_conflict);
    }
    nothing_twice(scene);
}

fn status(client: &mut Client) -> Status {
    client.call(&GetStatus {}).expect("answered")
}

/// What is not at rest yet.
fn unrest(scene: &Scene, client: &mut Client, followers: &[Follower]) -> Option<String> {
    let status = status(client);
    let outbox = &status.outbox;
    let waiting = outbox.pending + outbox.sent + outbox.in_doubt + outbox.acked + outbox.quarantined + outbox.blocked;
    if status.status != StatusWord::Synced || waiting > 0 {
        return Some(format!("{} with {waiting} entries", status.status));
    }
    let listed: Records = TYPES.iter().flat_map(|entity_type| list(client, entity_type)).collect();
    let on_server = TYPES.iter().flat_map(|entity_type| {
        let rows = shown(&scene.world, &scene.tenant, entity_type);
        rows.into_iter().map(|(id, row)| ((String::from(*entity_type), id), row))
    });
    if let Some(why) = difference("the records are not the server's rows", &listed, &on_server.collect()) {
        return Some(why);
    }
    followers.iter().find_map(|follower| {
        let fold = follower.fold.lock().expect("the fold");
        let whole = !matches!(follower.way, Way::Filtered(_));
        if whole && fold.last != status.seq {
            return Some(format!("{:?} is at {} of {}", follower.way, fold.last, status.seq));
        }
        let folded = fold.records.iter().map(|(place, record)| (place.clone(), plain(record.clone()))).collect();
        let mut expected = listed.clone();
        if let Way::Filtered(only) = follower.way {
            expected.retain(|(entity_type, _), _| entity_type == only);
        }
        difference(&format!("the fold of {:?} is not the records", follower.way), &folded, &expected)
    })
}

fn list(client: &mut Client, entity_type: &str) -> Records {
    let mut found = Records::new();
    let mut after = None;
    loop {
        let params = RecordsList { entity_type: entity_type.to_owned(), limit: Some(1_000), after: after.take() };
        let page = client.call(&params).expect("answered");
        for listed in page.records {
            let id = listed.record["id"].as_str().expect("an id").to_owned();
            let known = found.insert((entity_type.to_owned(), id), plain(listed.record));
            assert!(known.is_none(), "listed twice: {known:?}");
        }
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// An unchanged row emits nothing (rule R24), so that a fold may have older bookkeeping.
fn plain(mut record: Record) -> Record {
    record.retain(|field, _| !BOOKKEEPING.contains(&field.as_str()));
    record
}

fn difference(what: &str, left: &Records, right: &Records) -> Option<String> {
    let place = left.keys().chain(right.keys()).find(|place| left.get(*place) != right.get(*place))?;
    Some(format!("{what}: {place:?} is {:?} against {:?}", left.get(place), right.get(place)))
}

/// The row is what was acknowledged last; or what was acknowledged first, and the later change is a conflict that is listed.
fn holds(row: &Value, promise: &Promise, in_conflict: impl Fn(&str) -> bool) {
    for (field, sent) in promise.created.as_object().expect("an object") {
        // A pull does not show the link.
        if field == "clientUser" {
            continue;
        }
        let edited = promise.retitled.as_deref().filter(|_| field == "title");
        match edited {
            Some(title) if row["title"] == title => {
                assert!(!in_conflict(title), "{title:?} is on the server, and a conflict as well");
            }
            Some(title) => assert!(in_conflict(title), "{title:?} was acknowledged and is nowhere: {row}"),
            None => assert_eq!(row[field], *sent, "{field} of {row}"),
        }
    }
}

/// Each row was inserted once, and no two rows came from one change: titles and addresses are all different.
fn nothing_twice(scene: &Scene) {
    for (entity_type, name) in [("end_user", "email"), ("interactions", "title")] {
        let mut seen = BTreeMap::new();
        for row in scene.world.rows(&scene.tenant, entity_type) {
            let id = row["id"].as_str().expect("an id").to_owned();
            assert_eq!(scene.world.writes(&scene.tenant, entity_type, &id).inserted, 1, "{row}");
            let twin = seen.insert(row[name].to_string(), id);
            assert!(twin.is_none(), "{row} is there twice, the other one is {twin:?}");
        }
    }
}
