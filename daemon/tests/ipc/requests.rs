//! Requests and answers over the socket: framing, batches, order, bounds, errors.

use std::time::Duration;

use aesync_protocol::error::ErrorCode;
use aesync_protocol::status::LinkWord;
use aesync_protocol::{Error, StatusWord};
use aesyncd::ipc::Limits;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::*;

#[tokio::test]
async fn a_status_without_handshake_or_params_is_answered_on_one_line() {
    let house = House::open().await;
    let mut client = house.connect().await;
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n").await;
    let line = client.line().await.unwrap();
    assert!(line.starts_with(r#"{"jsonrpc":"2.0","id":1,"result":{"status":"offline""#), "{line}");
    assert!(line.ends_with("}\n"), "{line}");
    house.daemon.set_status(|status| status.status = StatusWord::Synced);
    assert_eq!(client.call("status", json!({})).await["status"], "synced");
}

#[tokio::test]
async fn hello_tells_the_versions_the_role_and_the_feed() {
    let house = House::open().await;
    let mut client = house.connect().await;
    let hello = client.call("hello", json!({"client": {"name": "t", "version": "1"}, "protocol": 1})).await;
    assert_eq!(
        hello,
        json!({"server": {"name": "aesyncd", "version": "1.2.3"}, "protocol": 1, "protocols": [1], "capabilities": ["clients", "store"],
               "role": "admin", "instance": "default", "log": "log"})
    );
    let error = client.fail("hello", json!({"client": {"name": "t", "version": "1"}, "protocol": 2})).await;
    assert_eq!((code(&error), &error["data"]["protocols"]), ("unsupported", &json!([1])));
}

#[tokio::test]
async fn ping_tells_the_time() {
    let house = House::open().await;
    let mut client = house.connect().await;
    let time = client.call("ping", json!({})).await["time"].as_str().unwrap().to_owned();
    assert!(time.ends_with('Z') && time.len() == 24 && time.as_str() > "2024", "{time}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_each_with_its_id_in_any_order() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    client.request(1, "pull", json!({})).await;
    client
        .send("{\"jsonrpc\":\"2.0\",\"id\":\"two\",\"method\":\"sync\"}\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"ping\"}\n")
        .await;
    assert_eq!(client.json().await["id"], 3);
    let (pull, sync) = (house.next_call().await, house.next_call().await);
    assert_eq!((pull.request.name(), pull.role), ("pull", OWN_ROLE));
    sync.reply.send(Ok(br#"{"pushed":1}"#.to_vec())).unwrap();
    assert_eq!(client.line().await.unwrap(), "{\"jsonrpc\":\"2.0\",\"id\":\"two\",\"result\":{\"pushed\":1}}\n");
    pull.reply.send(Err(Error::new(ErrorCode::Offline, "no"))).unwrap();
    let answer = client.json().await;
    assert_eq!((answer["id"].as_u64(), code(&answer["error"])), (Some(1), "offline"));
}

#[tokio::test]
async fn a_batch_is_answered_with_an_array_that_lacks_the_notifications() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    client
        .send(concat!(
            r#"[{"jsonrpc":"2.0","id":1,"method":"pull"},{"jsonrpc":"2.0","method":"ping"},7,"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"ping"},{"jsonrpc":"2.0","id":3,"method":"nothing"}]"#,
            "\n"
        ))
        .await;
    house.next_call().await.reply.send(Ok(b"{}".to_vec())).unwrap();
    let answers = client.json().await;
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), Value::Null, json!(2), json!(3)]);
    assert_eq!((&answers[1]["error"]["code"], &answers[3]["error"]["code"]), (&json!(-32600), &json!(-32601)));
    // Only notifications: no answer at all.
    client.send("[{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}]\n").await;
    assert!(client.call("ping", json!({})).await["time"].is_string());
}

#[tokio::test]
async fn a_call_without_an_id_is_carried_out_and_never_answered() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    client.send("{\"jsonrpc\":\"2.0\",\"method\":\"sync\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}\n").await;
    house.next_call().await.reply.send(Ok(b"{}".to_vec())).unwrap();
    assert!(client.call("ping", json!({})).await["time"].is_string());
}

