//! The body parser, connections and speed.

use std::io::Write;
use std::time::{Duration, Instant};

use adminengine_dev::{Fault, Latency};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{self, Answer, Bench, DEADLINE, EPOCH, PULL, PUSH, new_id, read, user};

const LIMIT: usize = 102_400;

/// A push of exactly this many bytes.
fn push_of(bytes: usize) -> String {
    let mut row = user(&new_id());
    row["address"] = json!("");
    let empty = json!({ "changes": { "end_user": [row] } }).to_string();
    row["address"] = json!("x".repeat(bytes - empty.len()));
    json!({ "changes": { "end_user": [row] } }).to_string()
}

async fn send(bench: &Bench, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let mut request = bench.http.post(bench.server.url() + PUSH).bearer_auth(&bench.token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.body(body).send().await.unwrap()).await.unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn internal_error() -> Value {
    json!({ "message": "Internal server error" })
}

#[tokio::test]
async fn a_body_may_have_102_400_bytes_and_not_one_more() {
    let bench = Bench::start();
    let answer = send(&bench, &[JSON], push_of(LIMIT)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = send(&bench, &[JSON], push_of(LIMIT + 1)).await;
    assert_eq!((answer.status, answer.body), (500, internal_error()));
    let answer = send(&bench, &[JSON], push_of(LIMIT * 50)).await;
    assert_eq!((answer.status, answer.body), (500, internal_error()));
}

#[tokio::test]
async fn the_limit_counts_bytes_not_characters() {
    let bench = Bench::start();
    let text = push_of(LIMIT - 10).replacen("xx", "éé", 10);
    assert!(text.chars().count() < LIMIT && text.len() > LIMIT);
    assert_eq!(send(&bench, &[JSON], text).await.status, 500);
}

#[tokio::test]
async fn the_limit_counts_inflated_bytes() {
    let bench = Bench::start();
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = |text: &str| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    for (bytes, status) in [(LIMIT, 200), (LIMIT + 1, 500)] {
        let body = gzip(&push_of(bytes));
        assert!(body.len() < 10_000);
        assert_eq!(send(&bench, &[JSON, ("content-encoding", "gzip")], body).await.status, status, "{bytes}");
        let body = deflate(&push_of(bytes));
        assert_eq!(send(&bench, &[JSON, ("content-encoding", "deflate")], body).await.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn malformed_json_is_answered_as_a_body_that_is_too_large() {
    let bench = Bench::start();
    for body in ["{", "nonsense", "\"text\"", "{\"changes\":{}} x", "{\"changes\":{\"end_user\":[{\"name\":\"\\u00\"}]}}"] {
        let answer = send(&bench, &[JSON], body).await;
        assert_eq!((answer.status, answer.body), (500, internal_error()), "{body}");
    }
    let answer = send(&bench, &[JSON, ("content-encoding", "zstd")], "{}").await;
    assert_eq!((answer.status, answer.body), (500, internal_error()));
}

#[tokio::test]
async fn the_parser_comes_before_the_token_check() {
    let bench = Bench::start();
    let request = bench.http.post(bench.server.url() + PULL).header("content-type", "application/json");
    assert_eq!(request.body("{").send().await.unwrap().status(), 500);
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_not_read() {
    let bench = Bench::start();
    let answer = send(&bench, &[("content-type", "text/plain")], "{\"changes\":{}}").await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("\"table\" is required")));
}

#[tokio::test]
async fn the_limit_can_be_set_lower() {
    let bench = Bench::start();
    bench.world.faults().next(1, Fault::BodyLimit { bytes: 500 });
    assert_eq!(send(&bench, &[JSON], push_of(501)).await.status, 500);
    assert_eq!(send(&bench, &[JSON], push_of(501)).await.status, 200);
}

/// Sends one request by hand and returns the connection behind the answer.
async fn keep_alive(bench: &Bench) -> tokio::net::TcpStream {
    let mut tcp = tokio::net::TcpStream::connect(bench.server.addr()).await.unwrap();
    tcp.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(tcp.read_buf(&mut answer).await.unwrap(), 0);
    }
    assert!(String::from_utf8_lossy(&answer).contains("keep-alive: timeout="));
    tcp
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    let bench = Bench::start_with(|options| options.keep_alive = Duration::from_millis(300));
    let mut tcp = keep_alive(&bench).await;
    let begun = Instant::now();
    assert_eq!(timeout(DEADLINE, tcp.read(&mut [0; 16])).await.expect("closed").unwrap(), 0, "closed in good order");
    assert!((250..3_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn connections_are_kept_alive_for_five_seconds() {
    let bench = Bench::start();
    let mut tcp = keep_alive(&bench).await;
    let begun = Instant::now();
    assert_eq!(timeout(DEADLINE, tcp.read(&mut [0; 16])).await.expect("closed").unwrap(), 0);
    assert!((4_900..9_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn neither_a_long_request_nor_a_websocket_is_idle() {
    let bench = Bench::start_with(|options| options.keep_alive = Duration::from_millis(100));
    let mut socket = support::socket::Socket::joined(&bench).await;
    assert_eq!(bench.get("/health").await.status, 200);
    bench.world.faults().next(1, Fault::Delay { ms: 500 });
    assert_eq!(bench.pull(EPOCH).await.status, 200);
    assert!(socket.drain().await.is_empty());
}

#[tokio::test]
async fn a_large_answer_to_a_slow_reader_is_not_cut_off() {
    let bench = Bench::start_with(|options| options.keep_alive = Duration::from_millis(100));
    let device = bench.world.device(&bench.tenant).quietly();
    for _ in 0..1_500 {
        let mut row = user(&new_id());
        row["address"] = json!("x".repeat(10_000));
        device.insert("end_user", &row).unwrap();
    }
    let body = json!({ "lastSyncTimestamp": EPOCH, "entityTypes": ["end_user"] });
    let request = bench.http.post(bench.server.url() + PULL).bearer_auth(&bench.token).json(&body);
    let response = request.send().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let answer = read(response).await.unwrap();
    assert_eq!(answer.body["data"]["end_user"].as_array().unwrap().len(), 1_500);
}

#[tokio::test]
async fn the_realistic_server_takes_its_time() {
    let bench = Bench::start();
    bench.world.adjust(|settings| settings.latency = Latency::REALISTIC);
    let rows: Vec<Value> = (0..20).map(|_| user(&new_id())).collect();
    let begun = Instant::now();
    assert_eq!(bench.push(json!({ "end_user": rows })).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(100 + 20 * 13), "{:?}", begun.elapsed());

    let begun = Instant::now();
    tokio::join!(bench.pull(EPOCH), bench.pull(EPOCH), bench.pull(EPOCH), bench.pull(EPOCH));
    assert!(begun.elapsed() >= Duration::from_millis(4 * 50), "20 requests a second in all: {:?}", begun.elapsed());
}

#[tokio::test]
async fn the_request_log_shows_what_was_asked() {
    let bench = Bench::start();
    bench.push(json!({ "interactions": [], "end_user": [user(&new_id()), user(&new_id())] })).await;
    bench.pull(EPOCH).await;
    bench.world.faults().next(1, Fault::DropAnswer);
    bench.try_post(PULL, &json!({ "lastSyncTimestamp": EPOCH, "entityTypes": ["end_user"] })).await.unwrap_err();
    let log = bench.world.requests();
    assert_eq!(log.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        (log[0].rows, log[0].status, &log[0].entity_types[..]),
        (2, Some(200), &["interactions".into(), "end_user".into()][..])
    );
    assert_eq!((log[1].rows, log[1].last_sync_timestamp.as_deref()), (2, Some(EPOCH)));
    assert_eq!((log[2].rows, log[2].status), (2, None));
    assert!(log.iter().all(|record| record.tenant.as_ref() == Some(&bench.tenant) && record.ended >= Some(record.started)));
    assert!(log[0].bytes > 100);
    assert_eq!(bench.world.requests_since(2).len(), 1);
}
