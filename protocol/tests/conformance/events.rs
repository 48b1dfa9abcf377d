//! Every channel of a subscription, its order and its resumption.

use std::collections::BTreeMap;

use aesync_protocol::event::{ChangeOp, Origin};
use aesync_protocol::response::EntryState;
use aesync_protocol::{Event, Record};
use serde_json::{Value, json};

use crate::house::{own, own_signed_out, status_where, wait};
use crate::server::PASSWORD;
use crate::wire::Wire;

const ALL: [&str; 5] = ["status", "notification", "change", "outbox", "progress"];

#[test]
fn every_channel_has_its_events_and_the_first_is_the_status_as_it_is() {
    let Some(house) = own(&[]) else { return };
    let mut wire = house.connect_synced();
    let position = wire.ok("subscribe", json!({"channels": ALL}));
    let first = wire.event();
    assert!(matches!(&first, Event::Status { status } if status.feed.log == position["log"]), "{first:?}");

    house.server().edit("insert", None, &json!({"email": "a@example.com"}));
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
    });

    let mut other = house.connect();
    let params = json!({"changes": {"end_user": [{"email": "b@example.com"}]}, "wait": "confirmed"});
    let pushed = other.ok("push", params)["entries"][0]["entry"].clone();
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
    });
    assert_eq!(states.first(), Some(&EntryState::Pending), "{states:?}");
    assert!(local, "the change is in the feed at once");
    assert!(progress || seen.contains_key("progress"), "nothing was said of the pulls and the push");

    // The server's own data stays with the daemon.
    let secret = json!({"type": "sync_complete", "entityType": "end_user", "entityId": "x", "message": "Entity already exists",
        "timestamp": "2026-01-31T12:00:00.000Z", "data": {"id": "x", "secret": "s3cret"}});
    house.server().post("notifications", &json!({"tenant": house.server().tenant, "argument": secret}));
    wire.event_where(|event| match event {
        Event::Notification { notification } if notification.kind == "sync_complete" => {
            assert!(!serde_json::to_string(event).expect("JSON").contains("s3cret"));
            Some(())
        }
        _ => None,
    });
}

#[test]
fn folding_the_changes_from_nothing_gives_the_visible_replica_also_across_a_restart() {
    let Some(mut house) = own(&[]) else { return };
    let mut wire = house.connect_synced();
    let mut fold: BTreeMap<String, Record> = BTreeMap::new();
    let mut last = 0;
    let people =
        |range: std::ops::Range<u32>| range.map(|n| json!({"email": format!("{n}@example.com")})).collect::<Vec<Value>>();
    wire.ok("push", json!({"changes": {"end_user": people(0..30)}, "wait": "confirmed"}));
    let log = wire.ok("subscribe", json!({"channels": ["change"], "since": 0}))["log"].clone();
    follow(&mut wire, &mut fold, &mut last, 30);

    house.stop_daemon();
    house.start_daemon();
    let mut other = house.connect();
    let pushed = other.ok("push", json!({"changes": {"end_user": people(30..60)}, "wait": "confirmed"}));
    let id = pushed["entries"][0]["id"].clone();
    let mut wire = house.connect();
    wire.ok("subscribe", json!({"channels": ["change"], "since": last, "log": log}));
    other.ok("push", json!({"changes": {"end_user": [{"id": id, "is_deleted": 1}]}, "wait": "confirmed"}));
    follow(&mut wire, &mut fold, &mut last, 59);
    let listed = other.ok("records.list", json!({"entityType": "end_user", "limit": 1000}));
    let seq = listed["seq"].as_u64().expect("a position");
    while last < seq {
        let Event::Change { change } = wire.event() else { panic!("only changes were asked for") };
        apply(&mut fold, &mut last, change);
    }
    let visible: Vec<Value> = listed["records"].as_array().expect("rows").iter().map(|row| row["record"].clone()).collect();
    assert_eq!(fold.into_values().map(Value::Object).collect::<Vec<_>>(), visible);
}