#[tokio::test]
async fn a_request_in_pieces_between_blank_lines_is_one_request() {
    let house = House::open().await;
    let mut client = house.connect().await;
    for piece in ["\n \r\n\n{\"jsonrpc\":", "\"2.0\",\"id\":5,\"met", "hod\":\"ping\"}\r", "\n"] {
        client.send(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.json().await["id"], 5);
}

#[tokio::test]
async fn errors_of_the_protocol_have_json_rpcs_own_codes_and_name_the_field() {
    let house = House::open().await;
    let mut client = house.connect().await;
    for (line, id, code, part) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"none"}"#, json!(1), -32601, "none"),
        (r#"{"jsonrpc":"2.0","id":2,"method":"status","params":{"verbose":1}}"#, json!(2), -32602, "verbose"),
        (r#"{"jsonrpc":"2.0","id":3,"method":"wait","params":{"for":"seq","timeoutMs":1}}"#, json!(3), -32602, "seq"),
        (
            r#"{"jsonrpc":"2.0","id":4,"method":"records.list","params":{"entityType":"a","limit":1001}}"#,
            json!(4),
            -32602,
            "limit",
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"wait","params":{"for":"synced","timeoutMs":86400001}}"#,
            json!(5),
            -32602,
            "timeoutMs",
        ),
        (r#"{"jsonrpc":"2.0","id":6,"method":"changes","params":{"since":0,"waitMs":86400001}}"#, json!(6), -32602, "waitMs"),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"push","params":{"changes":{},"timeoutMs":86400001}}"#,
            json!(7),
            -32602,
            "timeoutMs",
        ),
        (r#"{"id":7,"method":"ping"}"#, json!(7), -32600, "jsonrpc"),
        ("{", Value::Null, -32700, "JSON"),
    ] {
        client.send(format!("{line}\n")).await;
        let answer = client.json().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{line}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(part), "{answer}");
    }
}

#[tokio::test]
async fn the_third_line_of_garbage_closes_the_connection_and_no_other() {
    let house = House::open().await;
    let (mut bad, mut good) = (house.connect().await, house.connect().await);
    bad.send(b"nonsense\n{}\n\xff\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n").await;
    for code in [-32700, -32600, -32700] {
        assert_eq!(bad.json().await["error"]["code"], code);
    }
    bad.expect_end().await;
    assert!(good.call("ping", json!({})).await["time"].is_string());
}

#[tokio::test]
async fn a_line_over_the_limit_gets_an_error_and_the_connection_ends() {
    let house = House::build(Plan { limits: Limits { message: 1000, ..Limits::default() }, ..Plan::default() }).await;
    let mut client = house.connect().await;
    let longest = format!("{:<1000}\n", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    client.send(&longest).await;
    assert_eq!(client.json().await["id"], 1);
    // The writer is still writing when it is refused, and reads the reason all the same.
    let long = vec![b'x'; 3_000_000];
    in_time("a long write", client.stream.get_mut().write_all(&long)).await.expect("the daemon reads on");
    let answer = client.json().await;
    assert_eq!((&answer["id"], code(&answer["error"])), (&Value::Null, "too_large"));
    assert!(answer["error"]["message"].as_str().unwrap().contains("1000 bytes"), "{answer}");
    client.expect_end().await;
    assert!(house.connect().await.call("ping", json!({})).await["time"].is_string());
}

#[tokio::test]
async fn answers_that_are_pending_when_the_client_closes_its_half_are_still_written() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    // The last line without its end counts too.
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sync\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}").await;
    client.close_writing().await;
    assert_eq!(client.json().await["id"], 2);
    house.next_call().await.reply.send(Ok(b"{}".to_vec())).unwrap();
    assert_eq!(client.json().await["id"], 1);
    client.expect_end().await;
}

#[tokio::test]
async fn a_call_whose_client_has_gone_is_given_up() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    client.request(1, "sync", json!({})).await;
    let mut call = house.next_call().await;
    drop(client);
    in_time("the caller's end", call.reply.closed()).await;
}

#[tokio::test]
async fn a_full_queue_answers_busy() {
    let house = House::build(Plan { queue: 1, ..Plan::default() }).await;
    let mut client = house.connect().await;
    client.request(1, "sync", json!({})).await;
    let error = client.fail_with_id(2, "sync").await;
    assert_eq!((code(&error), &error["data"]["retryable"]), ("busy", &json!(true)));
}

