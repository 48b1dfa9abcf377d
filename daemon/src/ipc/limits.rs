//! Every bound of the local interface.

use std::time::Duration;

use aesync_protocol::codec::MAX_MESSAGE;

/// Bounds that protect the daemon from its clients, and clients from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time (`ipc.max_connections`); fewer where the process may not open as many files.
    pub connections: usize,
    /// Connections of one user at a time, unless they are the daemon's own user or root.
    pub connections_per_user: usize,
    /// Bytes of a line without its end (`ipc.max_message`).
    pub message: usize,
    /// Requests of one connection that wait for their answers. At this many, the daemon stops reading from it. A batch counts as its calls,
    /// and may exceed the bound by itself.
    pub in_flight: usize,
    /// Reads of the store at a time, of all connections together.
    pub reads: usize,
    /// Lines of one connection that are no requests. At this many, it is closed.
    pub garbage: u32,
    /// How long a client may take from connecting to its first request, and from the beginning of a line to its end.
    pub request: Duration,
    /// How long a reader may take nothing while answers wait.
    pub stalled: Duration,
    /// How long a stop waits for pending answers.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_user: 512,
            message: MAX_MESSAGE,
            in_flight: 64,
            reads: 4,
            garbage: 3,
            request: Duration::from_secs(60),
            stalled: Duration::from_secs(30),
            stop: Duration::from_secs(2),
        }
    }
}
