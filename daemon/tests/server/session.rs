//! The socket connection: what it reports, and how each end is told.

use std::time::Duration;

use adminengine_dev::{DevServer, Fault, Notification, Options, SocketEnd, World};
use aesyncd::engine::input::{SessionEndKind, SessionEvent};
use aesyncd::server::{ServerUrl, SessionOptions};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::proxy::black_hole_after;
use crate::support::socket::{hasty, open, open_with_room, options};
use crate::support::{FakeServer, PATIENCE, Step, TOKEN, answer};

fn address(url: &str) -> ServerUrl {
    ServerUrl::parse(url).expect("an address")
}

fn start() -> (std::sync::Arc<World>, DevServer, ServerUrl) {
    let world = World::new();
    let server = DevServer::start(Options::new(world.clone())).expect("a server");
    let url = address(&server.url());
    (world, server, url)
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(what);
}

#[tokio::test]
async fn a_session_joins_authenticates_and_measures_the_way() {
    let (world, _server, url) = start();
    let mut running = open(options(url)).up().await;
    let SessionEvent::Pong { rtt } = running.next().await else { panic!("a pong") };
    assert!(rtt > Duration::ZERO && rtt < Duration::from_secs(5), "{rtt:?}");
    let seats = world.sockets();
    assert_eq!(seats.iter().map(|seat| seat.tenant.as_deref()).collect::<Vec<_>>(), [Some("acme")]);
}

#[tokio::test]
async fn hints_come_in_order_and_other_shapes_are_named() {
    let (world, _server, url) = start();
    let mut running = open(options(url)).quiet().await;
    world.notify("acme", &Notification::inserted("end_user", "7f"));
    world.broadcast("acme", "sync_notification", &json!("nonsense"));
    world.broadcast("acme", "sync_status_update", &json!(null));
    world.broadcast("acme", "news", &json!([1]));
    world.broadcast("acme", "sync_status_update", &json!({"status": "syncing"}));
    world.notify("acme", &Notification::batch(2, &["end_user".into(), "interactions".into()]));

    let SessionEvent::Notification(hint) = running.next().await else { panic!("a hint") };
    assert_eq!(
        (hint.kind.as_str(), hint.entity_type.as_str(), hint.entity_id.as_deref()),
        ("data_available", "end_user", Some("7f"))
    );
    assert!(hint.timestamp.is_some());
    for event in ["sync_notification", "sync_status_update", "news"] {
        assert_eq!(running.next().await, SessionEvent::Unknown { event: event.into() });
    }
    assert_eq!(running.next().await, SessionEvent::PeerStatus { status: "syncing".into(), entity_type: None });
    let SessionEvent::Notification(hint) = running.next().await else { panic!("a hint") };
    assert_eq!((hint.entity_type.as_str(), hint.batch_types), ("batch", vec!["end_user".to_owned(), "interactions".to_owned()]));
}

#[tokio::test]
async fn an_announced_status_is_relayed_also_when_it_was_announced_too_early() {
    let (world, _server, url) = start();
    let running = open(options(url));
    running.session.announce("offline");
    running.session.announce("syncing");
    let running = running.quiet().await;
    eventually("the early status", || world.relayed().len() == 1).await;
    running.session.announce("synced");
    eventually("the later status", || world.relayed().len() == 2).await;
    let updates: Vec<_> = world.relayed().into_iter().map(|relayed| relayed.update).collect();
    assert_eq!(json!(updates), json!([{"status": "syncing"}, {"status": "synced"}]));
}

#[tokio::test]
async fn a_storm_that_nobody_takes_is_dropped_and_said() {
    let (world, _server, url) = start();
    // Connected, Authenticated and Pong are taken; then there is room for four.
    let mut running = open_with_room(options(url), 4).quiet().await;
    let (mut sent, mut seen) = (0, Vec::new());
    while !seen.contains(&SessionEvent::Overflow) {
        world.storm("acme", "end_user", 50);
        sent += 50;
        eventually("a full queue", || running.events.len() == 4).await;
        while let Ok((_, event)) = running.events.try_recv() {
            seen.push(event);
        }
        assert!(sent < 10_000, "nothing was dropped, or it was not said");
    }
    let hints = seen.iter().filter(|event| matches!(event, SessionEvent::Notification(_))).count();
    assert!((4..sent).contains(&hints), "{hints} hints of {sent}");

    // What is left of the storm may still push some of these out.
    loop {
        world.notify("acme", &Notification::inserted("interactions", "1"));
        if let SessionEvent::Notification(hint) = running.next().await
            && hint.entity_type == "interactions"
        {
            break;
        }
    }
}

#[tokio::test]
async fn where_no_connection_comes_about_the_server_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let refused = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let silent = FakeServer::answering(vec![Step::Hang]).await;
    for (url, part) in
        [(address(&refused), "refused"), (address("http://no-such-host.invalid"), ""), (silent.url(), "within 2 s")]
    {
        let end = open(hasty(url)).end().await;
        assert_eq!(end.kind, SessionEndKind::Unreachable, "{}", end.detail);
        assert!(end.detail.starts_with("connecting failed: ") && end.detail.contains("check the network"), "{}", end.detail);
        assert!(end.detail.to_lowercase().contains(part), "{}", end.detail);
    }
}

