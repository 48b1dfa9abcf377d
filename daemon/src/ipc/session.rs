//! One connection: requests in, answers and events out.
//!
//! The whole connection is one task that moves on with whatever is ready: finished answers, lines, the socket. It keeps no buffers while
//! it is idle.

mod deadlines;
mod events;
mod streams;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aesync_protocol::Error;
use aesync_protocol::codec::{self, Incoming, LineBuffer, LineError, Refused};
use aesync_protocol::error::rpc;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::batch::Batch;
use super::dispatch::{Caller, Server};
use super::later::{Later, error_line};
use super::listener::stopped;
use super::roster::Attendance;

/// How many calls a connection makes before the others have their turn.
const TURN: u32 = 64;

/// With this many bytes of answers waiting, no more lines are taken.
const MUCH_OUTPUT: usize = 256 * 1024;

/// How often the daemon looks whether a client that has closed its writing half, and waits for answers, is still there at all.
const PRESENCE: Duration = Duration::from_secs(5);

/// How long a stop waits for the first request of a client that was let in right before it.
const NEWCOMER: Duration = Duration::from_millis(500);

/// How long a connection that the daemon ends goes on reading, so that a client which is still writing comes to read the reason.
const LINGER: Duration = Duration::from_secs(1);

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Lines are taken.
    Open,
    /// The client has closed its half: what it sent is still answered, unless it has closed the other half too.
    HalfClosed { look_again: Instant },
    /// Pending answers are finished, nothing else is taken.
    Finishing { linger: bool },
    /// Everything is written; what still comes is thrown away until then.
    Lingering { until: Instant },
}

pub(super) struct Session<T> {
    stream: T,
    caller: Caller,
    stage: Stage,
    lines: LineBuffer,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// Whether `out` holds answers, and not only the rest of an event.
    answers_wait: bool,
    /// Since when the socket has taken nothing.
    stalled_since: Option<Instant>,
    pending: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// Calls in `pending`.
    in_flight: usize,
    /// Answers in `pending` that must go before all events.
    events_held: usize,
    /// A batch that is being carried out.
    batch: Option<Box<Batch>>,
    /// Whether its turn was over before it had taken everything there is.
    is_amid_work: bool,
    /// Whether the client has said anything yet.
    has_asked: bool,
    /// Since when the client owes the rest of a line, or its first one.
    owes_since: Option<Instant>,
    /// Whether the socket took anything since this was last noted, and whether it takes no more.
    took: bool,
    blocked: bool,
    garbage: u32,
    alarm: Option<Pin<Box<Sleep>>>,
}

struct Finished {
    line: Vec<u8>,
    calls: usize,
    opens_subscription: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Session<T> {
    pub(super) fn new(stream: T, server: Arc<Server>, attendance: Attendance) -> Self {
        let lines = LineBuffer::new(server.limits.message);
        Self {
            stream,
            caller: Caller { server, attendance, subscription: None },
            stage: Stage::Open,
            lines,
            out: Vec::new(),
            written: 0,
            answers_wait: false,
            stalled_since: None,
            pending: FuturesUnordered::new(),
            in_flight: 0,
            events_held: 0,
            batch: None,
            is_amid_work: false,
            has_asked: false,
            owes_since: Some(Instant::now()),
            took: false,
            blocked: false,
            garbage: 0,
            alarm: None,
        }
    }

    /// Serves the connection until the client or the daemon ends it.
    ///
    /// # Errors
    /// When the socket fails.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let seat = Arc::clone(&self.caller.attendance.seat);
        let is_stop = tokio::select! {
            outcome = poll_fn(|cx| self.poll(cx)) => return outcome,
            () = stopped(&mut stop) => true,
            () = seat.dismissed() => false,
        };
        if is_stop && let Some(outcome) = self.hear_out().await {
            return outcome;
        }
        if !matches!(self.stage, Stage::Lingering { .. }) {
            self.stage = Stage::Finishing { linger: false };
        }
        let limit = self.caller.server.limits.stop;
        tokio::time::timeout(limit, poll_fn(|cx| self.poll(cx))).await.unwrap_or(Ok(()))
    }

