//! One socket connection.
//!
//! rust_socketio carries data well and ends connections badly: clients leak their tasks and sockets, some ends come without an event, and its
//! reconnect never stops. So each attempt is one value with a runtime of its own (rule R31), whose shutdown is the one way to end it that
//! always works; the library's reconnect is used only as the sign that its reader ended.

mod connection;
mod end;
mod socket;

use std::path::PathBuf;
use std::time::Duration;
use std::{io, thread};

use secrecy::SecretString;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::ServerUrl;
use crate::engine::input::{SessionEnd, SessionEndKind, SessionEvent, SessionId};

/// What a connection is opened with.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Stands beside each of its events (rule R25).
    pub id: SessionId,
    /// The server.
    pub server: ServerUrl,
    /// Sent with the connection and with `authenticate`.
    pub token: SecretString,
    /// Sent with `authenticate`, in lower case: in another case the server accepts it and then sends nothing.
    pub tenant: String,
    /// A private authority to trust beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Times.
    pub timings: SessionTimings,
}

/// Deadlines (rule R36).
#[derive(Clone, Copy, Debug)]
pub struct SessionTimings {
    /// Name, TCP, TLS, websocket and engine.io handshake; default 15 s.
    pub connect: Duration,
    /// The namespace, then `authenticated`, each; default 10 s. Each emit too.
    pub step: Duration,
    /// From one ping of ours to the next; default 45 s, so that an idle machine is woken seldom.
    pub ping_every: Duration,
    /// Without any event of the server, pongs included, the connection is dead; default 60 s.
    pub dead_after: Duration,
}

impl Default for SessionTimings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            step: Duration::from_secs(10),
            ping_every: Duration::from_secs(45),
            dead_after: Duration::from_secs(60),
        }
    }
}

/// A connection, or the attempt at one. Dropping it ends everything at once: socket, threads and file descriptors; nothing more is reported.
#[derive(Debug)]
pub struct Session {
    task: AbortHandle,
    status: watch::Sender<Option<&'static str>>,
}

impl Session {
    /// Starts to connect, and reports to `events` until [`SessionEvent::Ended`]. Must be called within a tokio runtime.
    ///
    /// While `events` is full, notifications are dropped and [`SessionEvent::Overflow`] follows as soon as there is room.
    #[must_use = "the connection ends when its value is dropped"]
    pub fn open(options: SessionOptions, events: mpsc::Sender<(SessionId, SessionEvent)>) -> Self {
        let (status, statuses) = watch::channel(None);
        let id = options.id;
        let task = tokio::spawn(async move {
            let end = attempt(options, statuses, events.clone()).await;
            // Waits as long as the receiver lives and the session is held: this one must not get lost.
            let _ = events.send((id, SessionEvent::Ended(end))).await;
        });
        Self { task: task.abort_handle(), status }
    }

    /// Emits `sync_status_update` with `status` once authenticated. Never blocks; of several that wait the last one counts.
    pub fn announce(&self, status: &'static str) {
        self.status.send_replace(Some(status));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn attempt(
    options: SessionOptions,
    statuses: watch::Receiver<Option<&'static str>>,
    events: mpsc::Sender<(SessionId, SessionEvent)>,
) -> SessionEnd {
    let (told, end) = oneshot::channel();
    // Dropped with this future, which is how the thread learns that nobody wants its connection any more.
    let (_wanted, unwanted) = oneshot::channel::<()>();
    let thread = thread::Builder::new().name("aesync-session".to_owned()).spawn(move || {
        let connection = async {
            tokio::select! {
                biased;
                _ = unwanted => None,
                end = connection::run(options, statuses, events) => Some(end),
            }
        };
        if let Some(end) = on_a_runtime(connection) {
            // Nobody may be there to hear it.
            let _ = told.send(end);
        }
    });
    if let Err(error) = thread {
        return cannot_start(&error);
    }
    match end.await {
        Ok(end) => end,
        Err(_) => end::lost("its thread stopped; report this as a defect"),
    }
}

/// Runs a connection on this thread and a runtime of its own, which ends with it.
fn on_a_runtime(connection: impl Future<Output = Option<SessionEnd>>) -> Option<SessionEnd> {
    // One thread for the look-up of the name.
    let runtime =
        Builder::new_current_thread().max_blocking_threads(1).thread_keep_alive(Duration::from_secs(1)).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let end = runtime.block_on(connection);
            // A plain drop would wait for a name that is being looked up.
            runtime.shutdown_background();
            end
        }
        Err(error) => Some(cannot_start(&error)),
    }
}

fn cannot_start(error: &io::Error) -> SessionEnd {
    SessionEnd { kind: SessionEndKind::Unreachable, detail: format!("connecting failed: no thread could be started: {error}") }
}
