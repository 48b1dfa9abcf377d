//! A session with its events.

use std::time::Duration;

use aesyncd::engine::input::{SessionEnd, SessionEvent, SessionId};
use aesyncd::server::{ServerUrl, Session, SessionOptions, SessionTimings};
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{PATIENCE, TOKEN};

const ID: SessionId = SessionId(3);

pub(crate) fn options(server: ServerUrl) -> SessionOptions {
    SessionOptions {
        id: ID,
        server,
        token: SecretString::from(TOKEN),
        tenant: "acme".into(),
        ca_file: None,
        timings: SessionTimings::default(),
    }
}

/// As [`options`], with little patience.
pub(crate) fn hasty(server: ServerUrl) -> SessionOptions {
    let timings = SessionTimings {
        connect: Duration::from_millis(1_500),
        step: Duration::from_millis(500),
        ping_every: Duration::from_millis(100),
        dead_after: Duration::from_millis(500),
    };
    SessionOptions { timings, ..options(server) }
}

pub(crate) struct Running {
    pub(crate) session: Session,
    pub(crate) events: mpsc::Receiver<(SessionId, SessionEvent)>,
}

pub(crate) fn open(options: SessionOptions) -> Running {
    open_with_room(options, 64)
}

pub(crate) fn open_with_room(options: SessionOptions, room: usize) -> Running {
    super::logs::gather();
    let (sender, events) = mpsc::channel(room);
    Running { session: Session::open(options, sender), events }
}

impl Running {
    pub(crate) async fn next(&mut self) -> SessionEvent {
        let (id, event) = timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("an event");
        assert_eq!(id, ID);
        event
    }

    pub(crate) async fn up(mut self) -> Self {
        assert_eq!(self.next().await, SessionEvent::Connected);
        assert_eq!(self.next().await, SessionEvent::Authenticated);
        self
    }

    /// Up, with the pong of the first ping behind it: nothing more comes by itself for a while.
    pub(crate) async fn quiet(self) -> Self {
        let mut running = self.up().await;
        assert!(matches!(running.next().await, SessionEvent::Pong { .. }));
        running
    }

    pub(crate) async fn end(mut self) -> SessionEnd {
        loop {
            if let SessionEvent::Ended(end) = self.next().await {
                assert_eq!(timeout(PATIENCE, self.events.recv()).await.expect("the end in time"), None);
                return end;
            }
        }
    }
}
