//! What a probe tells of the way to the server: its health, the clocks, and whether a websocket passes.

use std::path::PathBuf;
use std::time::Duration;

use adminengine_dev::{DevServer, Fault, Options, Route, Rule, World};
use aesync_protocol::Timestamp;
use aesyncd::server::{Asked, Health, Probed, RestOptions, ServerUrl, Upgraded, probe};

use crate::support::{PATIENCE, proxy};

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

async fn probed(url: &ServerUrl, ca_file: Option<PathBuf>, patience: Duration) -> Probed {
    probe(&RestOptions { ca_file, ..RestOptions::new(url.clone()) }, patience, now).await.expect("a client")
}

fn health(probed: &Probed) -> &Health {
    match &probed.health {
        Asked::Answered(health) => health,
        Asked::Failed(why) => panic!("{why}"),
    }
}

fn failures(probed: &Probed) -> Vec<&str> {
    let health = match &probed.health {
        Asked::Answered(_) => None,
        Asked::Failed(why) => Some(why.as_str()),
    };
    let websocket = match &probed.websocket {
        Asked::Answered(Upgraded {}) => None,
        Asked::Failed(why) => Some(why.as_str()),
    };
    health.into_iter().chain(websocket).collect()
}

fn url_of(server: &DevServer) -> ServerUrl {
    ServerUrl::parse(&server.url()).expect("valid")
}

#[tokio::test]
async fn a_server_in_order_is_told_with_its_clock_over_http_and_over_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    let ca = dir.path().join("ca.pem");
    let server = DevServer::start(Options::new(World::new())).expect("a server");
    let encrypted = proxy::tls(server.addr(), "localhost", &ca).await;
    for (url, ca_file) in [(url_of(&server), None), (encrypted, Some(ca))] {
        let probed = probed(&url, ca_file, PATIENCE).await;
        assert_eq!(failures(&probed), [""; 0], "{url}");
        let Health { ahead_ms, offers_websocket, .. } = health(&probed);
        assert!(ahead_ms.is_some_and(|ahead| ahead.abs() < 20_000), "{ahead_ms:?}");
        assert_eq!((probed.url.as_str(), *offers_websocket), (url.as_str(), Some(true)));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_the_reason_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = DevServer::start(Options::new(World::new())).expect("a server");
    let url = proxy::tls(server.addr(), "localhost", &dir.path().join("ca.pem")).await;
    let probed = probed(&url, None, PATIENCE).await;
    let failures = failures(&probed);
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures.iter().all(|why| why.starts_with("connecting failed: ") && why.contains("certificate")), "{failures:?}");
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    for (fault, health, websocket) in [
        (Fault::RefuseUpgrade { status: 403 }, None, "the upgrade was answered with 403"),
        (Fault::BadGateway, Some("GET /health was answered with 502"), "the upgrade was answered with 502"),
        (Fault::CaptivePortal, Some("is no AdminEngine"), "the upgrade was answered with 200"),
        (Fault::DropRequest, Some("the connection broke: "), "the connection broke: "),
    ] {
        let world = World::new();
        world.faults().set(fault.clone());
        let server = DevServer::start(Options::new(world)).expect("a server");
        let probed = probed(&url_of(&server), None, PATIENCE).await;
        let failures = failures(&probed);
        let expected: Vec<_> = health.into_iter().chain([websocket]).collect();
        assert!(
            failures.len() == expected.len() && failures.iter().zip(&expected).all(|(why, part)| why.contains(part)),
            "{fault:?}: {failures:?}"
        );
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_who_answers_are_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = ServerUrl::parse(&format!("http://{}", free.local_addr().expect("an address"))).expect("valid");
    drop(free);
    let refused = probed(&url, None, PATIENCE).await;
    assert!(failures(&refused).iter().all(|why| why.starts_with("connecting failed: ")), "{refused:?}");

    let world = World::new();
    world.faults().add(Rule::new(Fault::NeverAnswer).on(Route::Health));
    let server = DevServer::start(Options::new(world)).expect("a server");
    let silent = probed(&url_of(&server), None, Duration::from_secs(1)).await;
    assert_eq!(failures(&silent)[0], "nothing came within 1 s", "{silent:?}");
}