#[tokio::test]
async fn a_driver_that_drops_a_call_or_answers_nonsense_is_an_error_for_that_call_only() {
    let mut house = House::open().await;
    let mut client = house.connect().await;
    client.request(1, "sync", json!({})).await;
    drop(house.next_call().await.reply);
    assert_eq!(code(&client.json().await["error"]), "busy");
    for nonsense in [b"{\n".to_vec(), b"\xff".to_vec()] {
        client.request(1, "sync", json!({})).await;
        house.next_call().await.reply.send(Ok(nonsense)).unwrap();
        assert_eq!(client.json().await["error"]["code"], -32603);
    }
}

#[tokio::test]
async fn at_the_bound_of_requests_in_flight_the_daemon_reads_no_further_until_one_is_answered() {
    let limits = Limits { in_flight: 2, ..Limits::default() };
    let mut house = House::build(Plan { limits, ..Plan::default() }).await;
    let mut client = house.connect().await;
    for id in 1..=3 {
        client.request(id, "sync", json!({})).await;
    }
    client.request(4, "ping", json!({})).await;
    let (first, _second) = (house.next_call().await, house.next_call().await);
    let nothing = tokio::time::timeout(Duration::from_millis(50), house.calls.recv()).await;
    assert!(nothing.is_err(), "a third call was let through");
    first.reply.send(Ok(b"{}".to_vec())).unwrap();
    assert_eq!(client.json().await["id"], 1);
    let third = house.next_call().await;
    third.reply.send(Ok(b"{}".to_vec())).unwrap();
    let mut ids = [client.json().await["id"].as_u64(), client.json().await["id"].as_u64()];
    ids.sort_unstable();
    assert_eq!(ids, [Some(3), Some(4)]);
}

#[tokio::test]
async fn a_reader_that_takes_none_of_its_answers_is_closed() {
    let limits = Limits { stalled: Duration::from_millis(100), ..Limits::default() };
    let house = House::build(Plan { limits, ..Plan::default() }).await;
    let mut client = house.connect().await;
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n".repeat(100);
    // Written without reading, until the daemon gives up.
    let outcome = in_time("being closed", async {
        loop {
            if let Err(error) = client.stream.get_mut().write_all(&request).await {
                return error;
            }
        }
    })
    .await;
    assert!(matches!(outcome.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset), "{outcome}");
    assert!(house.connect().await.call("ping", json!({})).await["time"].is_string());
}

#[tokio::test]
async fn wait_answers_when_its_goal_is_reached_or_its_time_is_over() {
    let house = House::open().await;
    let mut client = house.connect().await;
    for goal in ["synced", "online", "seq"] {
        let waited = client.call("wait", json!({"for": goal, "seq": 7, "timeoutMs": 1})).await;
        assert_eq!((&waited["reached"], &waited["status"]["status"]), (&json!(false), &json!("offline")), "{goal}");
    }
    assert_eq!(client.call("wait", json!({"for": "outboxEmpty", "timeoutMs": 0})).await["reached"], true);
    house.daemon.set_status(|status| {
        status.outbox.in_doubt = 1;
        status.outbox.quarantined = 1;
    });
    for (id, goal) in [(1, "synced"), (2, "online"), (3, "seq"), (4, "outboxEmpty")] {
        client.request(id, "wait", json!({"for": goal, "seq": 7, "timeoutMs": 60_000})).await;
    }
    house.daemon.set_status(|status| status.server.link = LinkWord::Online);
    assert_eq!(client.json().await["id"], 2);
    house.daemon.set_status(|status| status.seq = 7);
    assert_eq!(client.json().await["id"], 3);
    house.daemon.set_status(|status| status.outbox.in_doubt = 0);
    assert_eq!(client.json().await["id"], 4);
    house.daemon.set_status(|status| status.status = StatusWord::Synced);
    let answer = client.json().await;
    assert_eq!((&answer["id"], &answer["result"]["status"]["status"]), (&json!(1), &json!("synced")));
}

