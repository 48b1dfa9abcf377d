//! Subscriptions over the socket: snapshots, replay, filters, slow readers, feeds that change.

use std::collections::BTreeMap;
use std::time::Duration;

use aesync_protocol::{Change, StatusWord};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::support::*;

fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["change"]["seq"].as_u64()).collect()
}

async fn events(client: &mut Client, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(client.event().await);
    }
    events
}

fn changes(range: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    range.map(|seq| change(seq, if seq % 2 == 0 { "even" } else { "odd" }, &format!("id{}", seq % 7))).collect()
}

#[tokio::test]
async fn the_position_comes_first_then_the_snapshot_then_what_happens() {
    let house = House::open().await;
    house.daemon.commit(&changes(1..=3));
    let mut client = house.connect().await;
    let position = client.call("subscribe", json!({"channels": ["change", "status"]})).await;
    assert_eq!(position, json!({"log": "log", "seq": 3}));
    let snapshot = client.event().await;
    assert_eq!((&snapshot["channel"], &snapshot["status"]["seq"]), (&json!("status"), &json!(3)));
    house.daemon.commit(&changes(4..=5));
    assert_eq!(seqs(&events(&mut client, 2).await), [4, 5]);
    house.daemon.publish_status(|status| status.status = StatusWord::Synced);
    assert_eq!(client.event().await["status"]["status"], "synced");
}

#[tokio::test]
async fn every_subscriber_gets_the_same_bytes() {
    let house = House::open().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = house.connect().await;
        client.call("subscribe", json!({"channels": ["notification", "change", "outbox", "progress"]})).await;
        clients.push(client);
    }
    house.daemon.fanout.publish(&notification("a", "hello"));
    house.daemon.commit(&[change(1, "a", "x")]);
    house.daemon.fanout.publish(&outbox(9, "a"));
    house.daemon.fanout.publish(&progress(4));
    let mut lines = Vec::new();
    for client in &mut clients {
        lines.push([client.line().await, client.line().await, client.line().await, client.line().await]);
    }
    assert_eq!(
        lines[0][1].as_deref(),
        Some(concat!(
            r#"{"jsonrpc":"2.0","method":"event","params":{"channel":"change","change":{"seq":1,"op":"upsert","entityType":"a","id":"x","#,
            r#""record":{"id":"x","version":1},"origin":"server","pending":false,"at":"1970-01-01T00:00:00.000Z"}}}"#,
            "\n"
        ))
    );
    let channels = lines[0]
        .each_ref()
        .map(|line| serde_json::from_str::<Value>(line.as_ref().unwrap()).unwrap()["params"]["channel"].clone());
    assert_eq!(channels, ["notification", "change", "outbox", "progress"]);
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[0], lines[2]);
}

