//! One subscriber: what it wants, where it stands, and what it has to be told first.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aesync_protocol::response::Position;
use aesync_protocol::{Channel, Error};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::Instant;

use super::chunk::Chunk;
use super::cursor::{Cursor, Step, advance, checkpoint};
use super::filter::Filter;
use super::replay::Page;
use super::sleepers::Bed;
use super::{Fanout, Shared};

/// A subscriber whose filter held changes back is told its position after this long.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(30);

pub(crate) struct Subscription {
    shared: Arc<Shared>,
    filter: Filter,
    bed: Bed,
    cursor: Cursor,
    /// The feed that the subscriber was told of.
    log: Arc<str>,
    /// A line that goes before everything else.
    opening: Vec<u8>,
    /// The read of the durable feed that [`Step::Replay`] asked for. It is here and not with the connection: what it brings is for this
    /// filter and this position, and ends with them when another subscription takes the place of this one.
    reading: Option<BoxFuture<'static, Result<Page, Error>>>,
    page: Option<Page>,
    /// The socket did not take everything the last time: only the newest status and progress count.
    slow: bool,
    held_back_since: Option<Instant>,
}

impl Fanout {
    /// Subscribes from the present on. What is published after this call is delivered.
    pub(crate) fn subscribe(&self, filter: Filter) -> Subscription {
        // First the interest, then the position: no publisher can take the subscriber for absent after its position is fixed.
        let bed = self.shared.sleepers.enter(filter.channels());
        let ring = self.shared.read();
        let feed = ring.feed();
        let cursor = Cursor {
            at: ring.head(),
            next: feed.last + 1,
            live: true,
            generation: feed.generation,
            passed: ring.published(&filter),
            held_back: 0,
        };
        let log = Arc::clone(&feed.log);
        drop(ring);
        Subscription {
            shared: Arc::clone(&self.shared),
            filter,
            bed,
            cursor,
            log,
            opening: Vec::new(),
            reading: None,
            page: None,
            slow: false,
            held_back_since: None,
        }
    }
}

impl Subscription {
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(crate) fn wants(&self, channel: Channel) -> bool {
        self.filter.wants(channel)
    }

    /// The feed, and the position after which everything is live.
    pub(crate) fn position(&self) -> Position {
        Position { log: self.log.to_string(), seq: self.cursor.next.saturating_sub(1) }
    }

    /// The last change that has left, where the subscriber wants changes.
    pub(crate) fn seq(&self) -> Option<u64> {
        self.wants(Channel::Change).then(|| self.cursor.next.saturating_sub(1))
    }

    /// Delivers the changes after `since` first.
    pub(crate) fn replay_from(&mut self, since: u64) {
        self.cursor.next = since.saturating_add(1);
        self.cursor.live = false;
    }

    /// Delivers this line before everything else.
    pub(crate) fn open_with(&mut self, line: Vec<u8>) {
        self.opening = line;
    }

    /// The feed that it follows.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Whether the page that [`Step::Replay`] asked for is being read.
    pub(crate) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Goes on with what this read brings: the page that [`Step::Replay`] asked for.
    pub(crate) fn read(&mut self, page: BoxFuture<'static, Result<Page, Error>>) {
        self.reading = Some(page);
    }

    /// Takes the page that is being read, if it is there.
    ///
    /// # Errors
    /// What the read ran into.
    pub(crate) fn poll_page(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if let Some(reading) = &mut self.reading
            && let Poll::Ready(page) = reading.poll_unpin(cx)
        {
            self.reading = None;
            self.page = Some(page?);
        }
        Ok(())
    }

    /// Fills the chunk with what follows, and moves on as if it were written.
    pub(crate) fn fill(&mut self, chunk: &mut Chunk) -> Step {
        chunk.bytes.append(&mut self.opening);
        self.opening = Vec::new();
        chunk.mark(self.cursor);
        if self.checkpoint_due().is_some_and(|due| due <= Instant::now()) {
            checkpoint(&mut self.cursor, chunk);
        }
        if let Some(page) = self.page.take() {
            if !page.continues(&self.log, &self.cursor) {
                return Step::FeedChanged;
            }
            page.advance(&mut self.cursor, chunk);
            chunk.mark(self.cursor);
        }
        let newest_only = std::mem::take(&mut self.slow);
        let step = advance(&self.shared.read(), &self.filter, &mut self.cursor, newest_only, chunk);
        chunk.mark(self.cursor);
        self.note_held_back();
        step
    }

    /// Stands at `cursor` again, since the socket did not take what follows.
    pub(crate) fn rewind(&mut self, cursor: Cursor) {
        self.cursor = cursor;
        self.slow = true;
        self.note_held_back();
    }

    /// Has the waker woken at the next event. False when there is one already.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        self.shared.sleepers.sleep(self.bed, waker);
        let ring = self.shared.read();
        let feed = ring.feed();
        let feed_is_quiet = feed.generation == self.cursor.generation && (!self.cursor.live || feed.last < self.cursor.next);
        ring.head() == self.cursor.at && (feed_is_quiet || !self.wants(Channel::Change))
    }

    /// When the position must be told at the latest.
    pub(crate) fn checkpoint_due(&self) -> Option<Instant> {
        Some(self.held_back_since? + CHECKPOINT_AFTER)
    }

    fn note_held_back(&mut self) {
        self.held_back_since = match self.cursor.held_back {
            0 => None,
            _ => self.held_back_since.or_else(|| Some(Instant::now())),
        };
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.sleepers.leave(self.bed);
        if self.shared.sleepers.count() == 0 {
            self.shared.write().clear();
        }
    }
}
