//! Events to many subscribers: each is serialized once, and each subscriber is a position in one bounded ring.
//!
//! A publisher never waits for a subscriber. A subscriber that falls out of the ring gets the changes from the durable feed, the newest
//! status and progress, and the number of the notifications and outbox events that it missed.

mod chunk;
mod cursor;
mod filter;
mod replay;
mod ring;
#[cfg(test)]
mod sample;
mod sleepers;
mod subscription;
mod tally;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aesync_protocol::codec::{EncodedChange, write_event};
use aesync_protocol::{Channel, Event};

use ring::Ring;
use sleepers::Sleepers;

pub(super) use chunk::Chunk;
pub(super) use cursor::Step;
pub(super) use filter::Filter;
pub(super) use replay::Page;
pub(super) use subscription::{Sent, Subscription};

/// How many bytes the ring holds unless configured otherwise.
pub const DEFAULT_RING: usize = 16 * 1024 * 1024;

/// The publisher's side, and where connections subscribe. Clones share one ring.
///
/// Whoever publishes does it in the order of the facts: first the durable feed and the [`Source`](super::Source)'s status hold them, then
/// they are published.
#[derive(Clone, Debug)]
pub struct Fanout {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: RwLock<Ring>,
    sleepers: Sleepers,
}

impl Fanout {
    /// A ring of `limit` bytes for the feed `log`, whose last position is `last_seq`. Before the first sign-in that is `""` and 0.
    #[must_use]
    pub fn new(limit: usize, log: &str, last_seq: u64) -> Self {
        Self { shared: Arc::new(Shared { ring: RwLock::new(Ring::new(limit, log, last_seq)), sleepers: Sleepers::default() }) }
    }

    /// Publishes one event. A change goes the way of [`publish_changes`](Self::publish_changes); `checkpoint` and `lagged` are between a
    /// subscriber and its connection, and are not taken here.
    pub fn publish(&self, event: &Event) {
        let (channel, entity_type) = match event {
            Event::Status { .. } => (Channel::Status, None),
            // A batch concerns several types, which it does not tell.
            Event::Notification { notification } if notification.entity_type == "batch" => (Channel::Notification, None),
            Event::Notification { notification } => (Channel::Notification, Some(notification.entity_type.as_str())),
            Event::Change { change } => {
                return match EncodedChange::new(change) {
                    Ok(change) => self.publish_changes(&[change]),
                    Err(error) => {
                        tracing::error!(%error, seq = change.seq, "a change could not be written as JSON and was left out")
                    }
                };
            }
            Event::Outbox { entry } => (Channel::Outbox, Some(entry.entity_type.as_str())),
            Event::Progress(progress) => (Channel::Progress, progress.entity_type.as_deref()),
            Event::Checkpoint { .. } | Event::Lagged { .. } | Event::Gone { .. } => return,
        };
        if !self.shared.sleepers.want(channel) {
            return;
        }
        let mut line = Vec::new();
        if let Err(error) = write_event(&mut line, event) {
            tracing::error!(%error, ?channel, "an event could not be written as JSON and was left out");
            return;
        }
        self.shared.write().push(channel, entity_type, &line);
        self.shared.sleepers.wake(channel);
    }

    /// Publishes changes, in the order of their seqs. Those that were published before are passed over; where one is missing, subscribers
    /// get the changes from the durable feed. One task publishes changes: what two publish at once may be passed over too.
    pub fn publish_changes(&self, changes: &[EncodedChange]) {
        let last = self.shared.read().feed().last;
        // Most often all of them are.
        let is_new = changes.first().is_some_and(|first| first.seq() > last);
        let known = if is_new { 0 } else { changes.partition_point(|change| change.seq() <= last) };
        let new = changes.get(known..).unwrap_or_default();
        let Some(newest) = new.last().map(EncodedChange::seq) else { return };
        let follows = new.iter().zip(last + 1..).all(|(change, seq)| change.seq() == seq);
        if follows && self.shared.sleepers.want(Channel::Change) {
            let lines = new.iter().map(|change| (change.entity_type(), change.line()));
            self.shared.write().push_changes(lines);
        } else {
            self.shared.write().pass_changes(newest);
        }
        self.shared.sleepers.wake(Channel::Change);
    }

    /// From now on changes belong to the feed `log`, whose last position is `last_seq`: somebody else signed in, or the store is fresh.
    /// Connections that are subscribed to `change` are closed after their pending answers, so that they resume and hear `gone`.
    pub fn restart_feed(&self, log: &str, last_seq: u64) {
        self.shared.write().restart_feed(log, last_seq);
        self.shared.sleepers.wake(Channel::Change);
    }

    /// The feed's identity and its last published position.
    #[must_use]
    pub fn position(&self) -> (String, u64) {
        let ring = self.shared.read();
        (ring.feed().log.to_string(), ring.feed().last)
    }

    /// Whether anybody is subscribed to a channel: what nobody wants need not be made.
    #[must_use]
    pub fn is_wanted(&self, channel: Channel) -> bool {
        self.shared.sleepers.want(channel)
    }

    /// How many connections are subscribed.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.shared.sleepers.count()
    }

    /// Bytes that the ring holds at present, at most its limit.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.read().used()
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}
