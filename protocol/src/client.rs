//! Clients of the daemon.
//!
//! [`Client`] is a blocking one, without a runtime or threads, so that a command starts and answers within a millisecond. Its
//! [`subscribe`](Client::subscribe) gives [`Updates`], a subscription that outlives its connections: it reconnects, and goes on behind the
//! last change. `asynchronous` has the same for tokio, under the same names, with the updates as a stream; the feature `blocking` leaves
//! it out. [`Events`] are what one connection brings, and end with it.
//!
//! ```no_run
//! use aesync_protocol::client::Client;
//! use aesync_protocol::request::GetStatus;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let path = aesync_protocol::endpoint::locate(None, None)?;
//! let status = Client::connect(&path)?.call(&GetStatus {})?;
//! println!("{}", status.status);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "client")]
pub mod asynchronous;
mod backoff;
mod error;
mod events;
mod follow;
mod greeting;
mod resume;
mod transport;
mod update;
mod updates;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

pub use error::ClientError;
pub use events::Events;
pub use update::{ResetReason, Update};
pub use updates::Updates;

use crate::codec::{self, Id, LineBuffer, Reply};
use crate::request::{Method, Subscribe};
use transport::Transport;

/// How long a call may take unless told otherwise. Calls that wait for the server deserve more: see [`Client::call_within`].
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest line that a client takes from the daemon, in bytes: a page of records may be longer than what the daemon takes.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A connection to the daemon. One call at a time.
///
/// An error other than [`ClientError::Remote`] leaves it unusable, and so does a daemon that goes away between two calls: the next one then
/// says [`ClientError::Closed`]. So does `busy`, with which a full daemon turns a caller away.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    lines: LineBuffer,
    path: PathBuf,
    timeout: Duration,
    last_id: u64,
}

