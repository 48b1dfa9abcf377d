//! The daemon against Node's own socket.io: a server that nobody of this project's wrote, below routes and events that are.
//!
//! Skipped where Node or its packages are missing; `daemon/tests/interop/run` installs them and insists.

#![allow(missing_docs, unreachable_pub, reason = "a test binary")]
#![allow(clippy::print_stderr, reason = "a suite that is skipped says so")]

mod node;

use std::time::Duration;

use aesync_protocol::event::{Channel, Event, Notification, Origin};
use aesync_protocol::request::{Metrics, PushWait};
use aesync_protocol::response::{EntryState, Verdict};
use aesync_protocol::status::{LinkWord, Transport};
use aesync_protocol::{Change, Status, StatusWord};
use aesyncd::config::Config;
use aesyncd::{Daemon, StartOptions};
use serde_json::{Value, json};

use self::node::{Node, Options};
use crate::support::apps::{Events, call, push, records, subscribe};
use crate::support::{status_where, synced, wait_for};

/// A server and a place for daemons.
struct Table {
    server: Option<Node>,
    dir: tempfile::TempDir,
}

impl Table {
    /// `None` where the suite is skipped.
    fn set() -> Option<Self> {
        Self::with(false)
    }

    fn with(polling_only: bool) -> Option<Self> {
        if !node::is_there() {
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let server = Node::start(Options { data: dir.path().join("rows.json"), port: 0, polling_only });
        Some(Self { server: Some(server), dir })
    }

    fn server(&self) -> &Node {
        self.server.as_ref().expect("a server that runs")
    }

    /// A daemon of that name that signs in with e-mail and password.
    async fn daemon(&self, name: &str) -> Daemon {
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).expect("a directory of its own");
        let password = dir.join("password");
        std::fs::write(&password, "correct horse\n").expect("the password is written");
        let mut config = Config::default();
        config.server.url = Some(self.server().url());
        config.auth.email = Some("ada@example.com".to_owned());
        config.auth.password_file = Some(password);
        config.tuning.backoff_min = Duration::from_millis(50);
        config.tuning.backoff_max = Duration::from_millis(300);
        config.tuning.pull_gap = Duration::from_millis(200);
        config.tuning.http_interval = Duration::from_millis(400);
        let options = StartOptions::new(dir.join("state"), dir.join("aesyncd.sock"));
        Daemon::start(config, options).await.expect("the daemon starts")
    }

    fn kill(&mut self) -> Options {
        self.server.take().expect("a server that runs").kill()
    }

    fn revive(&mut self, killed: Options) {
        self.server = Some(Node::start(killed));
    }

    fn insert(&self, email: &str) -> Value {
        self.server().ask("insert", &json!({ "entityType": "end_user", "row": { "email": email } }))
    }

    fn emit(&self, event: &str, args: &[Value]) {
        self.server().ask("emit", &json!({ "event": event, "args": args }));
    }

    /// The number of requests that the server answered on a path.
    fn requests(&self, path: &str) -> usize {
        let state = self.server().state();
        state["requests"].as_array().map_or(0, |requests| requests.iter().filter(|request| request["path"] == path).count())
    }
}

fn over(status: &Status, transport: Transport) -> bool {
    status.server.link == LinkWord::Online && status.server.transport == Some(transport)
}

async fn change_of(events: &mut Events, id: &str) -> Change {
    let wanted = id.to_owned();
    let pick = move |event| match event {
        Event::Change { change } if change.id == wanted => Some(change),
        _ => None,
    };
    events.find("a change of that record", pick).await
}

async fn notification_of(events: &mut Events, kind: &'static str) -> Notification {
    let pick = move |event| match event {
        Event::Notification { notification } if notification.kind == kind => Some(notification),
        _ => None,
    };
    events.find("a notification of that kind", pick).await
}

