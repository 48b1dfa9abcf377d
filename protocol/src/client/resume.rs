//! Which changes a subscription has dealt with, and how it goes on after a loss. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ClientError, ResetReason, Update};
use crate::error::ErrorCode;
use crate::event::{Channel, Event};
use crate::request::Subscribe;
use crate::response::Position;

/// So many connections in a row may end in nonsense before the subscription gives up.
const MAX_GARBAGE: u32 = 3;

/// The position of one subscription through all of its connections.
#[derive(Debug)]
pub(super) struct Resume {
    /// What to ask for; `since` and `log` are the position.
    wanted: Subscribe,
    /// The position was refused and there is no other yet.
    refusal: Option<ResetReason>,
    garbage: u32,
    moved: bool,
}

impl Resume {
    pub(super) const fn new(wanted: Subscribe) -> Self {
        Self { wanted, refusal: None, garbage: 0, moved: false }
    }

    /// After the last change or checkpoint.
    pub(super) fn position(&self) -> Option<Position> {
        Some(Position { log: self.wanted.log.clone()?, seq: self.wanted.since? })
    }

    /// The params of the next `subscribe`.
    pub(super) fn params(&self) -> Subscribe {
        let mut params = self.wanted.clone();
        if self.refusal.is_some() {
            (params.since, params.log) = (None, None);
        }
        params
    }

    /// Takes an error of `subscribe`. A position that can't be resumed is given up: the next params take the feed up where it stands.
    ///
    /// # Errors
    /// What else it was, for the caller to deal with.
    pub(super) fn refused(&mut self, error: crate::Error) -> Result<(), ClientError> {
        if !error.is(ErrorCode::Gone) {
            return Err(ClientError::Remote(error));
        }
        if self.refusal.is_some() {
            return Err(protocol("the daemon refuses a position that it was not given"));
        }
        let reason = error.data.as_ref().and_then(|details| details.more.get("reason")?.as_str());
        self.refusal = Some(ResetReason::from_wire(reason));
        Ok(())
    }

    /// Takes the answer to `subscribe`; a reset is an update.
    pub(super) fn accepted(&mut self, answer: &Position) -> Option<Update> {
        if !self.wanted.channels.contains(&Channel::Change) {
            return None;
        }
        self.wanted.log = Some(answer.log.clone());
        if let Some(reason) = self.refusal.take() {
            self.wanted.since = Some(answer.seq);
            return Some(Update::Reset { reason, position: answer.clone() });
        }
        self.wanted.since.get_or_insert(answer.seq);
        None
    }

    /// What an event's params mean to the application: nothing, if it is a checkpoint, a change that it has had, or of a channel that
    /// this client is too old to know.
    pub(super) fn event(&mut self, params: &RawValue) -> Result<Option<Update>, ClientError> {
        let event = match serde_json::from_str(params.get()) {
            Ok(event) => event,
            Err(error) if is_known(params) => return Err(protocol(&format!("an event can't be read: {error}"))),
            Err(_) => return Ok(None),
        };
        Ok(Some(match event {
            Event::Change { change } => {
                let since = self.wanted.since.unwrap_or_default();
                if change.seq <= since {
                    return Ok(None);
                }
                // Of all types there is each position. To connect again fetches what is missing.
                if self.wanted.entity_types.is_none() && change.seq != since + 1 {
                    return Err(protocol(&format!("the change {} came after {since}", change.seq)));
                }
                self.wanted.since = Some(change.seq);
                self.moved = true;
                Update::Change(change)
            }
            Event::Checkpoint { seq } => {
                self.loaded(seq);
                return Ok(None);
            }
            Event::Status { status } => Update::Status(status),
            Event::Notification { notification } => Update::Notification(notification),
            Event::Outbox { entry } => Update::Outbox(entry),
            Event::Progress(progress) => Update::Progress(progress),
            Event::Lagged { dropped } => Update::Lagged { dropped },
            // The connection ends with it, and the answer to the next subscription says what it is to go on from.
            Event::Gone { .. } => return Ok(None),
        }))
    }

    /// The application knows the records as of `seq`: changes up to there are behind it.
    pub(super) fn loaded(&mut self, seq: u64) {
        self.wanted.since = self.wanted.since.max(Some(seq));
    }

    /// Whether the connection that ended was a good one: it held for long (`steady`), or brought changes.
    pub(super) const fn ended(&mut self, steady: bool) -> bool {
        let good = steady || self.moved;
        self.moved = false;
        if good {
            self.garbage = 0;
        }
        good
    }

    /// Whether another attempt is pointless, and the application has to hear the error.
    pub(super) fn is_final(&mut self, error: &ClientError) -> bool {
        match error {
            ClientError::Protocol { .. } => {
                self.garbage += 1;
                self.garbage >= MAX_GARBAGE
            }
            ClientError::Remote(error) => !error.data.as_ref().is_some_and(|details| details.retryable),
            ClientError::PermissionDenied { .. } => true,
            ClientError::NotRunning { .. }
            | ClientError::Connect { .. }
            | ClientError::Closed { .. }
            | ClientError::Timeout { .. } => false,
        }
    }
}

pub(super) fn protocol(reason: &str) -> ClientError {
    ClientError::Protocol { reason: reason.to_owned() }
}

/// Whether an event's channel is one that this client must be able to read.
fn is_known(params: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Head {
        channel: String,
    }
    const KNOWN: [&str; 7] = ["status", "notification", "change", "outbox", "progress", "checkpoint", "lagged"];
    serde_json::from_str::<Head>(params.get()).map_or(true, |head| KNOWN.contains(&head.channel.as_str()))
}
