//! Lines: how requests are put and answers come, whatever they are about.

use aesync_protocol::ErrorCode;
use aesync_protocol::request::METHODS;
use serde_json::{Value, json};

use crate::house::{House, own};
use crate::wire::error_of;

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[test]
fn requests_may_be_pipelined_batched_spaced_and_followed_by_the_end_of_writing() {
    let house = House::open();
    let mut wire = house.connect();
    let lines: String = (0..200)
        .map(|id| {
            let method = ["ping", "status", "metrics", "hello"][id % 4];
            let params =
                if method == "hello" { json!({"client": {"name": "suite", "version": "1"}, "protocol": 1}) } else { json!({}) };
            format!("\n\r\n{}\r\n", json!({"jsonrpc": "2.0", "id": format!("q{id}"), "method": method, "params": params}))
        })
        .collect();
    wire.send(&lines);
    // A notification is never answered.
    wire.send("{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n");
    let batch = format!(
        "[{PING},{{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}},{{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"metrics\"}},7]\n"
    );
    wire.send(&batch);
    wire.close_writing();
    let (mut ids, mut batches) = (Vec::new(), 0);
    while let Some(line) = wire.line() {
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        match &answer {
            Value::Array(answers) => {
                batches += 1;
                assert_eq!(answers.len(), 3, "{line}");
                assert_eq!(
                    (&answers[0]["id"], &answers[1]["id"], &answers[2]["error"]["code"]),
                    (&json!(1), &Value::Null, &json!(-32600))
                );
            }
            _ => ids.push(answer["id"].as_str().expect("an id of ours")[1..].parse::<u32>().expect("a number")),
        }
    }
    ids.sort_unstable();
    assert_eq!((ids, batches), ((0..200).collect(), 1));
}

#[test]
fn every_method_refuses_a_field_that_it_does_not_know_by_name_also_behind_one_of_another_type() {
    let house = House::open();
    let mut wire = house.connect();
    for method in METHODS {
        for params in
            [json!({"fromTheFuture": 1}), json!({"a": [{}], "protocol": {}, "entityTypes": 5, "wait": 5, "fromTheFuture": 1})]
        {
            let error = wire.err(method, params);
            assert_eq!((error.code, error.data.as_ref()), (-32602, None), "{method}: {error:?}");
            assert!(error.message.contains("fromTheFuture"), "{method}: {error}");
        }
    }
    let error = wire.err("records", json!({}));
    assert_eq!(error.code, -32601);
    let error = wire.err("status", json!([]));
    assert_eq!(error.code, -32602, "params are named");
}

#[test]
fn what_is_no_request_has_a_code_and_the_third_line_of_garbage_ends_only_its_own_connection() {
    let house = House::open();
    let mut other = house.connect();
    for (line, code) in [("{", -32700), ("{\"id\":1}", -32600), ("[]", -32600), ("\"x\"", -32600)] {
        let mut wire = house.connect();
        wire.send(&format!("{line}\n{line}\n{PING}\n{line}\n{PING}\n"));
        let (mut errors, mut answers) = (0, 0);
        while let Some(line) = wire.line() {
            match error_of(&line) {
                Some(error) => {
                    assert_eq!(error.code, code, "{line}");
                    errors += 1;
                }
                None => answers += 1,
            }
        }
        assert_eq!((errors, answers), (3, 1), "{line}");
        other.ok("ping", json!({}));
    }
}

#[test]
fn a_message_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let Some(house) = own(&[("AESYNC_IPC__MAX_MESSAGE", "4KiB")]) else { return };
    let mut wire = house.connect();
    wire.send(&format!("{}{PING}\n", " ".repeat(4096 - PING.len())));
    assert_eq!(wire.json()["id"], 1);
    wire.send(&format!("{}{PING}\n", " ".repeat(4097 - PING.len())));
    let line = wire.line().expect("an error");
    let error = error_of(&line).expect("an error");
    assert!(error.is(ErrorCode::TooLarge), "{line}");
    assert_eq!(wire.line(), None);
    house.connect().ok("ping", json!({}));
}
