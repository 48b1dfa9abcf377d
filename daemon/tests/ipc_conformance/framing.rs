//! Lines: how requests are put and answers come, whatever they are about.

use aesync_protocol::ErrorCode;
use aesync_protocol::request::METHODS;
use serde_json::{Value, json};

use crate::support::{Scene, synced};
use crate::wire::{Wire, error_of};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_may_be_pipelined_batched_spaced_and_followed_by_the_end_of_writing() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;
    let lines: String = (0..200)
        .map(|id| {
            let method = ["ping", "status", "records.list", "outbox.list"][id % 4];
            let params = if method == "records.list" { json!({"entityType": "end_user"}) } else { json!({}) };
            format!("\n\r\n{}\r\n", json!({"jsonrpc": "2.0", "id": format!("q{id}"), "method": method, "params": params}))
        })
        .collect();
    wire.send(&lines).await;
    // A notification is never answered.
    wire.send("{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n").await;
    let batch = format!(
        "[{PING},{{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}},{{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"sync\"}},7]\n"
    );
    wire.send(&batch).await;
    wire.close_writing().await;
    let (mut ids, mut batches) = (Vec::new(), 0);
    while let Some(line) = wire.line().await {
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
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_refuses_a_field_that_it_does_not_know_by_name() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    let mut wire = Wire::open(&daemon).await;
    for method in METHODS {
        let error = wire.err(method, json!({"fromTheFuture": 1})).await;
        assert_eq!((error.code, error.data.as_ref()), (-32602, None), "{method}: {error:?}");
        assert!(error.message.contains("fromTheFuture"), "{method}: {error}");
    }
    let error = wire.err("records", json!({})).await;
    assert_eq!(error.code, -32601);
    let error = wire.err("status", json!([])).await;
    assert_eq!(error.code, -32602, "params are named");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_has_a_code_and_the_third_line_of_garbage_ends_only_its_own_connection() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    let mut other = Wire::open(&daemon).await;
    for (line, code) in [("{", -32700), ("{\"id\":1}", -32600), ("[]", -32600), ("\"x\"", -32600)] {
        let mut wire = Wire::open(&daemon).await;
        wire.send(&format!("{line}\n{line}\n{PING}\n{line}\n{PING}\n")).await;
        let (mut errors, mut answers) = (0, 0);
        while let Some(line) = wire.line().await {
            match error_of(&line) {
                Some(error) => {
                    assert_eq!(error.code, code, "{line}");
                    errors += 1;
                }
                None => answers += 1,
            }
        }
        assert_eq!((errors, answers), (3, 1), "{line}");
        other.ok("ping", json!({})).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let mut scene = Scene::hurried();
    scene.config.ipc.max_message = 4096;
    let daemon = scene.start().await;
    let mut wire = Wire::open(&daemon).await;
    wire.send(&format!("{}{PING}\n", " ".repeat(4096 - PING.len()))).await;
    assert_eq!(wire.json().await["id"], 1);
    wire.send(&format!("{}{PING}\n", " ".repeat(4097 - PING.len()))).await;
    let line = wire.line().await.expect("an error");
    let error = error_of(&line).expect("an error");
    assert!(error.is(ErrorCode::TooLarge), "{line}");
    assert_eq!(wire.line().await, None);
    Wire::open(&daemon).await.ok("ping", json!({})).await;
    daemon.stop().await;
}
