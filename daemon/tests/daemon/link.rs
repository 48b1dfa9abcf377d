//! The connection: it comes back, it is caught up with, and the status tells the truth about it meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adminengine_dev::{Fault, Route, SocketEnd, World};
use aesync_protocol::client::Client;
use aesync_protocol::event::{Channel, Event};
use aesync_protocol::request::PushWait;
use aesync_protocol::status::{LinkWord, Transport};
use aesync_protocol::{StatusWord, Timestamp};
use aesyncd::Daemon;
use serde_json::json;

use crate::support::apps::{change, push, records, subscribe};
use crate::support::truth::converged;
use crate::support::{PATIENCE, Scene, status_where, synced, wait_for};

fn wall() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    Timestamp::from_millis(i64::try_from(millis).expect("not that late"))
}

fn has_user(world: &World, tenant: &str, id: &str) -> bool {
    world.row(tenant, "end_user", id).is_some()
}

async fn insert_and_see(scene: &Scene, daemon: &Daemon, email: &str) {
    let row = scene.world.device(&scene.tenant).insert("end_user", &json!({ "email": email })).expect("inserted");
    let id = row["id"].as_str().expect("an id").to_owned();
    let start = Instant::now();
    while !records(daemon, "end_user").await.contains_key(&id) {
        assert!(start.elapsed() < PATIENCE, "{email} did not arrive; {:#?}", daemon.status().borrow());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An application that pushes all the time, and what it was told to be safe.
struct Pushing {
    acknowledged: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Pushing {
    fn start(daemon: &Daemon) -> Self {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (path, ids, stopped) = (daemon.socket().to_owned(), Arc::clone(&acknowledged), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(&path).expect("the daemon can be reached");
            let mut count = 0_u32;
            while !stopped.load(Ordering::SeqCst) {
                count += 1;
                let entity = json!({ "email": format!("{count}@example.com") });
                let pushed = client.call(&change("end_user", vec![entity], PushWait::Queued)).expect("queued");
                ids.lock().expect("the list").push(pushed.entries[0].id.clone());
                std::thread::sleep(Duration::from_millis(25));
            }
        });
        Self { acknowledged, stop, thread }
    }

    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("every push was acknowledged");
        self.acknowledged.lock().expect("the list").clone()
    }
}

/// Looks at every published status, and notes each that says `synced` and is not true.
fn watch_honesty(scene: &Scene, daemon: &Daemon, pushing: &Pushing, down: &Arc<AtomicBool>) -> Arc<Mutex<Vec<String>>> {
    let lies = Arc::new(Mutex::new(Vec::new()));
    let (world, tenant, mut statuses) = (Arc::clone(&scene.world), scene.tenant.clone(), daemon.status());
    let (acknowledged, down, noted) = (Arc::clone(&pushing.acknowledged), Arc::clone(down), Arc::clone(&lies));
    tokio::spawn(async move {
        while statuses.changed().await.is_ok() {
            let was_down = down.load(Ordering::SeqCst);
            let safe = acknowledged.lock().expect("the list").clone();
            let status = statuses.borrow_and_update().clone();
            if status.status != StatusWord::Synced {
                continue;
            }
            if was_down && down.load(Ordering::SeqCst) {
                noted.lock().expect("the list").push("synced while the server was down".to_owned());
            }
            if let Some(id) = safe.iter().find(|id| !has_user(&world, &tenant, id)) {
                noted.lock().expect("the list").push(format!("synced while {id} was not on the server: {:?}", status.outbox));
            }
        }
    });
    lies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_twenty_times_gets_every_change_once_and_the_status_never_lies() {
    let mut scene = Scene::with(|config| {
        config.tuning.backoff_max = Duration::from_millis(400);
        config.tuning.pull_gap = Duration::from_millis(100);
    });
    let cap = scene.config.tuning.backoff_max;
    let daemon = scene.start().await;
    synced(&daemon).await;
    let pushing = Pushing::start(&daemon);
    let down = Arc::new(AtomicBool::new(false));
    let lies = watch_honesty(&scene, &daemon, &pushing, &down);

    for round in 0..20 {
        let gone = scene.kill_server();
        status_where(&daemon, "offline", |status| status.status == StatusWord::Offline).await;
        down.store(true, Ordering::SeqCst);
        let before = pushing.acknowledged.lock().expect("the list").len();
        wait_for("changes are taken while the server is down", || {
            pushing.acknowledged.lock().expect("the list").len() > before + 1
        })
        .await;
        down.store(false, Ordering::SeqCst);
        scene.revive(gone);
        let (revived, revived_at) = (Instant::now(), wall());
        let mut retry_at = revived_at;
        status_where(&daemon, "authenticated again", |status| {
            retry_at = retry_at.max(status.retry_at.unwrap_or(retry_at));
            status.server.link == LinkWord::Online && status.server.transport == Some(Transport::Websocket)
        })
        .await;
        let late = wall().millis_since(retry_at);
        assert!(late <= 1_000, "round {round}: {late} ms after the retry that was announced");
        let took = revived.elapsed();
        assert!(took <= cap + Duration::from_secs(1), "round {round}: authenticated only after {took:?}");
    }

    let ids = pushing.stop();
    converged(&scene, &daemon).await;
    assert!(ids.len() >= 40, "{}", ids.len());
    for id in &ids {
        assert_eq!(scene.world.writes(&scene.tenant, "end_user", id).inserted, 1, "{id}");
    }
    assert_eq!(scene.world.rows(&scene.tenant, "end_user").len(), ids.len());
    assert_eq!(scene.world.peak_parallel_requests(&scene.tenant), 1);
    assert_eq!(*lies.lock().expect("the list"), Vec::<String>::new());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_was_told_of_its_push_finds_a_status_that_knows_of_it() {
    let scene = Scene::new();
    let daemon = scene.start().await;
    synced(&daemon).await;
    for count in 0..200 {
        if count % 10 == 0 {
            synced(&daemon).await;
        }
        let path = daemon.socket().to_owned();
        let statuses = daemon.status();
        let entity = json!({ "email": format!("{count}@example.com") });
        let told = tokio::task::spawn_blocking(move || {
            let mut client = Client::connect(&path).expect("the daemon can be reached");
            let entry = client.call(&change("end_user", vec![entity], PushWait::Queued)).expect("queued").entries.remove(0);
            let word = statuses.borrow().status;
            (entry, word)
        });
        let (entry, word) = told.await.expect("pushed");
        assert!(word != StatusWord::Synced || has_user(&scene.world, &scene.tenant, &entry.id), "{word} after push {count}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_websockets_are_refused_it_works_over_http_and_goes_back_once_they_are_not() {
    let scene = Scene::hurried();
    let refused = scene.world.faults().set(Fault::RefuseUpgrade { status: 403 });
    let daemon = scene.start().await;
    let status = synced(&daemon).await;
    assert_eq!(status.server.transport, Some(Transport::Http));
    assert_eq!(status.last_error.as_ref().map(|error| error.code.as_str()), Some("no_websocket"));

    let entry = push(&daemon, "end_user", json!({"email": "over@http.example"}), PushWait::Confirmed).await;
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &entry.id).inserted, 1);
    insert_and_see(&scene, &daemon, "elsewhere@http.example").await;

    assert!(scene.world.faults().remove(refused));
    let status = status_where(&daemon, "the websocket again", |status| {
        status.server.transport == Some(Transport::Websocket) && status.status == StatusWord::Synced
    })
    .await;
    assert_eq!(status.last_error, None);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_a_websocket_do_not_make_a_status_flap_that_http_keeps_true() {
    let mut scene = Scene::hurried();
    // Far longer than the test: what changes the word must be the attempts.
    scene.config.tuning.http_interval = Duration::from_secs(60);
    scene.world.faults().set(Fault::RefuseUpgrade { status: 403 });
    let daemon = scene.start().await;
    synced(&daemon).await;
    let pulls = || scene.world.requests().iter().filter(|request| request.route == Route::Pull).count();
    let (since, before) = (daemon.status().borrow().since, pulls());
    let words = Arc::new(Mutex::new(Vec::new()));
    let (mut statuses, noted) = (daemon.status(), Arc::clone(&words));
    let watch = tokio::spawn(async move {
        while statuses.changed().await.is_ok() {
            let mut words = noted.lock().expect("the words");
            words.push(statuses.borrow_and_update().server.link);
        }
    });
    // Attempts come every 300 ms at most; a window of several of them is what this is about.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    watch.abort();
    let status = daemon.status().borrow().clone();
    assert_eq!((status.status, status.since), (StatusWord::Synced, since));
    assert_eq!(pulls(), before);
    assert!(words.lock().expect("the words").iter().all(|word| *word == LinkWord::Online));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_membership_is_healed_by_the_poll_floor() {
    let mut scene = Scene::hurried();
    scene.config.sync.interval = Duration::from_millis(500);
    scene.world.faults().set(Fault::DeafMembership);
    let daemon = scene.start().await;
    synced(&daemon).await;
    assert!(scene.world.sockets().iter().all(|seat| seat.deaf));
    insert_and_see(&scene, &daemon, "unheard@example.com").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_called_offline_and_caught_up_with_when_it_goes_on() {
    let mut scene = Scene::hurried();
    scene.config.tuning.ping_interval = Duration::from_millis(300);
    scene.config.tuning.silence = Duration::from_secs(1);
    let daemon = scene.start().await;
    synced(&daemon).await;
    scene.world.hang();
    let entry = push(&daemon, "end_user", json!({"email": "patient@example.com"}), PushWait::Queued).await;
    status_where(&daemon, "offline", |status| status.status == StatusWord::Offline).await;
    scene.world.resume();
    converged(&scene, &daemon).await;
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &entry.id).inserted, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_the_server_ends_a_socket_the_next_one_is_authenticated_and_hears() {
    for how in [SocketEnd::Disconnect, SocketEnd::CloseFrame, SocketEnd::Cut, SocketEnd::Malformed, SocketEnd::Stall] {
        let mut scene = Scene::hurried();
        scene.config.tuning.ping_interval = Duration::from_millis(300);
        scene.config.tuning.silence = Duration::from_secs(1);
        let daemon = scene.start().await;
        synced(&daemon).await;
        for round in 1..=3 {
            // The server does not notice a stalled socket for a while, and still counts it.
            assert!(scene.world.end_sockets(how, Some(&scene.tenant)) >= 1, "{how:?}");
            status_where(&daemon, &format!("connected again after {how:?}, round {round}"), |status| {
                status.server.reconnects >= round && status.status == StatusWord::Synced
            })
            .await;
            // The poll floor is five minutes away: only a notification can tell of it.
            insert_and_see(&scene, &daemon, &format!("{how:?}.{round}@example.com").to_lowercase()).await;
        }
        let seats = scene.world.sockets();
        assert!(seats.iter().any(|seat| seat.tenant.as_deref() == Some(&scene.tenant)), "{how:?}: {seats:?}");
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_while_the_connection_was_down_is_caught_up_with_before_it_says_synced() {
    let mut scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let gone = scene.kill_server();
    status_where(&daemon, "offline", |status| status.status == StatusWord::Offline).await;
    let row = scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "meanwhile@example.com"})).expect("inserted");
    scene.revive(gone);
    synced(&daemon).await;
    assert!(records(&daemon, "end_user").await.contains_key(row["id"].as_str().expect("an id")));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_word_is_announced_to_other_devices_and_theirs_reaches_subscribers() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    wait_for("synced is announced to the tenant's room", || {
        let relayed = scene.world.relayed();
        relayed.iter().any(|relay| relay.tenant.as_deref() == Some(&scene.tenant) && relay.update == json!({"status": "synced"}))
    })
    .await;

    let mut events = subscribe(&daemon, &[Channel::Notification]).await;
    let update = json!({"status": "syncing", "entityType": "interactions"});
    scene.world.broadcast(&scene.tenant, "sync_status_update", &update);
    let heard = events
        .find("the other device's status", |event| match event {
            Event::Notification { notification } if notification.kind == "sync_status_update" => Some(notification),
            _ => None,
        })
        .await;
    assert_eq!((heard.message.as_str(), heard.entity_type.as_str()), ("syncing", "interactions"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_announced_when_the_configuration_says_so() {
    let mut scene = Scene::hurried();
    scene.config.sync.announce_status = false;
    let daemon = scene.start().await;
    push(&daemon, "end_user", json!({"email": "quiet@example.com"}), PushWait::Confirmed).await;
    synced(&daemon).await;
    assert_eq!(scene.world.relayed().len(), 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_show_in_the_status_and_wake_nobody_who_waits_for_a_change() {
    let mut scene = Scene::hurried();
    scene.config.tuning.ping_interval = Duration::from_millis(50);
    let daemon = scene.start().await;
    status_where(&daemon, "a round trip", |status| status.server.rtt_ms.is_some() && status.status == StatusWord::Synced).await;
    let mut changes = daemon.status();
    let _ = changes.borrow_and_update();
    let (statuses, mut pongs) = (daemon.status(), BTreeSet::new());
    wait_for("five heartbeats", || {
        pongs.extend(statuses.borrow().server.last_pong_at);
        pongs.len() >= 5
    })
    .await;
    assert!(!changes.has_changed().expect("it runs"), "{:#?}", changes.borrow());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_notifications_makes_few_pulls() {
    let scene = Scene::new();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let last = scene.world.requests().last().map_or(0, |request| request.seq);
    let start = Instant::now();
    for _ in 0..20 {
        scene.world.storm(&scene.tenant, "end_user", 500);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    insert_and_see(&scene, &daemon, "after@storm.example").await;
    synced(&daemon).await;
    let pulls = scene.world.requests_since(last).iter().filter(|request| request.route == Route::Pull).count();
    // One a second at most, the first one at once.
    let most = usize::try_from(start.elapsed().as_secs()).expect("a short test") + 2;
    assert!((1..=most).contains(&pulls), "{pulls} pulls in {:?}", start.elapsed());
    assert_eq!(scene.world.requests_since(last).iter().filter(|request| request.route == Route::Push).count(), 0);
    daemon.stop().await;
}