#[tokio::test]
async fn a_resume_replays_the_durable_feed_and_goes_over_to_live_events() {
    let house = House::open().await;
    house.daemon.commit(&changes(1..=600));
    let mut client = house.connect().await;
    let position = client.call("subscribe", json!({"channels": ["change"], "since": 2, "log": "log"})).await;
    assert_eq!(position, json!({"log": "log", "seq": 600}));
    house.daemon.commit(&changes(601..=700));
    assert_eq!(seqs(&events(&mut client, 698).await), (3..=700).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_position_that_can_not_be_resumed_is_gone_and_says_why() {
    let house = House::open().await;
    house.daemon.commit(&changes(1..=9));
    house.daemon.trim(5);
    let mut client = house.connect().await;
    for (params, reason) in [
        (json!({"channels": ["change"], "since": 3}), "trimmed"),
        (json!({"channels": ["change"], "since": 9, "log": "old"}), "log_changed"),
        (json!({"channels": ["change"], "since": 10}), "log_changed"),
    ] {
        let error = client.fail("subscribe", params).await;
        let data = &error["data"];
        assert_eq!(
            (code(&error), &data["reason"], &data["log"], &data["firstSeq"]),
            ("gone", &json!(reason), &json!("log"), &json!(5))
        );
    }
    client.call("subscribe", json!({"channels": ["change"], "since": 4})).await;
    assert_eq!(seqs(&events(&mut client, 5).await), [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn before_the_first_sign_in_the_log_is_empty_and_can_be_subscribed_to() {
    let house = House::open().await;
    house.daemon.switch_log("");
    let mut client = house.connect().await;
    let position = client.call("subscribe", json!({"channels": ["change", "status"], "since": 0, "log": ""})).await;
    assert_eq!(position, json!({"log": "", "seq": 0}));
    assert_eq!(client.event().await["channel"], "status");
}

#[tokio::test]
async fn another_subscribe_replaces_the_first_and_unsubscribe_ends_it() {
    let house = House::open().await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"]})).await;
    client.call("subscribe", json!({"channels": ["notification"]})).await;
    house.daemon.commit(&changes(1..=1));
    house.daemon.fanout.publish(&notification("a", "x"));
    assert_eq!(client.event().await["channel"], "notification");
    assert_eq!(house.daemon.fanout.subscribers(), 1);
    assert_eq!(client.call("unsubscribe", json!({})).await, json!({}));
    assert_eq!(house.daemon.fanout.subscribers(), 0);
    house.daemon.fanout.publish(&notification("a", "y"));
    client.call("ping", json!({})).await;
}

#[tokio::test]
async fn a_batch_with_a_subscribe_is_answered_before_the_first_event() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "sync"},
        {"jsonrpc": "2.0", "id": 2, "method": "subscribe", "params": {"channels": ["status", "change"]}},
    ]);
    client.send(format!("{batch}\n")).await;
    let call = house.next_call().await;
    house.daemon.commit(&changes(1..=2));
    // The connection is alive, and holds the events back.
    client.request(3, "ping", json!({})).await;
    assert_eq!(client.json().await["id"], 3);
    call.reply.send(Ok(b"{}".to_vec())).unwrap();
    assert_eq!(client.json().await[1]["result"], json!({"log": "log", "seq": 0}));
    assert_eq!(client.event().await["channel"], "status");
    assert_eq!(seqs(&events(&mut client, 2).await), [1, 2]);
}

#[tokio::test]
async fn a_filter_by_type_concerns_every_channel_that_has_types() {
    let house = House::open().await;
    let mut client = house.connect().await;
    let channels = json!(["notification", "change", "outbox", "progress"]);
    client.call("subscribe", json!({"channels": channels, "entityTypes": ["a"], "since": 0})).await;
    for entity_type in ["b", "a", "batch"] {
        house.daemon.fanout.publish(&notification(entity_type, entity_type));
    }
    house.daemon.commit(&[change(1, "b", "x"), change(2, "a", "y"), change(3, "b", "z")]);
    house.daemon.fanout.publish(&outbox(1, "b"));
    house.daemon.fanout.publish(&outbox(2, "a"));
    house.daemon.fanout.publish(&progress(1));
    let events = events(&mut client, 5).await;
    let messages: Vec<_> = events.iter().filter_map(|event| event["notification"]["message"].as_str()).collect();
    assert_eq!(messages, ["a", "batch"]);
    assert_eq!(seqs(&events), [2]);
    assert_eq!(events[3]["entry"]["entry"], 2);
    assert_eq!(events[4]["channel"], "progress");
}

#[tokio::test]
async fn a_filtered_subscriber_hears_its_position_after_a_thousand_changes() {
    let house = House::open().await;
    let mut live = house.connect().await;
    live.call("subscribe", json!({"channels": ["change"], "entityTypes": ["none"]})).await;
    house.daemon.commit(&changes(1..=2500));
    let mut replayed = house.connect().await;
    replayed.call("subscribe", json!({"channels": ["change"], "entityTypes": ["none"], "since": 0})).await;
    for client in [&mut live, &mut replayed] {
        assert_eq!(client.event().await, json!({"channel": "checkpoint", "seq": 1000}));
        assert_eq!(client.event().await, json!({"channel": "checkpoint", "seq": 2000}));
    }
}

#[tokio::test]
async fn a_filtered_subscriber_hears_its_position_after_thirty_seconds() {
    let house = House::open().await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"], "entityTypes": ["odd"]})).await;
    house.daemon.commit(&changes(1..=4));
    assert_eq!(seqs(&events(&mut client, 2).await), [1, 3]);
    client.call("ping", json!({})).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(client.event().await, json!({"channel": "checkpoint", "seq": 4}));
}

#[tokio::test]
async fn changes_that_were_not_published_come_from_the_durable_feed() {
    let house = House::open().await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"]})).await;
    house.daemon.commit(&changes(1..=2));
    house.daemon.feed.lock().unwrap().extend(changes(3..=8));
    house.daemon.fanout.publish_changes(&encoded(&changes(6..=7)));
    // Published twice, delivered once.
    house.daemon.fanout.publish_changes(&encoded(&changes(5..=8)));
    assert_eq!(seqs(&events(&mut client, 8).await), (1..=8).collect::<Vec<_>>());
    house.daemon.commit(&changes(9..=9));
    assert_eq!(seqs(&events(&mut client, 1).await), [9]);
}

/// A ring that holds little, and a client that does not read what is more than its socket holds.
async fn stalled_house(ring: usize) -> (House, Client) {
    let house = House::build(Plan { ring, ..Plan::default() }).await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["status", "notification", "change", "outbox", "progress"]})).await;
    assert_eq!(client.event().await["channel"], "status");
    (house, client)
}

