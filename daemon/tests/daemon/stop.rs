//! A stop that nobody notices who has the service manager hold the socket: whoever was let in is answered.

use std::path::PathBuf;

use aesyncd::Daemon;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::support::{self, Scene, synced, wait_for};

struct App(BufReader<UnixStream>);

impl App {
    async fn connect(daemon: &Daemon) -> Self {
        Self(BufReader::new(UnixStream::connect(daemon.socket()).await.expect("the daemon listens")))
    }

    async fn ask(&mut self, method: &str, params: &Value) {
        let line = format!("{}\n", json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        self.0.get_mut().write_all(line.as_bytes()).await.expect("written");
    }

    /// The next answer; none when the connection is closed.
    async fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = tokio::time::timeout(support::PATIENCE, self.0.read_line(&mut line)).await.expect("in time");
        (read.expect("readable") > 0).then(|| serde_json::from_str(&line).expect("JSON"))
    }
}

/// The daemon stops in the background, and does not listen any more.
async fn stopping(daemon: Daemon) -> tokio::task::JoinHandle<()> {
    let socket: PathBuf = daemon.socket().to_owned();
    let stop = tokio::spawn(daemon.stop());
    wait_for("the daemon does not listen", || !socket.exists()).await;
    stop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_let_in_right_before_the_stop_gets_its_first_answer() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    let mut newcomer = App::connect(&daemon).await;
    // It came before the one that is answered, so that it was let in.
    let mut other = App::connect(&daemon).await;
    other.ask("ping", &json!({})).await;
    other.answer().await.expect("an answer");
    let stop = stopping(daemon).await;
    newcomer.ask("ping", &json!({})).await;
    assert!(newcomer.answer().await.expect("an answer")["result"]["time"].is_string());
    assert_eq!(newcomer.answer().await, None, "and then it is closed");
    assert_eq!(other.answer().await, None, "who has been answered is closed at once");
    stop.await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_sent_before_the_stop_is_taken_and_answered_and_there_after_the_next_start() {
    let scene = Scene::hurried();
    for round in 0..10 {
        let daemon = scene.start().await;
        let mut app = App::connect(&daemon).await;
        let email = format!("round{round}@example.com");
        app.ask("push", &json!({"changes": {"end_user": [{"email": email}]}})).await;
        let stop = stopping(daemon).await;
        let answer = app.answer().await.expect("an answer");
        // Signed in or not yet, it is an answer of a daemon that works, and not of one that is going.
        let taken = answer["result"]["entries"][0]["state"] == "pending";
        assert!(taken || answer["error"]["data"]["code"] == "auth_required", "{answer}");
        assert!(taken || round == 0, "an identity that is known takes changes at once: {answer}");
        stop.await.expect("stopped");
    }
    let daemon = scene.start().await;
    synced(&daemon).await;
    support::status_where(&daemon, "all of them are on the server", |status| status.outbox.pending == 0).await;
    let rows = scene.world.rows(&scene.tenant, "end_user");
    assert!((1..10).all(|round| rows.iter().any(|row| row["email"] == format!("round{round}@example.com"))), "{rows:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_nothing_holds_the_stop_up_only_for_a_moment_and_one_that_waits_is_told() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let _silent = App::connect(&daemon).await;
    scene.world.faults().next(9, adminengine_dev::Fault::NeverAnswer);
    let mut waiting = App::connect(&daemon).await;
    waiting.ask("sync", &json!({})).await;
    let stop = stopping(daemon).await;
    let answer = waiting.answer().await.expect("an answer");
    assert_eq!(answer["error"]["data"]["code"], "busy", "{answer}");
    stop.await.expect("stopped");
}
