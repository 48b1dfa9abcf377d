//! A connection's events.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aesync_protocol::codec::write_event;
use aesync_protocol::{Error, ErrorCode, Event};
use futures_util::future::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Session, Stage};
use crate::ipc::fanout::{Chunk, Sent, Step};
use crate::ipc::reads::replay;

thread_local! {
    /// One chunk of events for all connections of a thread: it is empty again before anything else runs.
    static EVENTS: RefCell<Chunk> = RefCell::new(Chunk::default());
}

impl<T: AsyncRead + AsyncWrite + Unpin> Session<T> {
    /// Writes events straight from the ring, as long as nothing else waits. What the socket does not take stays in the ring, but for the
    /// rest of a few lines.
    pub(super) fn poll_events(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while self.out.is_empty() && !self.holds_events() && self.stage == Stage::Open {
            let Some(subscription) = &mut self.caller.subscription else { break };
            if let Err(error) = subscription.poll_page(cx) {
                tracing::info!(%error, "a subscriber must resume: the durable feed can't be read from where it stands");
                self.end_subscription(gone(&error));
                return Ok(true);
            }
            let stream = &mut self.stream;
            let mut took = false;
            let mut write = |pieces: [&[u8]; 3]| {
                let written = poll_write_pieces(Pin::new(stream), cx, pieces);
                took = matches!(written, Poll::Ready(Ok(1..)));
                self.blocked = written.is_pending();
                written
            };
            let sent = EVENTS.with_borrow_mut(|chunk| subscription.send(chunk, &mut write, &mut self.out))?;
            moved |= took;
            self.took |= took;
            let step = match sent {
                Sent::All(step) => step,
                Sent::Part => continue,
                // The socket wakes the connection.
                Sent::Nothing => break,
            };
            match step {
                Step::More => {}
                Step::Idle if subscription.sleep(cx.waker()) => break,
                Step::Idle => {}
                Step::Replay { since } if !subscription.is_reading() => {
                    let server = Arc::clone(&self.caller.server);
                    subscription.read(replay(server, since, subscription.filter().clone()).boxed());
                }
                Step::Replay { .. } if subscription.sleep(cx.waker()) => break,
                Step::Replay { .. } => {}
                Step::FeedChanged => {
                    let server = &self.caller.server;
                    let (log, _) = server.fanout.position();
                    let feed = server.source.status().feed.clone();
                    let first_seq = if feed.log == log { feed.first_seq } else { 0 };
                    let is_another = subscription.log() != log;
                    self.end_subscription(is_another.then(|| Event::Gone { reason: "log_changed".to_owned(), log, first_seq }));
                    return Ok(true);
                }
            }
        }
        Ok(moved)
    }

    /// Whether an answer must go before all events.
    fn holds_events(&self) -> bool {
        self.events_held > 0 || self.batch.as_ref().is_some_and(|batch| batch.opens_subscription())
    }

    /// Says why nothing more follows, and closes the connection once the calls under way are answered: an application that does not know
    /// the event must not wait for changes for ever.
    fn end_subscription(&mut self, why: Option<Event>) {
        if let Some(event) = why
            && let Err(error) = write_event(&mut self.out, &event)
        {
            tracing::error!(%error, ?event, "an event could not be written as JSON and was left out");
        }
        self.caller.subscription = None;
        self.stage = Stage::Finishing { linger: true };
    }
}

/// Writes the beginning of pieces that follow one another.
fn poll_write_pieces(stream: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>, pieces: [&[u8]; 3]) -> Poll<io::Result<usize>> {
    let mut filled = pieces.into_iter().filter(|piece| !piece.is_empty());
    match (filled.next(), filled.next()) {
        (Some(only), None) => stream.poll_write(cx, only),
        _ => stream.poll_write_vectored(cx, &pieces.map(IoSlice::new)),
    }
}

/// The event that says what the error says, if that is `gone`.
fn gone(error: &Error) -> Option<Event> {
    if !error.is(ErrorCode::Gone) {
        return None;
    }
    let more = &error.data.as_ref()?.more;
    let (reason, log) = (more.get("reason")?.as_str()?.to_owned(), more.get("log")?.as_str()?.to_owned());
    Some(Event::Gone { reason, log, first_seq: more.get("firstSeq")?.as_u64()? })
}