#[tokio::test]
async fn a_slow_reader_misses_no_change_and_hears_the_newest_status_and_what_it_missed() {
    let (house, mut slow) = stalled_house(64 * 1024).await;
    let mut quick = house.connect().await;
    quick.call("subscribe", json!({"channels": ["outbox", "change"]})).await;
    let rounds = 3000;
    for round in 1..=rounds {
        house.daemon.publish_status(|status| status.server.reconnects = round);
        house.daemon.fanout.publish(&progress(round));
        house.daemon.fanout.publish(&notification("a", &round.to_string()));
        house.daemon.fanout.publish(&outbox(round, "a"));
        house.daemon.commit(&changes(round..=round));
        // The slow reader holds nobody up.
        let mut seen = [quick.event().await, quick.event().await];
        seen.sort_by_key(|event| event["channel"].to_string());
        assert_eq!((&seen[0]["change"]["seq"], &seen[1]["entry"]["entry"]), (&json!(round), &json!(round)));
        assert!(house.daemon.fanout.used() <= 64 * 1024);
    }
    let mut next = 1;
    let (mut hints, mut entries, mut dropped, mut statuses) = (0, 0, 0, 0);
    let (mut newest_status, mut newest_progress) = (0, 0);
    while next <= rounds || newest_status < rounds || newest_progress < rounds || hints + entries + dropped < 2 * rounds {
        let event = slow.event().await;
        match event["channel"].as_str().unwrap() {
            "status" => {
                let number = event["status"]["server"]["reconnects"].as_u64().unwrap();
                assert!(number > newest_status, "statuses must not go back");
                (newest_status, statuses) = (number, statuses + 1);
            }
            "progress" => newest_progress = event["done"].as_u64().unwrap(),
            "notification" => hints += 1,
            "outbox" => entries += 1,
            "lagged" => dropped += event["dropped"].as_u64().unwrap(),
            "change" => {
                assert_eq!(event["change"]["seq"], next);
                next += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(dropped > 0 && *house.daemon.pages.lock().unwrap() > 0, "the reader was not slow enough");
    assert!(statuses < rounds, "every status was delivered to a slow reader");
    assert_eq!((next, newest_status, newest_progress, hints + entries + dropped), (rounds + 1, rounds, rounds, 2 * rounds));
    slow.call("ping", json!({})).await;
}

#[tokio::test]
async fn a_subscriber_that_never_reads_is_left_alone_while_no_answers_wait() {
    let limits = aesyncd::ipc::Limits { stalled: Duration::from_millis(20), ..Default::default() };
    let house = House::build(Plan { ring: 16 * 1024, limits, ..Plan::default() }).await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"]})).await;
    for seq in 1..=5000 {
        house.daemon.commit(&changes(seq..=seq));
        if seq % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(seqs(&events(&mut client, 5000).await), (1..=5000).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_feed_ends_the_subscriptions_to_changes_after_pending_answers() {
    let mut house = House::open().await;
    house.daemon.commit(&changes(1..=3));
    let (mut follower, mut watcher) = (house.connect().await, house.connect().await);
    follower.call("subscribe", json!({"channels": ["change"]})).await;
    watcher.call("subscribe", json!({"channels": ["notification"]})).await;
    follower.request(5, "sync", json!({})).await;
    let call = house.next_call().await;
    house.daemon.switch_log("next");
    house.daemon.commit(&changes(1..=1));
    call.reply.send(Ok(b"{}".to_vec())).unwrap();
    let mut last = [follower.json().await, follower.json().await];
    last.sort_by_key(|line| line["id"].is_null());
    assert_eq!(last[0]["id"], 5);
    let gone = &last[1]["params"];
    assert_eq!((&gone["channel"], &gone["reason"], &gone["log"]), (&json!("gone"), &json!("log_changed"), &json!("next")));
    follower.expect_end().await;
    house.daemon.fanout.publish(&notification("a", "still here"));
    assert_eq!(watcher.event().await["channel"], "notification");
    let mut resumed = house.connect().await;
    let error = resumed.fail("subscribe", json!({"channels": ["change"], "since": 3, "log": "log"})).await;
    assert_eq!((code(&error), &error["data"]["reason"], &error["data"]["log"]), ("gone", &json!("log_changed"), &json!("next")));
    resumed.call("subscribe", json!({"channels": ["change"], "since": 0, "log": "next"})).await;
    assert_eq!(seqs(&events(&mut resumed, 1).await), [1]);
}

#[tokio::test]
async fn a_subscriber_whose_place_in_the_durable_feed_was_trimmed_is_closed_to_resume() {
    let house = House::build(Plan { ring: 1024, ..Plan::default() }).await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"]})).await;
    for seq in 1..=5000 {
        house.daemon.commit(&changes(seq..=seq));
    }
    house.daemon.trim(5000);
    let rest = client.read_to_end().await;
    assert!(rest.lines().count() < 5000 && rest.ends_with('\n'), "the last line is whole");
    let last: Value = serde_json::from_str(rest.lines().last().expect("a line")).expect("JSON");
    let gone = json!({"channel": "gone", "reason": "trimmed", "log": "log", "firstSeq": 5000});
    assert_eq!(last, json!({"jsonrpc": "2.0", "method": "event", "params": gone}));
}

#[tokio::test]
async fn a_subscriber_that_closes_its_half_is_closed() {
    let house = House::open().await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"]})).await;
    client.close_writing().await;
    client.expect_end().await;
    house.wait_for_subscribers(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumes_under_load_give_the_same_fold_as_the_whole_feed() {
    const LAST: u64 = 20_000;
    let house = House::build(Plan { ring: 32 * 1024, ..Plan::default() }).await;
    let fold = |mut state: BTreeMap<String, u64>, change: &Value| {
        state.insert(change["id"].as_str().unwrap().to_owned(), change["record"]["version"].as_u64().unwrap());
        state
    };
    let mut readers = Vec::new();
    for reader in 0..6_u64 {
        let path = house.path.clone();
        readers.push(tokio::spawn(async move {
            let (mut state, mut since) = (BTreeMap::new(), 0);
            let mut connections = 0_u64;
            while since < LAST {
                connections += 1;
                let stream = tokio::net::UnixStream::connect(&path).await.expect("connected");
                let mut client = Client::new(stream);
                client.call("subscribe", json!({"channels": ["change"], "since": since, "log": "log"})).await;
                // Some break off in the middle of a line, some pause, some just read.
                let stretch = 500 + 977 * reader + 131 * connections;
                for count in 0..stretch {
                    let event = client.event().await;
                    assert_eq!(event["change"]["seq"], since + 1, "reader {reader}");
                    since += 1;
                    state = fold(state, &event["change"]);
                    if since == LAST {
                        break;
                    }
                    if reader % 2 == 1 && count % 300 == 299 {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                }
                let mut part = [0; 33];
                if since < LAST {
                    let _ = client.stream.get_mut().read(&mut part).await;
                }
            }
            state
        }));
    }
    let mut expected = BTreeMap::new();
    let mut seq = 0;
    while seq < LAST {
        let count = 1 + seq % 17;
        let batch = changes(seq + 1..=(seq + count).min(LAST));
        for change in &batch {
            expected = fold(expected, &serde_json::to_value(change).unwrap());
        }
        seq += batch.len() as u64;
        house.daemon.commit(&batch);
        tokio::task::yield_now().await;
    }
    for reader in readers {
        assert_eq!(in_time("a reader", reader).await.expect("a reader"), expected);
    }
    assert!(*house.daemon.pages.lock().unwrap() > 0);
}

#[tokio::test]
async fn a_slow_reader_is_spared_statuses_that_are_out_of_date_also_while_the_ring_holds_them() {
    let (house, mut slow) = stalled_house(1 << 24).await;
    let rounds = 5000;
    for round in 1..=rounds {
        house.daemon.publish_status(|status| status.server.reconnects = round);
        house.daemon.fanout.publish(&progress(round));
        if round % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (mut statuses, mut newest_status, mut newest_progress) = (0, 0, 0);
    while newest_status < rounds || newest_progress < rounds {
        let event = slow.event().await;
        match event["channel"].as_str().unwrap() {
            "status" => (newest_status, statuses) = (event["status"]["server"]["reconnects"].as_u64().unwrap(), statuses + 1),
            "progress" => newest_progress = event["done"].as_u64().unwrap(),
            other => panic!("{other}: nothing has left the ring"),
        }
    }
    assert!(statuses < rounds / 2, "{statuses} statuses for a slow reader");
}

#[tokio::test]
async fn a_subscriber_that_the_durable_feed_does_not_bring_further_is_closed_to_resume() {
    let house = House::open().await;
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"]})).await;
    // Published, and never stored.
    house.daemon.fanout.publish_changes(&encoded(&changes(5..=6)));
    client.expect_end().await;
}

#[tokio::test]
async fn a_subscriber_that_catches_up_with_large_records_has_each_of_them_read_about_once() {
    const LAST: u64 = 600;
    let house = House::open().await;
    let large = |seq| {
        let mut change = change(seq, "a", "x");
        change.record.as_mut().unwrap().insert("text".to_owned(), "x".repeat(20_000).into());
        change
    };
    // Not published: whoever catches up has nothing but the durable feed.
    house.daemon.feed.lock().unwrap().extend((1..=LAST).map(large));
    house.daemon.set_status(|status| status.feed.last_seq = LAST);
    house.daemon.fanout.publish_changes(&encoded(&[change(LAST, "a", "x")]));
    let mut client = house.connect().await;
    client.call("subscribe", json!({"channels": ["change"], "since": 0})).await;
    assert_eq!(seqs(&events(&mut client, 600).await), (1..=LAST).collect::<Vec<_>>());
    let read = *house.daemon.changes_read.lock().unwrap();
    assert!(read < 3 * LAST, "{read} changes were read to deliver {LAST}");
}
