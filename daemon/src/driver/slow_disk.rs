//! A disk that takes its time holds up those who wait for it, and nobody else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adminengine_dev::{DevServer, Options, World};
use aesync_protocol::StatusWord;
use aesync_protocol::client::Client;
use aesync_protocol::entity::Changes;
use aesync_protocol::request::{GetStatus, GetStoreFigures, Method, Push, RecordsGet, RecordsList, StoreCheck};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::store::hold_disk;
use crate::{Daemon, Patience, StartOptions};

/// How long anything may take that does not wait for the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// A call on a connection of its own.
fn ask<M: Method + Send + 'static>(socket: PathBuf, params: M) -> JoinHandle<M::Answer>
where
    M::Answer: Send,
{
    tokio::task::spawn_blocking(move || {
        let mut client = Client::connect_within(&socket, PATIENCE).expect("the daemon can be reached");
        client.call_within(&params, PATIENCE).unwrap_or_else(|error| panic!("{}: {error}", M::NAME))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_takes_its_time_the_loop_turns_and_reads_are_answered() {
    let world = World::new();
    let server = DevServer::start(Options::new(Arc::clone(&world))).expect("the development server starts");
    let tenant = world.add_customer("ada@example.com", "correct horse");
    let row = world.device(&tenant).insert("end_user", &json!({"email": "a@example.com", "name": "Ada"})).expect("inserted");
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, world.token(&tenant)).expect("written");
    let mut config = Config::default();
    config.server.url = Some(server.url().to_owned());
    config.auth.token_file = Some(token);
    let (state, socket) = (dir.path().join("state"), dir.path().join("s"));
    let daemon = Daemon::start(config, StartOptions::new(&state, &socket)).await.expect("the daemon starts");
    let mut statuses = daemon.status();
    let synced = statuses.wait_for(|status| status.status == StatusWord::Synced);
    tokio::time::timeout(PATIENCE, synced).await.expect("in time").expect("it runs");

    let held = hold_disk(&state);
    let entity = json!({"email": "b@example.com", "name": "Bea"});
    let push = Push { changes: Changes(vec![("end_user".to_owned(), vec![entity])]), ..Push::default() };
    let push = ask(socket.clone(), push);
    let start = Instant::now();
    while !held.is_met() {
        assert!(start.elapsed() < PATIENCE, "the push never came to the disk");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let patience = Patience { turn: PATIENCE, ..Patience::default() };
    assert!(daemon.is_alive(patience).await, "the watchdog is fed");
    let out_of_patience = Patience { store: Duration::ZERO, ..patience };
    assert!(!daemon.is_alive(out_of_patience).await, "but not for ever");
    ask(socket.clone(), GetStatus {}).await.expect("answered");
    ask(socket.clone(), GetStoreFigures {}).await.expect("answered");
    let list = RecordsList { entity_type: "end_user".to_owned(), limit: None, after: None };
    assert_eq!(ask(socket.clone(), list).await.expect("answered").records.len(), 1, "what is not durable is not shown");
    let id = row["id"].as_str().expect("an id").to_owned();
    ask(socket.clone(), RecordsGet { entity_type: "end_user".to_owned(), id }).await.expect("answered");
    let slice = ask(socket.clone(), StoreCheck::default()).await.expect("answered");
    assert!(slice.damaged.is_empty() && slice.values > 0, "{slice:?}");
    assert!(!push.is_finished(), "nobody is told before it is durable");

    drop(held);
    let pushed = tokio::time::timeout(PATIENCE, push).await.expect("in time").expect("answered");
    assert_eq!(pushed.entries.len(), 1);
    while !daemon.is_alive(out_of_patience).await {
        assert!(start.elapsed() < PATIENCE, "the store's thread has nothing more to do");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    daemon.stop().await;
}
