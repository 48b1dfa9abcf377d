//! The socket connection: what it reports, how each end is told, and that nothing of it stays behind.

mod server_support;

use std::time::Duration;

use aesyncd::engine::input::{SessionEnd, SessionEndKind, SessionEvent, SessionId};
use aesyncd::server::{ServerUrl, Session, SessionOptions, SessionTimings};
use secrecy::SecretString;
use serde_json::{Value, json};
use server_support::{FakeServer, PATIENCE, Step, TOKEN, answer};
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef, TryData};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const ID: SessionId = SessionId(3);

/// What the server saw: event and argument, or `connect` with its payload.
type Seen = mpsc::UnboundedReceiver<(String, Value)>;

/// A socket.io server. `on_authenticate` answers `authenticate`.
async fn socket_server(on_authenticate: impl Fn(&SocketRef) + Clone + Send + Sync + 'static) -> (ServerUrl, Seen) {
    // Unbounded: it is read by a test and filled by a few events.
    let (seen, log) = mpsc::unbounded_channel();
    let (layer, io) = SocketIo::builder().req_path("/socket.io").build_layer();
    io.ns("/", move |socket: SocketRef, TryData(auth): TryData<Value>| {
        let on_authenticate = on_authenticate.clone();
        let _ = seen.send(("connect".to_owned(), auth.unwrap_or_default()));
        for event in ["authenticate", "sync_status_update"] {
            let (seen, on_authenticate) = (seen.clone(), on_authenticate.clone());
            socket.on(event, move |socket: SocketRef, Data(data): Data<Value>| {
                let (seen, on_authenticate) = (seen.clone(), on_authenticate.clone());
                async move {
                    let _ = seen.send((event.to_owned(), data));
                    if event == "authenticate" {
                        on_authenticate(&socket);
                    }
                }
            });
        }
        socket.on("ping", move |socket: SocketRef| async move {
            let _ = socket.emit("pong", &json!({"timestamp": "2026-01-01T00:00:00.000Z"}));
        });
        async {}
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = ServerUrl::parse(&format!("http://{}", listener.local_addr().expect("an address"))).expect("an address");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().layer(layer)).await });
    (url, log)
}

fn accept(socket: &SocketRef) {
    let _ = socket.emit("authenticated", &json!({"success": true}));
}

fn options(server: ServerUrl) -> SessionOptions {
    SessionOptions {
        id: ID,
        server,
        token: SecretString::from(TOKEN),
        tenant: "acme".into(),
        ca_file: None,
        timings: SessionTimings::default(),
    }
}

struct Running {
    session: Session,
    events: mpsc::Receiver<(SessionId, SessionEvent)>,
}

fn open(options: SessionOptions) -> Running {
    let (sender, events) = mpsc::channel(64);
    Running { session: Session::open(options, sender), events }
}

impl Running {
    async fn next(&mut self) -> SessionEvent {
        let (id, event) = timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("an event");
        assert_eq!(id, ID);
        event
    }

    async fn up(mut self) -> Self {
        assert_eq!(self.next().await, SessionEvent::Connected);
        assert_eq!(self.next().await, SessionEvent::Authenticated);
        self
    }

    async fn end(mut self) -> SessionEnd {
        loop {
            if let SessionEvent::Ended(end) = self.next().await {
                assert_eq!(timeout(PATIENCE, self.events.recv()).await.expect("the end in time"), None);
                return end;
            }
        }
    }
}

#[tokio::test]
async fn a_session_joins_authenticates_and_measures_the_way() {
    let (url, mut seen) = socket_server(accept).await;
    let mut running = open(options(url)).up().await;
    let SessionEvent::Pong { rtt } = running.next().await else { panic!("a pong") };
    assert!(rtt < Duration::from_secs(5), "{rtt:?}");

    assert_eq!(seen.recv().await, Some(("connect".into(), json!({"token": TOKEN}))));
    assert_eq!(seen.recv().await, Some(("authenticate".into(), json!({"token": TOKEN, "tenantId": "acme"}))));
    running.session.announce("synced");
    assert_eq!(seen.recv().await, Some(("sync_status_update".into(), json!({"status": "synced"}))));
}