impl Client {
    /// Connects to the socket at `path`; see [`crate::endpoint::locate`].
    ///
    /// # Errors
    /// [`ClientError::NotRunning`], [`ClientError::PermissionDenied`], or what else the connection failed with.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_within(path, DEFAULT_TIMEOUT)
    }

    /// Connects, and lets that and each [`call`](Self::call) take `timeout`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_within(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let transport = Transport::connect(path, Instant::now().checked_add(timeout))
            .map_err(|source| ClientError::from_connect(path, timeout, source))?;
        Ok(Self { transport, lines: LineBuffer::new(MAX_ANSWER), path: path.to_owned(), timeout, last_id: 0 })
    }

    /// How long each [`call`](Self::call) may take from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`ClientError::Remote`] with the daemon's error; otherwise what went wrong with the connection.
    pub fn call<M: Method>(&mut self, params: &M) -> Result<M::Answer, ClientError> {
        self.call_within(params, self.timeout)
    }

    /// Calls a method that may take `timeout`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_within<M: Method>(&mut self, params: &M, timeout: Duration) -> Result<M::Answer, ClientError> {
        parse(M::NAME, &self.call_for_json(M::NAME, params, timeout, |_| {})?)
    }

    /// Calls a method by name.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_raw(&mut self, method: &str, params: &Value) -> Result<Value, ClientError> {
        parse(method, &self.call_for_json(method, params, self.timeout, |_| {})?)
    }

    /// Calls a method by name and returns the result exactly as the daemon wrote it. Events of a subscription of this connection that
    /// arrive meanwhile go to `on_event`, as the daemon wrote them.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_for_json<P: Serialize + ?Sized>(
        &mut self,
        method: &str,
        params: &P,
        timeout: Duration,
        mut on_event: impl FnMut(Box<RawValue>),
    ) -> Result<Box<RawValue>, ClientError> {
        let timed_out = || ClientError::Timeout { method: method.to_owned(), after: timeout };
        let deadline = Instant::now().checked_add(timeout);
        self.last_id += 1;
        let awaited = self.last_id;
        let line = request_line(awaited, method, params)?;
        match self.transport.send(&line, deadline) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(timed_out()),
            // A daemon that turns a client away says why and closes, perhaps before it has read the request: look for its answer.
            Err(_) | Ok(()) => {}
        }
        loop {
            match self.next_reply(deadline)? {
                None => return Err(timed_out()),
                Some(Owned::Event(params)) => on_event(params),
                Some(Owned::Answer { id: Some(id), outcome }) if id == awaited => return outcome.map_err(ClientError::Remote),
                // About no call in particular, such as `busy` before anything was read.
                Some(Owned::Answer { id: None, outcome: Err(error) }) => return Err(ClientError::Remote(error)),
                Some(Owned::Answer { .. }) => {}
            }
        }
    }

    /// A subscription at the same socket that outlives its connections, on connections of its own: this one stays free for calls. See
    /// [`Updates::new`].
    #[must_use]
    pub fn subscribe(&self, wanted: Subscribe) -> Updates {
        Updates::new(&self.path, wanted)
    }

    /// Turns this one connection into a subscription, which ends with it: for those who go on in their own way, or not at all.
    ///
    /// To be shown with a name in `aectl clients`, call [`Hello`](crate::request::Hello) before.
    ///
    /// # Errors
    /// As [`call`](Self::call); a position that can't be resumed is a [`ClientError::Remote`] with the code `gone`.
    pub fn into_events(mut self, params: &Subscribe) -> Result<Events, ClientError> {
        let mut early = Vec::new();
        let answer = self.call_for_json(Subscribe::NAME, params, self.timeout, |event| early.push(event))?;
        Ok(Events::new(self, parse(Subscribe::NAME, &answer)?, early))
    }

    /// The next answer or event; `None` when the deadline has passed.
    fn next_reply(&mut self, deadline: Option<Instant>) -> Result<Option<Owned>, ClientError> {
        loop {
            if let Some(reply) = Owned::next(&mut self.lines)? {
                return Ok(Some(reply));
            }
            match self.transport.receive(&mut self.lines, deadline) {
                Ok(0) => return Err(ClientError::Closed { path: self.path.clone(), source: None }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(None),
                Err(source) => return Err(ClientError::Closed { path: self.path.clone(), source: Some(source) }),
            }
        }
    }
}

/// A line of the daemon's, copied out of the buffer.
enum Owned {
    Answer { id: Option<u64>, outcome: Result<Box<RawValue>, crate::Error> },
    Event(Box<RawValue>),
}

impl Owned {
    /// The next answer or event of the whole lines so far.
    fn next(lines: &mut LineBuffer) -> Result<Option<Self>, ClientError> {
        while let Some(line) = lines.next_line() {
            let line = line.map_err(|error| ClientError::Protocol { reason: error.to_string() })?;
            match codec::parse_reply(line).map_err(|error| ClientError::Protocol { reason: error.to_string() })? {
                Reply::Answer { id, outcome } => {
                    return Ok(Some(Self::Answer { id, outcome: outcome.map(ToOwned::to_owned) }));
                }
                Reply::Event(params) => return Ok(Some(Self::Event(params.to_owned()))),
                Reply::Unknown => {}
            }
        }
        Ok(None)
    }
}

fn request_line<P: Serialize + ?Sized>(id: u64, method: &str, params: &P) -> Result<Vec<u8>, ClientError> {
    let mut line = Vec::new();
    codec::write_request(&mut line, &Id::from(id), method, params)
        .map_err(|source| ClientError::Protocol { reason: format!("{method}'s params can't be written as JSON: {source}") })?;
    Ok(line)
}

/// Any number, for how long to wait before an attempt to connect: std's hasher is seeded anew each time.
fn dice() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn parse<T: DeserializeOwned>(method: &str, json: &RawValue) -> Result<T, ClientError> {
    serde_json::from_str(json.get()).map_err(|error| ClientError::Protocol {
        reason: format!("the answer to {method} is not what this client knows: {error}"),
    })
}