#[tokio::test]
async fn records_are_read_one_by_one_and_by_pages() {
    let house = House::open().await;
    house.daemon.commit(&[change(1, "a", "x"), change(2, "a", "y"), change(3, "b", "z")]);
    let mut client = house.connect().await;
    let found = client.call("records.get", json!({"entityType": "a", "id": "y"})).await;
    assert_eq!(found, json!({"record": {"id": "y", "version": 2}, "pending": false, "seq": 3}));
    assert_eq!(code(&client.fail("records.get", json!({"entityType": "a", "id": "q"})).await), "not_found");
    let page = client.call("records.list", json!({"entityType": "a", "limit": 1})).await;
    assert_eq!((&page["records"][0]["record"]["id"], &page["next"], &page["seq"]), (&json!("x"), &json!("x"), &json!(3)));
    let page = client.call("records.list", json!({"entityType": "a", "limit": 1, "after": "x"})).await;
    assert_eq!((&page["records"][0]["record"]["id"], page.get("next")), (&json!("y"), None));
}

#[tokio::test]
async fn the_outbox_and_the_conflicts_are_read_without_the_driver() {
    let house = House::open().await;
    house.daemon.entries.lock().unwrap().extend([entry(1, "a"), entry(2, "a")]);
    let mut client = house.connect().await;
    assert_eq!(client.call("outbox.list", json!({"after": 1})).await["entries"][0]["entry"], 2);
    assert_eq!(client.call("conflicts.list", json!({})).await, json!({"conflicts": []}));
}

#[tokio::test]
async fn changes_come_by_pages_and_are_waited_for() {
    let house = House::open().await;
    let mut client = house.connect().await;
    let empty = client.call("changes", json!({"since": 0})).await;
    assert_eq!(empty, json!({"log": "log", "changes": [], "next": 0, "lastSeq": 0}));
    client.request(1, "changes", json!({"since": 0, "waitMs": 60_000, "entityTypes": ["b"]})).await;
    house.daemon.commit(&[change(1, "a", "x")]);
    house.daemon.commit(&[change(2, "b", "y"), change(3, "b", "z")]);
    let page = client.json().await["result"].take();
    assert_eq!((&page["changes"][0]["seq"], &page["log"]), (&json!(2), &json!("log")));
    let page = client.call("changes", json!({"since": 0, "limit": 2})).await;
    assert_eq!((page["changes"].as_array().unwrap().len(), &page["next"], &page["lastSeq"]), (2, &json!(2), &json!(3)));
    let timed_out = client.call("changes", json!({"since": 3, "waitMs": 5})).await;
    assert_eq!((&timed_out["changes"], &timed_out["next"]), (&json!([]), &json!(3)));
}

#[tokio::test]
async fn a_poller_may_be_ahead_of_the_status_which_hears_of_a_change_after_the_feed() {
    let house = House::open().await;
    let mut client = house.connect().await;
    house.daemon.commit(&[change(1, "a", "x")]);
    house.daemon.feed.lock().unwrap().push(change(2, "a", "y"));
    house.daemon.fanout.publish_changes(&encoded(&[change(2, "a", "y")]));
    let page = client.call("changes", json!({"since": 2, "log": "log"})).await;
    assert_eq!((&page["changes"], &page["next"]), (&json!([]), &json!(2)));
    let beyond = client.fail("changes", json!({"since": 3, "log": "log"})).await;
    assert_eq!(beyond["data"]["code"], "gone");
}

#[tokio::test]
async fn a_poller_hears_that_its_feed_is_gone_also_while_it_waits() {
    let house = House::open().await;
    house.daemon.commit(&[change(1, "a", "x"), change(2, "a", "y")]);
    let mut client = house.connect().await;
    let error = client.fail("changes", json!({"since": 0, "log": "other"})).await;
    assert_eq!((code(&error), &error["data"]["reason"], &error["data"]["log"]), ("gone", &json!("log_changed"), &json!("log")));
    client.request(1, "changes", json!({"since": 2, "waitMs": 60_000})).await;
    assert!(client.call_with_id(2, "ping").await["time"].is_string());
    house.daemon.switch_log("next");
    let answer = client.json().await;
    assert_eq!((&answer["id"], code(&answer["error"])), (&json!(1), "gone"));
}
