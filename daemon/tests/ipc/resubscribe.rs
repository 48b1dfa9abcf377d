//! Another subscription while the one before is still being served from the durable feed.

use aesync_protocol::Change;
use aesyncd::ipc::Limits;
use serde_json::{Value, json};

use crate::support::*;

/// More than two pages of a replay.
const LAST: u64 = 600;

fn changes(range: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    range.map(|seq| change(seq, if seq % 2 == 0 { "even" } else { "odd" }, &format!("id{}", seq % 7))).collect()
}

async fn seqs(client: &mut Client, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let event = client.event().await;
        seqs.push(event["change"]["seq"].as_u64().unwrap_or_else(|| panic!("{event}")));
    }
    seqs
}

/// A connection whose subscription waits for its first page of the durable feed, which was read and is held.
async fn amid_a_replay(params: Value) -> (House, Client) {
    // One read of the store at a time: what is read after another is answered after it.
    let house = House::build(Plan { limits: Limits { reads: 1, ..Limits::default() }, ..Plan::default() }).await;
    house.daemon.commit(&changes(1..=LAST));
    house.daemon.hold_reads();
    let mut client = house.connect().await;
    client.call("subscribe", params).await;
    wait_until("the read of a page", || *house.daemon.pages.lock().unwrap() == 1).await;
    (house, client)
}

/// Lets the held page go, and makes a call that is answered once it is where it was asked for.
async fn let_go(house: &House, client: &mut Client) {
    house.daemon.let_reads_go();
    client.request(9, "records.list", json!({"entityType": "none"})).await;
}

/// The events up to the answer to the call that [`let_go`] made, and so many more.
async fn seqs_around_an_answer(client: &mut Client, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut is_answered = false;
    while seqs.len() < count || !is_answered {
        let line = client.json().await;
        match line["params"]["change"]["seq"].as_u64() {
            Some(seq) => seqs.push(seq),
            None => {
                assert_eq!(line["id"], 9, "{line}");
                is_answered = true;
            }
        }
    }
    seqs
}

#[tokio::test]
async fn another_filter_gets_what_the_one_before_held_back() {
    let (house, mut client) = amid_a_replay(json!({"channels": ["change"], "since": 0, "entityTypes": ["odd"]})).await;
    client.call("subscribe", json!({"channels": ["change"], "since": 0, "entityTypes": ["even"]})).await;
    let_go(&house, &mut client).await;
    let expected: Vec<u64> = (1..=LAST).filter(|seq| seq % 2 == 0).collect();
    assert_eq!(seqs_around_an_answer(&mut client, expected.len()).await, expected);
}

#[tokio::test]
async fn an_earlier_position_gets_everything_after_it() {
    let (house, mut client) = amid_a_replay(json!({"channels": ["change"], "since": 500})).await;
    client.call("subscribe", json!({"channels": ["change"], "since": 0})).await;
    let_go(&house, &mut client).await;
    assert_eq!(seqs_around_an_answer(&mut client, 600).await, (1..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_later_position_gets_nothing_from_before_it() {
    let (house, mut client) = amid_a_replay(json!({"channels": ["change"], "since": 0})).await;
    client.call("subscribe", json!({"channels": ["change"], "since": 100})).await;
    let_go(&house, &mut client).await;
    assert_eq!(seqs_around_an_answer(&mut client, 500).await, (101..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_that_wants_no_changes_or_only_new_ones_goes_on() {
    for channels in [json!(["status"]), json!(["status", "change"])] {
        let (house, mut client) = amid_a_replay(json!({"channels": ["change"], "since": 0})).await;
        client.call("subscribe", json!({"channels": channels})).await;
        assert_eq!(client.event().await["channel"], "status");
        let_go(&house, &mut client).await;
        assert_eq!(client.json().await["id"], 9);
        client.call("ping", json!({})).await;
        house.daemon.publish_status(|status| status.server.reconnects = 7);
        assert_eq!(client.event().await["status"]["server"]["reconnects"], 7);
        if channels[1] == "change" {
            house.daemon.commit(&changes(LAST + 1..=LAST + 1));
            assert_eq!(seqs(&mut client, 1).await, [LAST + 1]);
        }
    }
}

#[tokio::test]
async fn one_that_comes_right_after_the_end_of_another_begins_anew() {
    let (house, mut client) = amid_a_replay(json!({"channels": ["change"], "since": 0, "entityTypes": ["odd"]})).await;
    let unsubscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "unsubscribe"});
    let subscribe = json!({"jsonrpc": "2.0", "id": 2, "method": "subscribe", "params": {"channels": ["change"], "since": 300}});
    client.send(format!("{unsubscribe}\n{subscribe}\n")).await;
    assert_eq!((client.json().await["result"].clone(), client.json().await["id"].clone()), (json!({}), json!(2)));
    let_go(&house, &mut client).await;
    assert_eq!(seqs_around_an_answer(&mut client, 300).await, (301..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_end_of_a_subscription_amid_a_replay_leaves_the_connection_open() {
    let (house, mut client) = amid_a_replay(json!({"channels": ["change"], "since": 0})).await;
    client.call("unsubscribe", json!({})).await;
    let_go(&house, &mut client).await;
    assert_eq!(client.json().await["id"], 9);
    house.daemon.commit(&changes(LAST + 1..=LAST + 1));
    client.call("ping", json!({})).await;
}