#[tokio::test]
async fn what_speaks_but_no_websocket_is_told_from_silence() {
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n";
    for steps in [
        answer("200 OK", "Content-Type: text/html\r\n", "<html>"),
        answer("400 Bad Request", "", "{}"),
        answer("404 Not Found", "", ""),
        answer("502 Bad Gateway", "", "bad"),
        answer("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
        vec![Step::Write(switching.as_bytes().to_vec()), Step::Close],
        vec![Step::Write(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Step::Close],
    ] {
        let server = FakeServer::answering(steps.clone()).await;
        let end = open(hasty(server.url())).end().await;
        assert_eq!(end.kind, SessionEndKind::NoWebsocket, "{steps:?}: {}", end.detail);
    }
    let (world, _server, url) = start();
    world.faults().set(Fault::RefuseUpgrade { status: 403 });
    assert_eq!(open(hasty(url)).end().await.kind, SessionEndKind::NoWebsocket);
}

#[tokio::test]
async fn refused_credentials_are_told_with_the_servers_reason_and_without_the_token() {
    let (world, _server, url) = start();
    world.faults().set(Fault::RefuseAuthenticate);
    let end = open(hasty(url)).end().await;
    assert_eq!(end.kind, SessionEndKind::Refused, "{}", end.detail);
    assert!(end.detail.contains("Invalid token"), "{}", end.detail);

    let (world, _server, url) = start();
    let running = open(options(url)).quiet().await;
    world.broadcast("acme", "authentication_error", &json!({"message": format!("{TOKEN} is no good")}));
    let end = running.end().await;
    assert_eq!(end.kind, SessionEndKind::Refused);
    assert!(end.detail.contains("[hidden]") && !end.detail.contains(TOKEN), "{}", end.detail);
}

#[tokio::test]
async fn an_unanswered_authenticate_ends_the_session() {
    let (world, _server, url) = start();
    world.faults().set(Fault::IgnoreAuthenticate);
    let end = open(hasty(url)).end().await;
    assert_eq!(end.kind, SessionEndKind::Lost);
    assert!(end.detail.contains("did not answer authenticate within 1 s"), "{}", end.detail);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_at_every_step() {
    let (_world, server, _) = start();
    for (last_words, part) in [
        ("HTTP/1.1", "no connection came about"),
        // The handshake of the websocket, then the packet that opens engine.io, `authenticated` and `pong`.
        ("\r\n\r\n", "no connection came about"),
        ("}", "did not open the namespace"),
        ("{\"success\":true}]", "nothing was heard within 1 s"),
        ("Z\"}]", "nothing was heard within 1 s"),
    ] {
        let url = black_hole_after(server.addr(), last_words).await;
        let end = open(hasty(url)).end().await;
        assert!(end.detail.contains(part), "{last_words}: {}", end.detail);
        let kind = if part.starts_with("no connection") { SessionEndKind::Unreachable } else { SessionEndKind::Lost };
        assert_eq!(end.kind, kind, "{last_words}");
    }
}

#[tokio::test]
async fn every_way_in_which_the_server_ends_it_is_noticed_soon() {
    // A stalled connection is noticed by its silence alone; the others must not need that.
    for (how, open_with) in [
        (SocketEnd::Disconnect, options as fn(ServerUrl) -> SessionOptions),
        (SocketEnd::CloseFrame, options),
        (SocketEnd::Cut, options),
        (SocketEnd::Stall, hasty),
    ] {
        let (world, _server, url) = start();
        let running = open(open_with(url)).quiet().await;
        assert_eq!(world.end_sockets(how, None), 1);
        let end = timeout(Duration::from_secs(5), running.end()).await.expect("soon");
        assert_eq!(end.kind, SessionEndKind::Lost, "{how:?}: {}", end.detail);
    }
    let (_world, server, url) = start();
    let running = open(options(url)).quiet().await;
    server.stop();
    let end = timeout(Duration::from_secs(5), running.end()).await.expect("soon");
    assert_eq!(end.kind, SessionEndKind::Lost, "{}", end.detail);
}

#[tokio::test]
async fn pings_keep_a_quiet_session_alive_and_each_is_measured() {
    let (_world, _server, url) = start();
    let mut running = open(hasty(url)).up().await;
    // Ten pings are twice as long as its patience.
    for _ in 0..10 {
        assert!(matches!(running.next().await, SessionEvent::Pong { .. }));
    }
}

#[tokio::test]
async fn a_dropped_session_is_gone_from_the_server_and_reports_nothing_more() {
    let (world, _server, url) = start();
    let running = open(options(url)).quiet().await;
    assert_eq!(world.sockets().len(), 1);
    let mut events = running.events;
    drop(running.session);
    assert_eq!(timeout(PATIENCE, events.recv()).await.expect("the end in time"), None);
    eventually("the socket to be gone", || world.sockets().is_empty()).await;
}

#[tokio::test]
async fn a_session_whose_events_nobody_takes_any_more_ends() {
    let (world, _server, url) = start();
    let running = open(options(url)).quiet().await;
    drop(running.events);
    world.notify("acme", &Notification::inserted("end_user", "1"));
    eventually("the socket to be gone", || world.sockets().is_empty()).await;
    drop(running.session);
}

#[tokio::test]
async fn an_unusable_ca_file_is_named() {
    let url = address("https://127.0.0.1:1");
    let end = open(SessionOptions { ca_file: Some("/nowhere/ca.pem".into()), ..options(url) }).end().await;
    assert_eq!(end.kind, SessionEndKind::Untrusted);
    assert!(end.detail.contains("/nowhere/ca.pem"), "{}", end.detail);
}
