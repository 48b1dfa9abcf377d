//! What the tests of the server share; here a raw HTTP server that answers by a script, to the byte.

#![allow(dead_code, reason = "shared by test binaries that each use a part of it")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

#[path = "../../support/logs.rs"]
pub(crate) mod logs;
pub(crate) mod proxy;
pub(crate) mod socket;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aesyncd::engine::input::{Failure, RequestId, RestEvent};
use aesyncd::server::{RequestHandle, Rest, RestOptions, ServerUrl};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything in a test takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One step of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write(Vec<u8>),
    /// Nothing, for ever.
    Hang,
    /// The end of the connection, with FIN.
    Close,
    /// The end of the connection, with RST.
    Reset,
}

/// An answer with a length, over a connection that stays.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    vec![Step::Write([head.as_bytes(), body.as_bytes()].concat())]
}

pub(crate) const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

pub(crate) fn ok(body: &str) -> Vec<Step> {
    answer("200 OK", JSON, body)
}

/// A body without a length, whole only when it is closed with its last chunk.
pub(crate) fn chunked(chunks: &[&str], then: Step) -> Vec<Step> {
    let mut steps = vec![Step::Write(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{JSON}\r\n").into_bytes())];
    steps.extend(chunks.iter().map(|chunk| Step::Write(format!("{:x}\r\n{chunk}\r\n", chunk.len()).into_bytes())));
    steps.push(then);
    steps
}

pub(crate) fn last_chunk() -> Step {
    Step::Write(b"0\r\n\r\n".to_vec())
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which connection it came over, from 1.
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).expect("a path")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

pub(crate) struct FakeServer {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeServer {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        logs::gather();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&seen));
        let connections = AtomicUsize::new(0);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = connections.fetch_add(1, Ordering::Relaxed) + 1;
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                tokio::spawn(async move { serve(stream, connection, &*script, &log).await });
            }
        });
        Self { port, seen, task }
    }

    /// The same answer to everything.
    pub(crate) async fn answering(steps: Vec<Step>) -> Self {
        Self::start(move |_| steps.clone()).await
    }

    pub(crate) fn url(&self) -> ServerUrl {
        ServerUrl::parse(&format!("http://127.0.0.1:{}", self.port)).expect("an address")
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    pub(crate) fn rest(&self) -> Rest {
        Rest::new(RestOptions::new(self.url())).expect("a client")
    }

    pub(crate) fn rest_with(&self, change: impl FnOnce(&mut RestOptions)) -> Rest {
        let mut options = RestOptions::new(self.url());
        change(&mut options);
        Rest::new(options).expect("a client")
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    script: &(dyn Fn(&Seen) -> Vec<Step> + Send + Sync),
    log: &Mutex<Vec<Seen>>,
) {
    while let Some(seen) = receive(&mut stream, connection).await {
        let steps = script(&seen);
        log.lock().expect("not poisoned").push(seen);
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Hang => std::future::pending().await,
                Step::Close => return,
                Step::Reset => {
                    let _ = stream.set_zero_linger();
                    return;
                }
            }
        }
    }
}

async fn receive(stream: &mut TcpStream, connection: usize) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut seen = Seen { connection, head, body: String::new() };
    let length = seen.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8_lossy(&bytes[end..end + length]).into_owned();
    Some(seen)
}

/// A request on its way, with its reports.
pub(crate) struct Running {
    pub(crate) handle: RequestHandle,
    pub(crate) events: mpsc::Receiver<(RequestId, RestEvent)>,
}

pub(crate) const TOKEN: &str = "top.secret.token";

pub(crate) fn send(rest: &Rest, request: aesyncd::engine::effect::Request) -> Running {
    let (sender, events) = mpsc::channel(16);
    let handle = rest.send(RequestId(7), request, SecretString::from(TOKEN), sender);
    Running { handle, events }
}

impl Running {
    pub(crate) async fn next(&mut self) -> RestEvent {
        let (id, event) = timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("an event");
        assert_eq!(id, RequestId(7));
        event
    }

    /// Everything up to the end, each page committed at once.
    pub(crate) async fn all(mut self) -> Vec<RestEvent> {
        let mut all = Vec::new();
        loop {
            let event = self.next().await;
            let is_page = matches!(event, RestEvent::Rows { .. });
            all.push(event);
            if !is_page {
                let after = timeout(PATIENCE, self.events.recv()).await.expect("the end in time");
                assert_eq!(after, None, "nothing comes after the end");
                return all;
            }
            self.handle.next_page();
        }
    }

    pub(crate) async fn failure(self) -> Failure {
        match self.all().await.pop() {
            Some(RestEvent::Failed(failure)) => failure,
            other => panic!("a failure was expected, not {other:?}"),
        }
    }
}
