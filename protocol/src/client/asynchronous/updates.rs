//! The subscription as a stream.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_core::Stream;
use futures_core::stream::FusedStream;
use tokio::time::{Sleep, sleep_until};

use super::connection::Connection;
use crate::client::follow::{Follow, PATIENCE, Step, Verdict};
use crate::client::greeting::greeting;
use crate::client::{ClientError, Update, dice};
use crate::request::Subscribe;
use crate::response::Position;

/// Updates without end: it connects again after 50 ms to 5 s, and goes on behind the last change that it gave out. No change comes
/// twice, and none is left out; an [`Update::Reset`] says when that is impossible.
///
/// An error is an item, and the last one: it says that going on is pointless, because the socket or the subscription is not allowed, or
/// because what answers does not speak this protocol.
///
/// It works only while it is polled, without a task or a queue of its own, so that nothing piles up in this process but the line that is
/// being read, at most [`MAX_ANSWER`](crate::client::MAX_ANSWER) bytes. Between two items it may be left alone for as long as one
/// likes: changes wait in the daemon's feed. Giving up the wait for an item loses nothing. A daemon that says nothing for 30 s is asked
/// for a sign of life, and given up 10 s later.
pub struct Updates {
    follow: Follow,
    link: Link,
    timer: Pin<Box<Sleep>>,
    ended: bool,
}

type Opening = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

enum Link {
    None,
    Opening(Opening),
    Open(Connection),
}

impl Updates {
    /// Subscribes at the socket `path`; see [`crate::endpoint::locate`]. It connects when it is first polled. To be called within a
    /// tokio runtime that has its timers and its input and output enabled.
    ///
    /// `wanted.since` and `wanted.log` are where to begin: a saved [`position`](Self::position), or 0 without a `log` for the whole feed.
    /// Without `since` changes begin with the next one.
    #[must_use]
    pub fn new(path: &Path, wanted: Subscribe) -> Self {
        Self {
            follow: Follow::new(path, wanted),
            link: Link::None,
            timer: Box::pin(sleep_until(tokio::time::Instant::now())),
            ended: false,
        }
    }

    /// How the application calls itself in `aectl clients`; without this it is the program's name. To be said before the first update.
    #[must_use]
    pub fn named(mut self, name: &str, version: &str) -> Self {
        self.follow.introduce(greeting(name, version));
        self
    }

    /// After the last update that was given out; `None` before the first connection, and without the channel `change`. Save it with
    /// what was made of the changes so far.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.follow.position()
    }

    /// To be said after an [`Update::Reset`], with the `seq` of the listing: changes that are in it already are then not given out.
    pub fn loaded(&mut self, seq: u64) {
        self.follow.loaded(seq);
    }

    /// The next update; `None` after an error. For those who need nothing else of a stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When going on is pointless.
    pub async fn next_update(&mut self) -> Option<Result<Update, ClientError>> {
        std::future::poll_fn(|cx| self.poll_update(cx)).await
    }

    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Update, ClientError>>> {
        loop {
            match self.follow.next_step() {
                Step::Yield(update) => return Poll::Ready(Some(Ok(update))),
                Step::Fail(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Step::End => return Poll::Ready(None),
                Step::Connect { not_before } => ready!(self.poll_connect(cx, not_before)),
                Step::Send(bytes) => match &mut self.link {
                    Link::Open(connection) => connection.send(bytes),
                    Link::None | Link::Opening(_) => {}
                },
                Step::Read { until } => ready!(self.poll_read(cx, until)),
            }
        }
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>, not_before: Option<Instant>) -> Poll<()> {
        if let Link::Opening(opening) = &mut self.link {
            let outcome = ready!(opening.as_mut().poll(cx));
            match outcome {
                Ok(connection) => {
                    self.link = Link::Open(connection);
                    self.follow.connected(now(), dice());
                }
                Err(source) => self.lose(ClientError::from_connect(self.follow.path(), PATIENCE, source)),
            }
            return Poll::Ready(());
        }
        if let Some(moment) = not_before {
            ready!(self.poll_moment(cx, moment));
        }
        let path = self.follow.path().to_owned();
        self.link = Link::Opening(Box::pin(async move { Connection::open(&path, PATIENCE).await }));
        Poll::Ready(())
    }

    /// Takes one line, or reads once.
    fn poll_read(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let Link::Open(connection) = &mut self.link else {
            self.lose(self.closed(None));
            return Poll::Ready(());
        };
        let verdict = match connection.lines().next_line() {
            Some(Ok(line)) => self.follow.line(line, now(), dice()),
            Some(Err(error)) => {
                self.lose(ClientError::Protocol { reason: error.to_string() });
                return Poll::Ready(());
            }
            None => {
                // A failure shows when the answer is read: a daemon that turns a client away says why and closes.
                let _ = connection.poll_flush(cx);
                match connection.poll_receive(cx) {
                    Poll::Ready(Ok(0)) => {
                        self.lose(self.closed(None));
                        return Poll::Ready(());
                    }
                    Poll::Ready(Ok(_)) => return Poll::Ready(()),
                    Poll::Ready(Err(error)) => {
                        self.lose(self.closed(Some(error)));
                        return Poll::Ready(());
                    }
                    Poll::Pending => {
                        ready!(self.poll_moment(cx, until));
                        self.follow.silent(now(), dice())
                    }
                }
            }
        };
        if verdict == Verdict::Close {
            self.link = Link::None;
        }
        Poll::Ready(())
    }

    fn poll_moment(&mut self, cx: &mut Context<'_>, moment: Instant) -> Poll<()> {
        let moment = tokio::time::Instant::from_std(moment);
        if self.timer.deadline() != moment {
            self.timer.as_mut().reset(moment);
        }
        self.timer.as_mut().poll(cx)
    }

    fn lose(&mut self, error: ClientError) {
        self.link = Link::None;
        self.follow.lost(error, now(), dice());
    }

    fn closed(&self, source: Option<io::Error>) -> ClientError {
        ClientError::Closed { path: self.follow.path().to_owned(), source }
    }
}

/// The runtime's clock: tests may have stopped it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Stream for Updates {
    type Item = Result<Update, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_update(cx)
    }
}

impl FusedStream for Updates {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates").field("follow", &self.follow).finish_non_exhaustive()
    }
}
