//! The client for tokio: calls, and a subscription as a [`Stream`](futures_core::Stream).
//!
//! ```no_run
//! use std::future::poll_fn;
//! use std::pin::pin;
//!
//! use aesync_protocol::Channel;
//! use aesync_protocol::client::Update;
//! use aesync_protocol::client::asynchronous::Client;
//! use aesync_protocol::request::{GetStatus, Subscribe};
//! use futures_core::Stream as _;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let path = aesync_protocol::endpoint::locate(None, None)?;
//! let mut client = Client::connect(&path).await?;
//! println!("{}", client.call(&GetStatus {}).await?.status);
//! let mut updates = pin!(client.subscribe(Subscribe { channels: vec![Channel::Change], since: Some(0), ..Subscribe::default() }));
//! // With tokio-stream's or futures' StreamExt it is `updates.next()`.
//! while let Some(update) = poll_fn(|cx| updates.as_mut().poll_next(cx)).await {
//!     if let Update::Change(change) = update? {
//!         println!("{} {} {}", change.seq, change.entity_type, change.id);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod connection;
mod updates;

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;

pub use updates::Updates;

use super::{ClientError, DEFAULT_TIMEOUT, Owned, parse, request_line};
use crate::request::{Method, Subscribe};
use connection::Connection;

/// A connection to the daemon, for one call at a time.
///
/// A call may be given up, by its time or by dropping its future, and the connection stays good; whether the daemon carries such a call
/// out nobody knows. After [`ClientError::Closed`] and [`ClientError::Protocol`] it is of no more use, nor after `busy`, with which a full
/// daemon turns a caller away. That the daemon went away between two calls the next one says.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    path: PathBuf,
    timeout: Duration,
    last_id: u64,
}

impl Client {
    /// Connects to the socket at `path`, within 10 s; see [`crate::endpoint::locate`].
    ///
    /// # Errors
    /// [`ClientError::NotRunning`], [`ClientError::PermissionDenied`], or what else the connection failed with.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_within(path, DEFAULT_TIMEOUT).await
    }

    /// Connects, and lets that and each [`call`](Self::call) take `timeout`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_within(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let connection =
            Connection::open(path, timeout).await.map_err(|source| ClientError::from_connect(path, timeout, source))?;
        Ok(Self { connection, path: path.to_owned(), timeout, last_id: 0 })
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`ClientError::Remote`] with the daemon's error; otherwise what went wrong with the connection.
    pub async fn call<M: Method>(&mut self, params: &M) -> Result<M::Answer, ClientError> {
        self.call_within(params, self.timeout).await
    }

    /// Calls a method that may take `timeout`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_within<M: Method>(&mut self, params: &M, timeout: Duration) -> Result<M::Answer, ClientError> {
        parse(M::NAME, &self.call_for_json(M::NAME, params, timeout).await?)
    }

    /// Calls a method by name.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_raw(&mut self, method: &str, params: &Value) -> Result<Value, ClientError> {
        parse(method, &self.call_for_json(method, params, self.timeout).await?)
    }

    /// A subscription at the same socket, on connections of its own: this one stays free for calls. See [`Updates::new`].
    #[must_use]
    pub fn subscribe(&self, wanted: Subscribe) -> Updates {
        Updates::new(&self.path, wanted)
    }

    async fn call_for_json<P: Serialize + ?Sized>(
        &mut self,
        method: &str,
        params: &P,
        limit: Duration,
    ) -> Result<Box<RawValue>, ClientError> {
        self.last_id += 1;
        let awaited = self.last_id;
        let line = request_line(awaited, method, params)?;
        let answered = timeout(limit, async {
            // What a call left behind that was given up while it was being sent: only one request is ever held.
            let _ = poll_fn(|cx| self.connection.poll_flush(cx)).await;
            self.connection.send(line);
            poll_fn(|cx| self.poll_answer(cx, awaited)).await
        });
        answered.await.map_err(|_| ClientError::Timeout { method: method.to_owned(), after: limit })?
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, awaited: u64) -> Poll<Result<Box<RawValue>, ClientError>> {
        loop {
            while let Some(reply) = Owned::next(self.connection.lines())? {
                match reply {
                    Owned::Answer { id: Some(id), outcome } if id == awaited => {
                        return Poll::Ready(outcome.map_err(ClientError::Remote));
                    }
                    // About no call in particular, such as `busy` before anything was read.
                    Owned::Answer { id: None, outcome: Err(error) } => return Poll::Ready(Err(ClientError::Remote(error))),
                    Owned::Answer { .. } | Owned::Event(_) => {}
                }
            }
            // A failure shows when the answer is read: a daemon that turns a client away says why and closes, perhaps without reading.
            let _ = self.connection.poll_flush(cx);
            let closed = |source: Option<io::Error>| ClientError::Closed { path: self.path.clone(), source };
            match ready!(self.connection.poll_receive(cx)) {
                Ok(0) => return Poll::Ready(Err(closed(None))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(closed(Some(error)))),
            }
        }
    }
}
