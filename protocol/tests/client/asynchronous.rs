//! The asynchronous client's calls against a listener that answers canned lines.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use aesync_protocol::client::ClientError;
use aesync_protocol::client::asynchronous::Client;
use aesync_protocol::request::{Ping, Push};
use aesync_protocol::{ErrorCode, entity::Changes};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
    listener: UnixListener,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    Place { _dir: dir, path, listener }
}

impl Place {
    /// Both ends of a connection.
    async fn pair(&self) -> (Client, BufReader<UnixStream>) {
        let (client, accepted) = tokio::join!(Client::connect(&self.path), self.listener.accept());
        (client.expect("connected"), BufReader::new(accepted.expect("a client").0))
    }
}

async fn asked(peer: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    peer.read_line(&mut line).await.expect("a request");
    serde_json::from_str(&line).expect("JSON")
}

async fn say(peer: &mut BufReader<UnixStream>, line: Value) {
    peer.write_all(format!("{line}\n").as_bytes()).await.expect("written");
}

fn time(id: &Value, year: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"time": format!("{year}-01-01T00:00:00.000Z")}})
}

/// Gives it some turns, then drops it.
async fn begin_and_drop<T>(future: impl Future<Output = T>) {
    tokio::select! {
        biased;
        _ = future => panic!("it was not to end"),
        () = async { for _ in 0..20 { tokio::task::yield_now().await } } => {}
    }
}

#[tokio::test]
async fn a_call_returns_its_own_answer_and_an_error_whole() {
    let place = place();
    let (mut client, mut peer) = place.pair().await;
    let daemon = async {
        let request = asked(&mut peer).await;
        say(&mut peer, time(&json!(99), "1999")).await;
        say(&mut peer, json!({"jsonrpc": "2.0", "method": "event", "params": {"channel": "checkpoint", "seq": 1}})).await;
        say(&mut peer, time(&request["id"], "2026")).await;
        let request = asked(&mut peer).await;
        say(&mut peer, json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": "m", "data": {"code": "busy", "retryable": true}}})).await;
    };
    let calls = async {
        assert_eq!(client.call(&Ping {}).await.expect("an answer").time.to_string(), "2026-01-01T00:00:00.000Z");
        let error = client.call(&Ping {}).await.expect_err("refused");
        assert!(matches!(&error, ClientError::Remote(error) if error.is(ErrorCode::Busy)), "{error:?}");
    };
    tokio::join!(daemon, calls);
}

#[tokio::test]
async fn the_answer_to_a_call_that_was_given_up_is_not_taken_for_the_next_ones() {
    let place = place();
    let (mut client, mut peer) = place.pair().await;
    begin_and_drop(client.call(&Ping {})).await;
    let error = client.call_within(&Ping {}, Duration::from_millis(1)).await.expect_err("no answer");
    assert!(matches!(&error, ClientError::Timeout { method, .. } if method == "ping"), "{error:?}");
    let daemon = async {
        let requests = [asked(&mut peer).await, asked(&mut peer).await, asked(&mut peer).await];
        for (request, year) in requests.iter().zip(["2001", "2002", "2003"]) {
            say(&mut peer, time(&request["id"], year)).await;
        }
    };
    let (answer, ()) = tokio::join!(client.call(&Ping {}), daemon);
    assert_eq!(answer.expect("an answer").time.to_string(), "2003-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn a_large_call_that_was_given_up_half_sent_does_not_tear_the_next_one() {
    let place = place();
    let (mut client, mut peer) = place.pair().await;
    let text = "x".repeat(2_000_000);
    let large = Push { changes: Changes(vec![("t".to_owned(), vec![json!({ "text": text })])]), ..Push::default() };
    begin_and_drop(client.call(&large)).await;
    let daemon = async {
        let first = asked(&mut peer).await;
        assert_eq!(first["params"]["changes"]["t"][0]["text"].as_str().map(str::len), Some(2_000_000));
        let second = asked(&mut peer).await;
        assert_eq!(second["method"], "ping");
        say(&mut peer, time(&second["id"], "2026")).await;
    };
    let (answer, ()) = tokio::join!(client.call(&Ping {}), daemon);
    answer.expect("an answer");
}

#[tokio::test]
async fn a_daemon_that_turns_a_client_away_is_heard_and_an_end_is_said() {
    let place = place();
    let (mut client, mut peer) = place.pair().await;
    say(&mut peer, json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "m", "data": {"code": "busy", "retryable": true}}})).await;
    drop(peer);
    let error = client.call(&Ping {}).await.expect_err("turned away");
    assert!(matches!(&error, ClientError::Remote(error) if error.is(ErrorCode::Busy)), "{error:?}");
    let error = client.call(&Ping {}).await.expect_err("closed");
    assert!(matches!(error, ClientError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_told_with_the_path() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("absent");
    let error = Client::connect(&path).await.expect_err("nobody");
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_full_queue_is_knocked_at_again_until_there_is_room_or_the_time_is_over() {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
    use std::os::fd::AsRawFd as _;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    bind(fd.as_raw_fd(), &UnixAddr::new(&path).expect("an address")).expect("bound");
    listen(&fd, Backlog::new(1).expect("a backlog")).expect("listening");
    let mut waiting = Vec::new();
    while let Ok(client) = Client::connect_within(&path, Duration::from_millis(30)).await {
        waiting.push(client);
    }
    let error = Client::connect_within(&path, Duration::from_millis(30)).await.expect_err("no room");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    let listener = std::os::unix::net::UnixListener::from(fd);
    let room = tokio::task::spawn_blocking(move || {
        let accepted: Vec<_> = (0..waiting.len()).map(|_| listener.accept().expect("a client")).collect();
        drop(waiting);
        (listener.accept().expect("the last client"), accepted)
    });
    Client::connect(&path).await.expect("room");
    room.await.expect("the daemon's side");
}

#[tokio::test]
async fn the_peer_sees_the_end_when_the_client_is_dropped() {
    let place = place();
    let (client, mut peer) = place.pair().await;
    drop(client);
    assert_eq!(peer.read_to_end(&mut Vec::new()).await.expect("the end"), 0);
}