/// How many server events the daemon passed over because of their shape.
async fn unknown_events(daemon: &Daemon) -> u64 {
    let text = call(daemon, Metrics {}).await.text;
    let line = text.lines().find(|line| line.starts_with("aesync_unknown_events_total"));
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.and_then(|count| count.parse().ok()).expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_signs_in_authenticates_and_is_synced() {
    let Some(table) = Table::set() else { return };
    table.insert("one@example.com");
    let daemon = table.daemon("a").await;
    let status = synced(&daemon).await;
    assert!(over(&status, Transport::Websocket), "{status:?}");
    assert_eq!(status.types["end_user"].records, 1);

    let state = table.server().state();
    let tenant = state["tenant"].as_str().expect("the tenant");
    assert_eq!(status.server.tenant_id.as_deref(), Some(tenant));
    assert_eq!(state["sockets"], json!([{ "tenant": tenant, "transport": "websocket" }]));
    let credentials = &state["heard"]["authenticate"][0];
    assert_eq!((credentials["tenantId"].as_str(), &credentials["token"]), (Some(tenant), &state["heard"]["auth"][0]["token"]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_made_elsewhere_becomes_an_event_in_real_time() {
    let Some(table) = Table::set() else { return };
    let daemon = table.daemon("a").await;
    synced(&daemon).await;
    let mut events = subscribe(&daemon, &[Channel::Change]).await;
    for email in ["one@example.com", "two@example.com", "three@example.com"] {
        let row = table.insert(email);
        // The poll floor is minutes away: only the notification can have brought it.
        let change = change_of(&mut events, row["id"].as_str().expect("an id")).await;
        assert_eq!((change.origin, change.pending), (Origin::Server, false));
        assert_eq!(change.record.expect("the record")["email"], email);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_judged_and_confirmed_and_an_update_that_the_server_drops_is_a_conflict() {
    let Some(table) = Table::set() else { return };
    let daemon = table.daemon("a").await;
    synced(&daemon).await;
    let new = json!({ "email": "two@example.com", "name": "Two" });
    let entry = push(&daemon, "end_user", new, PushWait::Confirmed).await;
    assert_eq!((entry.state, entry.verdict), (EntryState::Confirmed, Some(Verdict::Accepted)));
    assert_eq!(table.server().pushes(&entry.id), 1);
    assert_eq!(records(&daemon, "end_user").await[&entry.id]["name"], "Two");

    let update = json!({ "id": entry.id, "email": "two@example.com", "name": "Too" });
    let overruled = push(&daemon, "end_user", update, PushWait::Acked).await;
    assert_eq!(overruled.state, EntryState::Conflict);
    let Some(Verdict::Overwritten { server }) = overruled.verdict else { panic!("overwritten: {:?}", overruled.verdict) };
    assert_eq!(server["name"], "Two");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_hear_of_each_other_through_the_server() {
    let Some(table) = Table::set() else { return };
    let (one, other) = (table.daemon("a").await, table.daemon("b").await);
    synced(&one).await;
    synced(&other).await;
    let mut changes = subscribe(&other, &[Channel::Change]).await;
    let mut notifications = subscribe(&other, &[Channel::Notification]).await;
    let entry = push(&one, "end_user", json!({ "email": "two@example.com" }), PushWait::Queued).await;
    let update = notification_of(&mut notifications, "sync_status_update").await;
    assert!(["syncing", "pending", "synced"].contains(&update.message.as_str()), "{update:?}");
    let change = change_of(&mut changes, &entry.id).await;
    assert_eq!((change.origin, change.pending), (Origin::Server, false));
    synced(&one).await;
    wait_for("the server heard that a daemon is synced again", || {
        let updates = table.server().state()["heard"]["updates"].clone();
        updates.as_array().is_some_and(|updates| updates.contains(&json!({ "status": "synced" })))
    })
    .await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_is_answered_and_its_way_measured() {
    let Some(table) = Table::set() else { return };
    let daemon = table.daemon("a").await;
    let status = status_where(&daemon, "a round trip", |status| status.server.rtt_ms.is_some()).await;
    assert!(status.server.last_pong_at.is_some());
    assert!(table.server().state()["heard"]["pings"].as_u64() >= Some(1));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_the_server_disconnects_the_next_socket_is_authenticated_and_hears() {
    let Some(table) = Table::set() else { return };
    let daemon = table.daemon("a").await;
    synced(&daemon).await;
    let mut events = subscribe(&daemon, &[Channel::Change]).await;
    for (reconnects, close) in [(1, false), (2, true), (3, false)] {
        table.server().ask("disconnect", &json!({ "close": close }));
        let back = |status: &Status| status.server.reconnects == reconnects && status.status == StatusWord::Synced;
        status_where(&daemon, "connected anew and synced", back).await;
        let row = table.insert(&format!("after-{reconnects}@example.com"));
        change_of(&mut events, row["id"].as_str().expect("an id")).await;
    }
    wait_for("no socket of before is left", || table.server().state()["sockets"].as_array().map(Vec::len) == Some(1)).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_middleware_that_refuses_is_named_and_http_goes_on_without_the_socket() {
    let Some(table) = Table::set() else { return };
    table.server().ask("refuse", &json!({ "message": "not this device" }));
    let daemon = table.daemon("a").await;
    let status = status_where(&daemon, "synced over HTTP, the refusal named", |status| {
        let named = status.last_error.as_ref().is_some_and(|error| error.code == "refused");
        named && over(status, Transport::Http) && status.status == StatusWord::Synced
    })
    .await;
    let error = status.last_error.clone().expect("an error");
    assert!(error.message.contains("not this device"), "{}", error.message);

    table.server().ask("refuse", &json!({ "message": null }));
    status_where(&daemon, "a websocket", |status| over(status, Transport::Websocket)).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_started_again_gets_every_change_once() {
    let Some(mut table) = Table::set() else { return };
    let daemon = table.daemon("a").await;
    synced(&daemon).await;
    let mut pushed = Vec::new();
    for round in 0..5 {
        pushed.push(push(&daemon, "end_user", json!({ "email": format!("up-{round}@example.com") }), PushWait::Queued).await.id);
        let killed = table.kill();
        status_where(&daemon, "offline", |status| status.status == StatusWord::Offline).await;
        pushed
            .push(push(&daemon, "end_user", json!({ "email": format!("down-{round}@example.com") }), PushWait::Queued).await.id);
        table.revive(killed);
        let drained = |status: &Status| status.status == StatusWord::Synced && over(status, Transport::Websocket);
        status_where(&daemon, "synced again", drained).await;
    }
    let found = records(&daemon, "end_user").await;
    for id in &pushed {
        // Once also where the kill swallowed the answer: a pull tells that it landed (rule R9).
        assert_eq!(table.server().pushes(id), 1, "{id}");
        assert!(found.contains_key(id), "{id} is missing");
    }
    assert_eq!(found.len(), pushed.len());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_websockets_is_synced_with_over_http_alone() {
    let Some(table) = Table::with(true) else { return };
    let daemon = table.daemon("a").await;
    status_where(&daemon, "synced over HTTP", |status| over(status, Transport::Http) && status.status == StatusWord::Synced)
        .await;
    let entry = push(&daemon, "end_user", json!({ "email": "two@example.com" }), PushWait::Confirmed).await;
    assert_eq!(entry.state, EntryState::Confirmed);
    let mut events = subscribe(&daemon, &[Channel::Change]).await;
    let row = table.insert("three@example.com");
    change_of(&mut events, row["id"].as_str().expect("an id")).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_any_shape_leave_the_daemon_hearing_and_synced() {
    let Some(table) = Table::set() else { return };
    let daemon = table.daemon("a").await;
    synced(&daemon).await;
    let mut events = subscribe(&daemon, &[Channel::Change]).await;
    let binary = json!({ "bytes": 4_096 });
    for (number, (event, args, unknown)) in [
        ("sync_notification", vec![], 1),
        ("pong", vec![], 0),
        ("authenticated", vec![], 0),
        ("sync_status_update", vec![json!(null)], 1),
        ("sync_notification", vec![json!([1, 2]), json!("three")], 1),
        ("something_new", vec![json!({ "type": "data_available" })], 1),
        ("sync_notification", vec![binary.clone()], 0),
        ("something_new", vec![json!({}), binary], 0),
        // The library's own names: at worst they end the connection, and it is built anew.
        ("message", vec![json!("sync_notification")], 1),
        ("open", vec![], 1),
        ("error", vec![json!({ "message": "no error" })], 0),
        ("close", vec![], 1),
        ("close", vec![json!({})], 0),
    ]
    .into_iter()
    .enumerate()
    {
        let before = unknown_events(&daemon).await;
        table.emit(event, &args);
        let row = table.insert(&format!("after-{number}@example.com"));
        let change = change_of(&mut events, row["id"].as_str().expect("an id")).await;
        assert_eq!(change.op, aesync_protocol::event::ChangeOp::Upsert, "after {event} {args:?}");
        assert_eq!(unknown_events(&daemon).await, before + unknown, "after {event} {args:?}");
    }
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volatile_and_large_notifications_arrive_and_their_data_is_not_passed_on() {
    let Some(table) = Table::set() else { return };
    let daemon = table.daemon("a").await;
    synced(&daemon).await;
    let mut events = subscribe(&daemon, &[Channel::Notification]).await;
    let volatile = json!({ "type": "conflict_detected", "entityType": "end_user", "message": "look" });
    table.server().ask("emit", &json!({ "event": "sync_notification", "args": [volatile], "volatile": true }));
    assert_eq!(notification_of(&mut events, "conflict_detected").await.message, "look");

    let before = table.requests("/api/client/sync/pull");
    let row = json!({ "id": "never stored", "name": "x".repeat(1_000_000) });
    table.emit(
        "sync_notification",
        &[json!({ "type": "sync_complete", "entityType": "end_user", "message": "big", "data": row })],
    );
    assert_eq!(notification_of(&mut events, "sync_complete").await.message, "big");
    wait_for("it was a reason to pull", || table.requests("/api/client/sync/pull") > before).await;
    let status = synced(&daemon).await;
    assert_eq!((status.types["end_user"].records, status.server.reconnects), (0, 0));
    daemon.stop().await;
}