/// Until the fold has so many records that no change is pending for.
fn follow(wire: &mut Wire, fold: &mut BTreeMap<String, Record>, last: &mut u64, records: usize) {
    let mut pending = BTreeMap::new();
    while fold.len() != records || pending.values().any(|pending| *pending) {
        let Event::Change { change } = wire.event() else { panic!("only changes were asked for") };
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

#[test]
fn a_subscription_replaces_the_one_before_and_ends_when_it_is_said() {
    let Some(house) = own(&[]) else { return };
    let mut wire = house.connect_synced();
    wire.ok("subscribe", json!({"channels": ["change"]}));
    wire.ok("subscribe", json!({"channels": ["outbox"], "entityTypes": ["interactions"]}));
    let push = |email: &str| json!({"changes": {"end_user": [{"email": email}]}, "wait": "confirmed"});
    wire.ok("push", push("a@example.com"));
    let note = json!({"changes": {"interactions": [{"type": "call", "title": "t", "description": "d", "date": "2026-01-01T10:00:00.000Z"}]}});
    wire.ok("push", note);
    let entity_type = wire.event_where(|event| match event {
        Event::Outbox { entry } => Some(entry.entity_type.clone()),
        other => panic!("{other:?}"),
    });
    assert_eq!(entity_type, "interactions", "what was pushed before is of a type that was not asked for");
    wire.ok("unsubscribe", json!({}));
}

#[test]
fn the_progress_of_a_push_counts_up_to_a_total_that_stays() {
    let Some(house) = own(&[]) else { return };
    let mut wire = house.connect_synced();
    wire.ok("pause", json!({}));
    let users: Vec<_> = (0..60).map(|n| json!({"email": format!("{n}@example.com")})).collect();
    wire.ok("push", json!({"changes": {"end_user": users}}));
    wire.ok("subscribe", json!({"channels": ["progress"]}));
    wire.ok("resume", json!({}));
    let mut told = Vec::new();
    wire.event_where(|event| {
        let Event::Progress(progress) = event else { panic!("{event:?}") };
        if progress.op == "push" {
            told.push((progress.done, progress.total));
        }
        (told.last() == Some(&(60, Some(60)))).then_some(())
    });
    assert!(told.is_sorted() && told.iter().all(|(_, total)| *total == Some(60)), "{told:?}");
    assert!(told.iter().any(|(done, _)| (1..60).contains(done)), "{told:?}");
}

#[test]
fn when_it_was_synced_last_is_known_after_a_restart_without_the_server() {
    let Some(mut house) = own(&[]) else { return };
    house.connect_synced();
    house.stop_daemon();
    house.server = None;
    house.start_daemon();
    let status = house.connect().ok("status", json!({}));
    assert!(status["hasSynced"] == true && status["status"] != "synced", "{status:#}");
    let pulled = ["end_user", "interactions"].map(|name| status["types"][name]["lastPulledAt"].as_str().expect("a time"));
    assert_eq!(status["lastSyncedAt"].as_str(), pulled.into_iter().min(), "{status:#}");
}

#[test]
fn a_filtered_subscriber_is_told_its_position_after_a_thousand_changes() {
    let Some(house) = own(&[]) else { return };
    let mut wire = house.connect_synced();
    let seq =
        wire.ok("subscribe", json!({"channels": ["change"], "entityTypes": ["interactions"]}))["seq"].as_u64().expect("a seq");
    let mut other = house.connect();
    other.ok("pause", json!({}));
    for part in 0..2 {
        let users: Vec<_> = (0..500).map(|n| json!({"email": format!("{n}@{part}.example.com")})).collect();
        other.ok("push", json!({"changes": {"end_user": users}}));
    }
    match wire.event() {
        Event::Checkpoint { seq: told } => assert_eq!(told, seq + 1000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subscriber_that_reads_nothing_hears_how_much_it_missed_and_still_gets_every_change() {
    const NOTES: u64 = 6000;
    let Some(house) = own(&[("AESYNC_TUNING__RING", "64KiB")]) else { return };
    let mut slow = house.connect_synced();
    let mut quick = house.connect();
    slow.ok("subscribe", json!({"channels": ["outbox", "change"]}));
    quick.ok("subscribe", json!({"channels": ["outbox"]}));
    let mut other = house.connect();
    other.ok("pause", json!({}));
    let mut last = 0;
    for part in 0..NOTES / 500 {
        let users: Vec<_> =
            (0..500).map(|n| json!({"email": format!("{n}@{part}.example.com"), "name": "x".repeat(100)})).collect();
        other.ok("push", json!({"changes": {"end_user": users}}));
    }
    let (mut dropped, mut entries, mut changes) = (0, 0, 0);
    while changes < NOTES || entries + dropped < NOTES {
        match slow.event() {
            Event::Lagged { dropped: more } => dropped += more,
            Event::Outbox { .. } => entries += 1,
            Event::Change { change } => {
                assert!(last == 0 || change.seq == last + 1, "{last}: {change:?}");
                last = change.seq;
                changes += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(dropped > 0, "nothing was more than the socket and the ring hold");
    assert_eq!((changes, entries + dropped), (NOTES, NOTES));
}

/// More than a feed of a megabyte holds, by another device.
fn flood(house: &crate::house::OwnHouse, wire: &mut Wire, part: u32) {
    let before = wire.ok("status", json!({}))["types"]["end_user"]["records"].as_u64().expect("a number");
    for n in 0..25 {
        house.server().edit("insert", None, &json!({"email": format!("{n}@{part}.example.com"), "name": "x".repeat(90_000)}));
    }
    status_where(wire, "all rows", |status| status["types"]["end_user"]["records"] == before + 25);
    status_where(wire, "a trimmed feed", |status| status["feed"]["firstSeq"].as_u64() > Some(1));
}

#[test]
fn a_subscriber_whose_changes_were_trimmed_is_told_so_and_closed() {
    let Some(house) = own(&[("AESYNC_STATE__FEED_SIZE", "1MiB"), ("AESYNC_TUNING__RING", "64KiB")]) else { return };
    let mut wire = house.connect_synced();
    let mut slow = house.connect();
    let log = slow.ok("subscribe", json!({"channels": ["change"]}))["log"].clone();
    flood(&house, &mut wire, 1);
    let first = slow.event_where(|event| match event {
        Event::Change { .. } => None,
        Event::Gone { reason, log: of, first_seq } => {
            assert_eq!((reason.as_str(), json!(of)), ("trimmed", log.clone()));
            Some(*first_seq)
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(slow.line(), None);
    // Who comes too late hears the same as an error, and where the feed begins.
    for params in [json!({"channels": ["change"], "since": 0, "log": log}), json!({"channels": ["change"], "since": 0})] {
        let error = wire.err("subscribe", params);
        let more = &error.data.as_ref().expect("particulars").more;
        assert_eq!((error.name(), &more["reason"]), (Some("gone"), &json!("trimmed")), "{error:?}");
        assert!(more["firstSeq"].as_u64() >= Some(first), "{more:?}");
    }
    assert_eq!(wire.err("changes", json!({"since": 0})).name(), Some("gone"));
}

#[test]
fn the_changes_of_whoever_signs_in_next_are_another_feed() {
    let Some(house) = own_signed_out() else { return };
    let mut wire = house.connect();
    wire.ok("auth.login", json!({"email": "ada@example.com", "password": PASSWORD}));
    wait(&mut wire, "synced");
    let mut follower = house.connect();
    let log = follower.ok("subscribe", json!({"channels": ["change"]}))["log"].clone();
    house.server().post("customers", &json!({"email": "bob@example.com", "password": PASSWORD}));
    wire.ok("auth.login", json!({"email": "bob@example.com", "password": PASSWORD}));
    let other = follower.event_where(|event| match event {
        Event::Gone { reason, log, .. } => {
            assert_eq!(reason, "log_changed");
            Some(json!(log))
        }
        other => panic!("{other:?}"),
    });
    assert!(other != log, "{other}");
    assert_eq!(follower.line(), None);
}
