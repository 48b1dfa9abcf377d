//! What a subscription that outlives its connections does next. Pure: lines, failures, time and dice are arguments.
//!
//! The blocking and the asynchronous [`Updates`](super::Updates) are two ways to carry out the same [`Step`]s.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::backoff::Backoff;
use super::greeting;
use super::resume::{Resume, protocol};
use super::{ClientError, Update, request_line};
use crate::codec::{self, Reply};
use crate::request::{Hello, Method, Ping, Subscribe};
use crate::response::Position;

/// How long the daemon may take for the connection, for `subscribe` and for a sign of life.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without a line the daemon is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(30);
/// A connection that held for so long was a good one: the next attempt is not held back by failures before it.
const STEADY: Duration = Duration::from_secs(5);

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Give this to the application.
    Yield(Update),
    /// Connect, but not before that moment; then tell [`Follow::connected`] or [`Follow::lost`].
    Connect { not_before: Option<Instant> },
    /// Write these bytes, within [`PATIENCE`].
    Send(Vec<u8>),
    /// Take a line, and tell [`Follow::line`]; when there is none at that moment, tell [`Follow::silent`].
    Read { until: Instant },
    /// Tell the application that going on is pointless.
    Fail(ClientError),
    /// It is over.
    End,
}

#[derive(Debug)]
enum Link {
    Away {
        not_before: Option<Instant>,
    },
    /// `hello` and `subscribe` were sent.
    Asking {
        hello: u64,
        id: u64,
        since: Instant,
        until: Instant,
    },
    /// Events come. `asked` for a sign of life, or it will be asked for, when nothing comes until then.
    Live {
        since: Instant,
        until: Instant,
        asked: bool,
    },
    Ended,
}

/// One subscription through all of its connections.
#[derive(Debug)]
pub(super) struct Follow {
    path: PathBuf,
    greeting: Hello,
    resume: Resume,
    backoff: Backoff,
    link: Link,
    /// At most what one line or one loss makes: two.
    ready: VecDeque<Update>,
    outgoing: Option<Vec<u8>>,
    failure: Option<ClientError>,
    last_id: u64,
    said_away: bool,
}

impl Follow {
    pub(super) fn new(path: &Path, wanted: Subscribe) -> Self {
        Self {
            path: path.to_owned(),
            greeting: greeting::of_this_program(),
            resume: Resume::new(wanted),
            backoff: Backoff::default(),
            link: Link::Away { not_before: None },
            ready: VecDeque::new(),
            outgoing: None,
            failure: None,
            last_id: 0,
            said_away: false,
        }
    }

    pub(super) fn introduce(&mut self, greeting: Hello) {
        self.greeting = greeting;
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.resume.position()
    }

