//! A connection that receives events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::{Client, ClientError, Owned};
use crate::event::Event;
use crate::response::Position;

/// The events of one connection, in order. Iterating waits without end for each one; it stops after an error, such as the connection's end.
/// [`Updates`](super::Updates) go on after it.
#[derive(Debug)]
pub struct Events {
    client: Client,
    position: Position,
    early: VecDeque<Box<RawValue>>,
    ended: bool,
}

impl Events {
    pub(super) fn new(client: Client, position: Position, early: Vec<Box<RawValue>>) -> Self {
        Self { client, position, early: early.into(), ended: false }
    }

    /// Where the feed stood when the subscription began.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// The next event; `None` when none came within `patience`. Without `patience` it waits until there is one.
    ///
    /// Events of channels that this client is too old to know are passed over.
    ///
    /// # Errors
    /// When the connection is lost. Subscribe again from the `seq` of the last change or checkpoint that was handled.
    pub fn next_event(&mut self, patience: Option<Duration>) -> Result<Option<Event>, ClientError> {
        let deadline = deadline_of(patience);
        loop {
            match self.next_before(deadline)? {
                None => return Ok(None),
                Some(params) => {
                    if let Ok(event) = serde_json::from_str(params.get()) {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// The next event's params exactly as the daemon wrote them; otherwise as [`next_event`](Self::next_event).
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub fn next_json(&mut self, patience: Option<Duration>) -> Result<Option<Box<RawValue>>, ClientError> {
        self.next_before(deadline_of(patience))
    }

    fn next_before(&mut self, deadline: Option<Instant>) -> Result<Option<Box<RawValue>>, ClientError> {
        if let Some(params) = self.early.pop_front() {
            return Ok(Some(params));
        }
        loop {
            match self.client.next_reply(deadline)? {
                None => return Ok(None),
                Some(Owned::Event(params)) => return Ok(Some(params)),
                Some(Owned::Answer { .. }) => {}
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<Event, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = self.next_event(None).transpose()?;
        self.ended = event.is_err();
        Some(event)
    }
}

fn deadline_of(patience: Option<Duration>) -> Option<Instant> {
    patience.and_then(|patience| Instant::now().checked_add(patience))
}
