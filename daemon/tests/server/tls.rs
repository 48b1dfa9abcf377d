//! Whom the daemon trusts, over HTTP and over the websocket alike.

use std::path::PathBuf;

use adminengine_dev::{DevServer, Options, World};
use aesyncd::engine::effect::Request;
use aesyncd::engine::input::{FailureKind, RestEvent, SessionEndKind};
use aesyncd::server::{Rest, RestOptions, ServerUrl, SessionOptions};

use crate::support::socket::{open, options};
use crate::support::{FakeServer, ok, proxy, send};

const PUSHED: &str = r#"{"success":true,"data":[]}"#;

fn push() -> Request {
    Request::Push { changes: vec![] }
}

fn rest(url: &ServerUrl, ca_file: Option<PathBuf>) -> Rest {
    Rest::new(RestOptions { ca_file, ..RestOptions::new(url.clone()) }).expect("a client")
}

#[tokio::test]
async fn http_trusts_the_configured_authority_and_nobody_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ca, other) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    let server = FakeServer::answering(ok(PUSHED)).await;
    let target = format!("127.0.0.1:{}", server.port).parse().expect("an address");
    let url = proxy::tls(target, "localhost", &ca).await;
    let elsewhere = proxy::tls(target, "elsewhere.example", &other).await;

    assert_eq!(send(&rest(&url, Some(ca.clone())), push()).all().await, [RestEvent::Pushed { rows: vec![] }]);
    for (url, ca_file) in [(&url, None), (&url, Some(other.clone())), (&elsewhere, Some(other))] {
        let failure = send(&rest(url, ca_file), push()).failure().await;
        assert_eq!(failure.kind, FailureKind::Untrusted, "{}", failure.detail);
        assert!(failure.detail.contains("server.ca_file"), "{}", failure.detail);
    }
    assert_eq!(server.seen().len(), 1, "nothing is sent to somebody who is not trusted");
}

#[tokio::test]
async fn the_websocket_trusts_the_configured_authority_and_nobody_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ca, other) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    let server = DevServer::start(Options::new(World::new())).expect("a server");
    let url = proxy::tls(server.addr(), "localhost", &ca).await;
    let elsewhere = proxy::tls(server.addr(), "elsewhere.example", &other).await;

    let trusted = SessionOptions { ca_file: Some(ca), ..options(url.clone()) };
    drop(open(trusted).quiet().await);
    for (url, ca_file) in [(&url, None), (&url, Some(other.clone())), (&elsewhere, Some(other))] {
        let end = open(SessionOptions { ca_file, ..options(url.clone()) }).end().await;
        assert_eq!(end.kind, SessionEndKind::Untrusted, "{}", end.detail);
        assert!(end.detail.contains("server.ca_file"), "{}", end.detail);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_unreachable_over_https_and_not_untrusted() {
    let server = FakeServer::answering(ok(PUSHED)).await;
    let url = ServerUrl::parse(&format!("https://127.0.0.1:{}", server.port)).expect("an address");
    // The fake server waits for the end of the headers, which a TLS hello does not have: a real one answers 400.
    drop(server);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let plain = ServerUrl::parse(&format!("https://{}", listener.local_addr().expect("an address"))).expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for url in [url, plain] {
        let failure = send(&rest(&url, None), push()).failure().await;
        assert_eq!(failure.kind, FailureKind::Unreachable, "{}", failure.detail);
        let end = open(options(url)).end().await;
        assert_eq!(end.kind, SessionEndKind::Unreachable, "{}", end.detail);
    }
}
