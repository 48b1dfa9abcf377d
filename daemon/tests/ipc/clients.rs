//! `clients`: who is connected, as what, and how far behind.

use serde_json::{Value, json};

use crate::support::*;

async fn clients(client: &mut Client) -> Vec<Value> {
    client.call("clients", json!({})).await["clients"].as_array().expect("a list").clone()
}

/// Asks until the only other connection is so.
async fn other_where(client: &mut Client, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    in_time(what, async {
        loop {
            let listed = clients(client).await;
            if let Some(other) = listed.get(1).filter(|other| is_so(other)) {
                return other.clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn connections_stand_there_in_order_with_who_they_are_until_they_go() {
    let mut house = House::open().await;
    let (mut admin, mut other) = (house.connect().await, house.connect().await);
    admin.call("ping", json!({})).await;
    other.call("hello", json!({"client": {"name": "n".repeat(300), "version": "1"}, "protocol": 1})).await;
    other.request(2, "sync", json!({})).await;
    let call = house.next_call().await;
    let shown = other_where(&mut admin, "a request in flight", |other| other["inFlight"] == 1).await;
    assert_eq!((&shown["connection"], &shown["requests"], &shown["role"]), (&json!(2), &json!(2), &json!("admin")));
    assert_eq!(shown["uid"], nix::unistd::Uid::effective().as_raw());
    assert_eq!((&shown["pid"], shown["client"]["name"].as_str().map(str::len)), (&json!(std::process::id()), Some(100)));
    assert!(shown.get("subscription").is_none() && shown.get("stalledSince").is_none(), "{shown}");
    call.reply.send(Ok(b"{}".to_vec())).unwrap();
    other.json().await;
    other_where(&mut admin, "the request answered", |other| other["inFlight"] == 0).await;
    drop(other);
    in_time("the other gone", async { while clients(&mut admin).await.len() > 1 {} }).await;
    let mut next = house.connect().await;
    next.call("ping", json!({})).await;
    assert_eq!(clients(&mut admin).await[1]["connection"], 3, "a number is not given twice");
}

#[tokio::test]
async fn a_subscriber_that_takes_nothing_is_seen_to_fall_behind_and_to_catch_up() {
    let house = House::open().await;
    let (mut admin, mut slow) = (house.connect().await, house.connect().await);
    admin.call("ping", json!({})).await;
    slow.call("subscribe", json!({"channels": ["change", "status"], "entityTypes": ["b", "a"]})).await;
    slow.event().await;
    let shown = other_where(&mut admin, "the subscription", |other| other.get("subscription").is_some()).await;
    let expected = json!({"channels": ["status", "change"], "entityTypes": ["a", "b"], "seq": 0, "behind": 0});
    assert_eq!(shown["subscription"], expected);
    let last = 20_000;
    for seq in 1..=last {
        house.daemon.commit(&[change(seq, "a", "x")]);
        if seq % 500 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let behind = |other: &Value| other["subscription"]["behind"].as_u64().unwrap();
    let shown = other_where(&mut admin, "a stalled subscriber", |other| other.get("stalledSince").is_some()).await;
    assert!(behind(&shown) > 0 && behind(&shown) + shown["subscription"]["seq"].as_u64().unwrap() == last, "{shown}");
    for seq in 1..=last {
        assert_eq!(slow.event().await["change"]["seq"], seq);
    }
    let shown = other_where(&mut admin, "a subscriber that has all", |other| behind(other) == 0).await;
    assert!(shown.get("stalledSince").is_none(), "{shown}");
    slow.call("unsubscribe", json!({})).await;
    other_where(&mut admin, "no subscription", |other| other.get("subscription").is_none()).await;
}