    /// Takes what was sent before the stop; of a client that was let in and has asked nothing yet, its first request, if that comes soon:
    /// it could not know, and a service manager that holds the socket promises it an answer. Returns the outcome if the connection ended.
    async fn hear_out(&mut self) -> Option<io::Result<()>> {
        let heard = poll_fn(|cx| match self.poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if self.has_asked && !self.is_amid_work => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        tokio::time::timeout(NEWCOMER, heard).await.unwrap_or(None)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut turn = TURN;
        self.is_amid_work = false;
        loop {
            let mut moved = self.poll_pending(cx);
            moved |= self.take_lines(&mut turn);
            moved |= self.poll_write(cx)?;
            moved |= self.poll_events(cx)?;
            moved |= self.poll_read(cx)?;
            match self.stage {
                Stage::HalfClosed { .. } | Stage::Finishing { linger: false } if self.is_finished() => {
                    return self.poll_shutdown(cx);
                }
                Stage::HalfClosed { look_again } if look_again <= Instant::now() => {
                    // A write of nothing fails once nobody can read any more.
                    if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_write(cx, &[]) {
                        return Poll::Ready(Err(error));
                    }
                    self.stage = Stage::HalfClosed { look_again: Instant::now() + PRESENCE };
                }
                Stage::Finishing { linger: true } if self.is_finished() => {
                    let _ = self.poll_shutdown(cx)?;
                    self.stage = Stage::Lingering { until: Instant::now() + LINGER };
                    continue;
                }
                Stage::Lingering { until } if until <= Instant::now() => return Poll::Ready(Ok(())),
                _ => {}
            }
            if self.stalled_since.is_some_and(|since| since + self.caller.server.limits.stalled <= Instant::now()) {
                tracing::debug!("closing a connection that takes none of its answers");
                return Poll::Ready(Ok(()));
            }
            if self.owes_until().is_some_and(|until| until <= Instant::now()) {
                self.refuse_silent();
                continue;
            }
            if turn == 0 {
                self.is_amid_work = true;
                self.note();
                // Its waker is woken after the sockets were looked at. By itself it would go before all that wait for theirs.
                return pin!(tokio::task::yield_now()).poll(cx).map(|()| Ok(()));
            }
            if !moved && !self.poll_alarm(cx) {
                self.note();
                return Poll::Pending;
            }
        }
    }

    /// Everything that was asked is answered and written.
    fn is_finished(&self) -> bool {
        let all_lines_taken = !matches!(self.stage, Stage::HalfClosed { .. }) || self.lines.is_empty();
        all_lines_taken && self.batch.is_none() && self.pending.is_empty() && self.out.is_empty()
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.out.len() < MUCH_OUTPUT
            && let Poll::Ready(Some(finished)) = self.pending.poll_next_unpin(cx)
        {
            self.in_flight -= finished.calls;
            self.events_held -= usize::from(finished.opens_subscription);
            self.answers_wait |= !finished.line.is_empty();
            if self.out.is_empty() {
                self.out = finished.line;
            } else {
                self.out.extend_from_slice(&finished.line);
            }
            moved = true;
        }
        moved
    }

    fn may_take(&self) -> bool {
        let open = matches!(self.stage, Stage::Open | Stage::HalfClosed { .. });
        open && self.in_flight < self.caller.server.limits.in_flight && self.out.len() < MUCH_OUTPUT
    }

    /// Carries on with the batch; false when there is none, or no more is to be done in this turn.
    fn carry_on(&mut self, turn: &mut u32) -> bool {
        while let Some(batch) = &mut self.batch
            && *turn > 0
        {
            *turn -= 1;
            if batch.step(&mut self.caller) {
                continue;
            }
            let Some(batch) = self.batch.take() else { break };
            let before = self.out.len();
            if let Some(later) = batch.finish(self.caller.server.limits.in_flight, &mut self.out) {
                let Later { line, calls, opens_subscription } = later;
                self.in_flight += calls;
                self.events_held += usize::from(opens_subscription);
                self.pending.push(line.map(move |line| Finished { line, calls, opens_subscription }).boxed());
            }
            self.answers_wait |= self.out.len() > before;
            return true;
        }
        false
    }

    fn take_lines(&mut self, turn: &mut u32) -> bool {
        let mut moved = self.carry_on(turn);
        while self.batch.is_none() && self.may_take() && *turn > 0 {
            let before = self.out.len();
            let next = match self.stage {
                Stage::HalfClosed { .. } => self.lines.finish(),
                _ => self.lines.next_line(),
            };
            let Some(line) = next else { break };
            moved = true;
            *turn -= 1;
            self.has_asked = true;
            self.owes_since = None;
            match line.map(codec::parse) {
                Ok(Ok(Incoming::Single(call))) => {
                    if let Some(line) = self.caller.call(call, &mut self.out) {
                        let finished = line.map(|line| Finished { line, calls: 1, opens_subscription: false });
                        self.in_flight += 1;
                        self.pending.push(finished.boxed());
                    }
                }
                Ok(Ok(Incoming::Batch(calls))) => self.batch = Some(Box::new(Batch::new(calls))),
                Ok(Err(Refused { id, error })) => {
                    self.out.extend_from_slice(&error_line(Some(&id), &error));
                    self.count_garbage();
                }
                Err(error @ LineError::TooLong { .. }) => {
                    self.refuse(&Error::new(aesync_protocol::ErrorCode::TooLarge, error.to_string()));
                    self.stage = Stage::Finishing { linger: true };
                }
                Err(error @ LineError::NotUtf8 { .. }) => {
                    self.refuse(&Error::protocol(rpc::PARSE_ERROR, error.to_string()));
                    self.count_garbage();
                }
            }
            self.answers_wait |= self.out.len() > before;
            self.carry_on(turn);
        }
        // The first request is owed from the start; blank lines are none.
        if self.has_asked {
            let is_amid_a_line = self.may_take() && !self.lines.is_empty();
            self.owes_since = is_amid_a_line.then(|| self.owes_since.unwrap_or_else(Instant::now));
        }
        moved
    }

    /// Tells how the connection stands.
    fn note(&mut self) {
        let seat = &self.caller.attendance.seat;
        seat.stands(self.in_flight, self.caller.subscription.as_ref().and_then(|subscription| subscription.seq()));
        seat.stalls(self.took, self.blocked);
        self.took = false;
    }

    fn refuse(&mut self, error: &Error) {
        self.out.extend_from_slice(&error_line(Some(&codec::Id::NULL), error));
    }

    fn count_garbage(&mut self) {
        self.garbage += 1;
        if self.garbage >= self.caller.server.limits.garbage {
            tracing::debug!("closing a connection that does not speak JSON-RPC");
            self.stage = Stage::Finishing { linger: true };
        }
    }
}
