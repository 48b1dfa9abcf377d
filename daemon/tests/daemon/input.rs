//! Bad input from every side: each gets a clear sentence and the right code, and nobody else notices.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aesync_protocol::error::rpc;
use aesync_protocol::request::{GetStatus, Ping, PushWait, RecordsGet, RecordsList};
use aesync_protocol::status::OfflineReason;
use aesync_protocol::{ErrorCode, Status};
use aesyncd::{Daemon, StartError, StartOptions};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::proxy;
use crate::support::apps::{call, change, code, push, try_call};
use crate::support::{self, Scene, status_where, synced};

/// Starts a daemon that can't be, and gives the sentence.
async fn refused(scene: &Scene, options: StartOptions) -> (StartError, String) {
    let error = Daemon::start(scene.config.clone(), options).await.expect_err("it can't start");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    (error, text)
}

fn options(scene: &Scene) -> StartOptions {
    StartOptions::new(scene.state_dir(), scene.socket())
}

/// The daemon can't reach what is configured; says why, takes changes, and answers as before.
async fn unreachable(scene: &Scene, expected: &str) -> (Daemon, Status) {
    let daemon = scene.start().await;
    let status = status_where(&daemon, expected, |status| {
        status.reason == Some(OfflineReason::Unreachable)
            && status.last_error.as_ref().is_some_and(|error| error.code == expected)
    })
    .await;
    push(&daemon, "end_user", json!({"email": "kept@example.com"}), PushWait::Queued).await;
    (daemon, Status::clone(&status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_signed_certificate_is_refused_and_trusted_once_it_is_configured() {
    let mut scene = Scene::hurried();
    let ca = scene.dir.path().join("ca.pem");
    let target = scene.server.as_ref().expect("a server").addr();
    let url = proxy::tls(target, "localhost", &ca).await;
    scene.config.server.url = Some(url.as_str().to_owned());
    let (daemon, status) = unreachable(&scene, "untrusted_certificate").await;
    let message = status.last_error.expect("an error").message;
    assert!(message.contains("certificate") && message.contains("server.ca_file"), "{message}");
    assert!(status.retry_at.is_some());
    assert_eq!(scene.world.requests().len(), 0, "nothing is sent to somebody who is not trusted");
    daemon.stop().await;

    scene.config.server.ca_file = Some(ca);
    let daemon = scene.start().await;
    synced(&daemon).await;
    assert_eq!(scene.world.rows(&scene.tenant, "end_user").len(), 1);
    daemon.stop().await;
}

/// A server that answers every connection with the same bytes, and closes it.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(bytes).await;
            // Read what was asked before closing, so that the answer is not lost to a reset.
            let mut scratch = [0; 4096];
            let _ =
                tokio::time::timeout(Duration::from_millis(50), tokio::io::AsyncReadExt::read(&mut stream, &mut scratch)).await;
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_no_socket_io_server_is_named_as_such() {
    for bytes in [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<h1>Hello!</h1>".as_slice(),
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ] {
        let mut scene = Scene::hurried();
        scene.config.server.url = Some(answering(bytes).await);
        let daemon = scene.start().await;
        let status = status_where(&daemon, "offline with a reason that names the key", |status| {
            status.reason == Some(OfflineReason::Unreachable)
                && status.last_error.as_ref().is_some_and(|error| error.message.contains("server.url"))
        })
        .await;
        let code = status.last_error.as_ref().map(|error| error.code.as_str());
        assert!(matches!(code, Some("no_websocket" | "offline")), "{status:#?}");
        push(&daemon, "end_user", json!({"email": "kept@example.com"}), PushWait::Queued).await;
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_none_stops_the_start_and_says_which_key() {
    for url in ["", "127.0.0.1:3000", "ftp://127.0.0.1", "http://", "http://user:secret@127.0.0.1", "http://127.0.0.1/?a=b"] {
        let mut scene = Scene::hurried();
        scene.config.server.url = Some(url.to_owned());
        let (error, text) = refused(&scene, options(&scene)).await;
        assert!(error.is_configuration(), "{url}: {text}");
        assert!(text.starts_with("server.url: "), "{url}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_where_nobody_listens_is_retried() {
    let mut scene = Scene::hurried();
    let gone = scene.kill_server();
    let (daemon, status) = unreachable(&scene, "offline").await;
    let message = status.last_error.expect("an error").message;
    assert!(message.contains("server.url"), "{message}");
    scene.revive(gone);
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_on_the_same_state_or_socket_is_refused_and_the_first_one_goes_on() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;

    let (error, text) = refused(&scene, StartOptions::new(scene.state_dir(), scene.dir.path().join("other.sock"))).await;
    assert!(!error.is_configuration());
    assert!(text.contains("in use by aesyncd with pid") && text.contains(&std::process::id().to_string()), "{text}");
    let (_, text) = refused(&scene, StartOptions::new(scene.dir.path().join("other"), scene.socket())).await;
    assert!(text.contains("already running") && text.contains("--socket"), "{text}");

    push(&daemon, "end_user", json!({"email": "first@example.com"}), PushWait::Confirmed).await;
    daemon.stop().await;
    let again = scene.start().await;
    synced(&again).await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_for_the_socket_or_the_state_that_can_not_be_used_is_named_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::hurried();
    let dir = scene.dir.path();
    let (_, text) = refused(&scene, StartOptions::new(scene.state_dir(), dir.join("missing/aesyncd.sock"))).await;
    assert!(text.contains("missing; create it"), "{text}");
    let (_, text) = refused(&scene, StartOptions::new(scene.state_dir(), dir.join("s".repeat(200)))).await;
    assert!(text.contains("choose a shorter one"), "{text}");
    std::fs::write(dir.join("file"), "kept").expect("written");
    let (_, text) = refused(&scene, StartOptions::new(scene.state_dir(), dir.join("file"))).await;
    assert!(text.contains("is no socket; remove it"), "{text}");
    let (_, text) = refused(&scene, StartOptions::new(dir.join("file"), scene.socket())).await;
    assert!(text.contains("is not a directory"), "{text}");
    assert_eq!(std::fs::read_to_string(dir.join("file")).expect("there"), "kept");

    let locked = dir.join("locked");
    std::fs::create_dir(&locked).expect("created");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).expect("set");
    if std::fs::write(locked.join("probe"), "").is_ok() {
        // Root may write everywhere: there is nothing to see.
        return;
    }
    let (_, text) = refused(&scene, StartOptions::new(scene.state_dir(), locked.join("aesyncd.sock"))).await;
    assert!(text.contains("no permission to write to the directory"), "{text}");
    let (_, text) = refused(&scene, StartOptions::new(locked.join("state"), scene.socket())).await;
    assert!(text.contains("can't be written") || text.contains("ermission"), "{text}");
}

/// A connection that speaks bytes.
struct Raw {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Raw {
    fn connect(daemon: &Daemon) -> Self {
        let stream = UnixStream::connect(daemon.socket()).expect("connected");
        stream.set_read_timeout(Some(support::PATIENCE)).expect("set");
        stream.set_write_timeout(Some(support::PATIENCE)).expect("set");
        let lines = BufReader::new(stream.try_clone().expect("cloned"));
        Self { stream, lines }
    }

    fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("sent");
    }

    /// The next answer; nothing once the daemon closed the connection.
    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("JSON")),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    fn ask(&mut self, line: &str) -> Value {
        self.send(line);
        self.answer().expect("an answer")
    }
}

/// One client that stays connected and asks between all that others do.
async fn with_witness(daemon: &Daemon, misbehave: impl FnOnce(&Daemon, &mut dyn FnMut()) + Send) {
    let mut witness = Raw::connect(daemon);
    let mut count = 0;
    let mut look = || {
        count += 1;
        let answer = witness.ask(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{count},\"method\":\"ping\"}}"));
        assert_eq!(answer["id"], count, "{answer}");
        assert!(answer["result"]["time"].is_string(), "{answer}");
    };
    look();
    tokio::task::block_in_place(|| misbehave(daemon, &mut look));
    look();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_lines_get_their_code_and_the_third_one_ends_the_connection() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    with_witness(&daemon, |daemon, look| {
        for (line, expected) in [
            ("{", rpc::PARSE_ERROR),
            ("\u{0}\u{1}", rpc::PARSE_ERROR),
            ("\"text\"", rpc::INVALID_REQUEST),
            ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", rpc::INVALID_REQUEST),
            ("[]", rpc::INVALID_REQUEST),
        ] {
            let mut raw = Raw::connect(daemon);
            let answer = raw.ask(line);
            assert_eq!(answer["error"]["code"], expected, "{line}: {answer}");
            assert!(answer["error"]["message"].as_str().is_some_and(|text| text.len() > 10), "{answer}");
            let after = raw.ask("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}");
            assert_eq!(after["id"], 7, "one bad line does no harm: {after}");
            look();
        }
        let mut raw = Raw::connect(daemon);
        for _ in 0..3 {
            raw.send("garbage");
        }
        let answers: Vec<Value> = std::iter::from_fn(|| raw.answer()).collect();
        assert!((1..=4).contains(&answers.len()), "{answers:?}");
        assert!(answers.iter().all(|answer| answer["error"]["code"] == rpc::PARSE_ERROR), "{answers:?}");
        look();
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_100_megabytes_is_cut_off_and_nobody_else_waits() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    with_witness(&daemon, |daemon, look| {
        let mut raw = Raw::connect(daemon);
        let chunk = vec![b'x'; 1024 * 1024];
        // Whether the rest is taken and thrown away, or the connection ends meanwhile, is the daemon's choice.
        for _ in 0..100 {
            if raw.stream.write_all(&chunk).is_err() {
                break;
            }
            look();
        }
        let answer = raw.answer().expect("the reason");
        assert_eq!(answer["error"]["data"]["code"], "too_large", "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("8388608")), "{answer}");
        assert_eq!(raw.answer(), None, "the connection is closed");
        look();
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_and_params_that_are_none_are_named() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    with_witness(&daemon, |daemon, look| {
        let mut raw = Raw::connect(daemon);
        for (request, expected, named) in [
            (json!({"method": "pusj"}), rpc::METHOD_NOT_FOUND, "pusj"),
            (json!({"method": "status", "params": {"verbose": true}}), rpc::INVALID_PARAMS, "verbose"),
            (json!({"method": "status", "params": [1]}), rpc::INVALID_PARAMS, "object"),
            (json!({"method": "push", "params": {}}), rpc::INVALID_PARAMS, "changes"),
            (json!({"method": "push", "params": {"changes": []}}), rpc::INVALID_PARAMS, "invalid params"),
            (json!({"method": "push", "params": {"changes": {"end_user": {}}}}), rpc::INVALID_PARAMS, "invalid params"),
            (json!({"method": "wait", "params": {"for": "luck", "timeoutMs": 1}}), rpc::INVALID_PARAMS, "luck"),
            (json!({"method": "subscribe", "params": {"channels": ["gossip"]}}), rpc::INVALID_PARAMS, "gossip"),
            (json!({"method": "outbox.discard", "params": {}}), rpc::INVALID_PARAMS, "all"),
            (json!({"method": "auth.login", "params": {"email": "", "password": ""}}), rpc::INVALID_PARAMS, "password"),
        ] {
            let mut line = request.clone();
            line["jsonrpc"] = json!("2.0");
            line["id"] = json!("mine");
            let answer = raw.ask(&line.to_string());
            assert_eq!(answer["id"], "mine");
            assert_eq!(answer["error"]["code"], expected, "{request}: {answer}");
            assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains(named)), "{request}: {answer}");
        }
        look();
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entities_that_the_server_would_refuse_or_hide_are_refused_with_their_place_and_nothing_is_enqueued() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let good = || json!({"email": "good@example.com"});
    for (entity_type, bad, field) in [
        ("orders", json!({"email": "a@example.com"}), "entityType"),
        ("end_user", json!("a string"), ""),
        ("end_user", json!(null), ""),
        ("end_user", json!([1]), ""),
        ("end_user", json!({"name": "no address"}), "email"),
        ("end_user", json!({"email": null}), "email"),
        ("end_user", json!({"id": "17", "email": "a@example.com"}), "id"),
        ("end_user", json!({"id": 17, "email": "a@example.com"}), "id"),
        ("end_user", json!({"email": "a\u{0}@example.com"}), "email"),
        ("interactions", json!({"type": "call", "title": "t", "description": "d"}), "date"),
    ] {
        let entities = if entity_type == "end_user" { vec![good(), bad.clone()] } else { vec![bad.clone()] };
        let index = entities.len() - 1;
        let error = try_call(&daemon, change(entity_type, entities, PushWait::Queued)).await.expect_err("no entity");
        assert_eq!(code(&error), ErrorCode::InvalidEntity.as_str(), "{bad}: {error:?}");
        let data = error.data.as_ref().expect("data");
        assert_eq!(data.more["entityType"], entity_type, "{error:?}");
        assert!(data.more["reason"].is_string() && data.hint.is_some(), "{error:?}");
        assert_eq!((&data.more["index"], &data.more["field"]), (&json!(index), &json!(field)), "{bad}: {error:?}");
    }
    let status = call(&daemon, GetStatus {}).await;
    assert_eq!(status.outbox, aesync_protocol::status::OutboxStatus::default());
    for unknown in ["orders", ""] {
        let list = RecordsList { entity_type: unknown.to_owned(), limit: None, after: None };
        assert_eq!(code(&try_call(&daemon, list).await.expect_err("no such type")), "not_found");
    }
    let get = RecordsGet { entity_type: "end_user".to_owned(), id: "nobody".to_owned() };
    assert_eq!(code(&try_call(&daemon, get).await.expect_err("nobody")), "not_found");
    call(&daemon, Ping {}).await;
    daemon.stop().await;
}