    pub(super) fn loaded(&mut self, seq: u64) {
        self.resume.loaded(seq);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn next_step(&mut self) -> Step {
        if let Some(update) = self.ready.pop_front() {
            return Step::Yield(update);
        }
        if let Some(error) = self.failure.take() {
            return Step::Fail(error);
        }
        if let Some(bytes) = self.outgoing.take() {
            return Step::Send(bytes);
        }
        match self.link {
            Link::Away { not_before } => Step::Connect { not_before },
            Link::Asking { until, .. } | Link::Live { until, .. } => Step::Read { until },
            Link::Ended => Step::End,
        }
    }

    /// There is a connection.
    pub(super) fn connected(&mut self, now: Instant, dice: u64) {
        let greeting = self.greeting.clone();
        match self.request(&greeting) {
            Ok(hello) => self.subscribe(hello, now, now, dice),
            Err(error) => self.lost(error, now, dice),
        }
    }

    /// There is no connection: it could not be made, or it broke.
    pub(super) fn lost(&mut self, error: ClientError, now: Instant, dice: u64) {
        let steady = matches!(self.link, Link::Live { since, .. } if now.saturating_duration_since(since) >= STEADY);
        self.outgoing = None;
        if self.resume.ended(steady) {
            self.backoff.succeeded();
        }
        if self.resume.is_final(&error) {
            self.failure = Some(error);
            self.link = Link::Ended;
            return;
        }
        self.link = Link::Away { not_before: now.checked_add(self.backoff.next_delay(dice)) };
        if !self.said_away {
            self.said_away = true;
            self.ready.push_back(Update::Disconnected(error));
        }
    }

    /// The connection is to be given up when this says so; it has been counted as lost then.
    #[must_use]
    pub(super) fn line(&mut self, line: &str, now: Instant, dice: u64) -> Verdict {
        let taken = match codec::parse_reply(line) {
            Ok(reply) => self.reply(reply, now, dice),
            Err(error) => Err(protocol(&error.to_string())),
        };
        self.judge(taken, now, dice)
    }

    /// Nothing came until the moment of [`Step::Read`].
    #[must_use]
    pub(super) fn silent(&mut self, now: Instant, dice: u64) -> Verdict {
        let taken = match &mut self.link {
            Link::Live { until, asked, .. } if !*asked => {
                *asked = true;
                *until = now + PATIENCE;
                self.request(&Ping {}).map(drop)
            }
            Link::Live { .. } => Err(timed_out(Ping::NAME)),
            Link::Asking { .. } => Err(timed_out(Subscribe::NAME)),
            Link::Away { .. } | Link::Ended => Ok(()),
        };
        self.judge(taken, now, dice)
    }

    fn judge(&mut self, taken: Result<(), ClientError>, now: Instant, dice: u64) -> Verdict {
        match taken {
            Ok(()) => Verdict::Keep,
            Err(error) => {
                self.lost(error, now, dice);
                Verdict::Close
            }
        }
    }

    fn reply(&mut self, reply: Reply<'_>, now: Instant, dice: u64) -> Result<(), ClientError> {
        match (&mut self.link, reply) {
            // About no call in particular, such as `busy` before anything was read.
            (_, Reply::Answer { id: None, outcome: Err(error) }) => Err(ClientError::Remote(error)),
            // A daemon that turns a client away answers the first thing it hears.
            (&mut Link::Asking { hello, .. }, Reply::Answer { id: Some(answered), outcome: Err(error) }) if answered == hello => {
                Err(ClientError::Remote(error))
            }
            (&mut Link::Asking { hello, id, since, .. }, Reply::Answer { id: Some(answered), outcome }) if answered == id => {
                match outcome {
                    Ok(position) => self.subscribed(position, since, now),
                    Err(error) => {
                        self.resume.refused(error)?;
                        self.subscribe(hello, since, now, dice);
                        Ok(())
                    }
                }
            }
            (Link::Asking { .. }, Reply::Event(_)) => Err(protocol("an event came before the answer to subscribe")),
            (Link::Live { until, asked, .. }, reply) => {
                (*until, *asked) = (now + QUIET, false);
                if let Reply::Event(params) = reply {
                    self.ready.extend(self.resume.event(params)?);
                }
                Ok(())
            }
            (Link::Asking { .. } | Link::Away { .. } | Link::Ended, _) => Ok(()),
        }
    }

    fn subscribe(&mut self, hello: u64, since: Instant, now: Instant, dice: u64) {
        match self.request(&self.resume.params()) {
            Ok(id) => self.link = Link::Asking { hello, id, since, until: now + PATIENCE },
            Err(error) => self.lost(error, now, dice),
        }
    }

    fn subscribed(&mut self, answer: &RawValue, since: Instant, now: Instant) -> Result<(), ClientError> {
        let position: Position = serde_json::from_str(answer.get())
            .map_err(|error| protocol(&format!("the answer to subscribe has no position: {error}")))?;
        let reset = self.resume.accepted(&position);
        // First the reset: whoever saves the position with an update must not pass it by.
        self.ready.extend(reset);
        self.ready.push_back(Update::Connected(position));
        self.said_away = false;
        self.link = Link::Live { since, until: now + QUIET, asked: false };
        Ok(())
    }

    fn request<M: Method>(&mut self, params: &M) -> Result<u64, ClientError> {
        self.last_id += 1;
        let mut line = request_line(self.last_id, M::NAME, params)?;
        self.outgoing.get_or_insert_default().append(&mut line);
        Ok(self.last_id)
    }
}

/// Whether a connection is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Close,
}

fn timed_out(method: &str) -> ClientError {
    ClientError::Timeout { method: method.to_owned(), after: PATIENCE }
}

#[cfg(test)]
mod tests;
