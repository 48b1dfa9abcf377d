//! One subscriber: what it wants, where it stands, and what it has to be told first.

use std::io;
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
use super::ring::Ring;
use super::sleepers::Bed;
use super::{Fanout, Shared};

/// A subscriber whose filter held changes back is told its position after this long.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(30);

/// What the socket took of what was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All, and why that was all.
    All(Step),
    /// The beginning of it.
    Part,
    /// Nothing: it is full.
    Nothing,
}

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

    /// Writes what follows with `write`, which takes pieces of it in a row as a socket does, and moves on by what was taken. Of the line
    /// that was taken in part, and of some after it, the rest goes to `rest`, to be written before anything else.
    ///
    /// # Errors
    /// Those of `write`, and a `write` that takes none of something; the connection is at its end then.
    pub(crate) fn send(
        &mut self,
        chunk: &mut Chunk,
        write: impl FnOnce([&[u8]; 3]) -> Poll<io::Result<usize>>,
        rest: &mut Vec<u8>,
    ) -> io::Result<Sent> {
        let shared = Arc::clone(&self.shared);
        // Lines are written from where they stand in the ring, so that it must stay as it is until then.
        let ring = shared.read();
        chunk.clear();
        let step = self.fill(&ring, chunk);
        if chunk.len() == 0 {
            return Ok(Sent::All(step));
        }
        let (written, is_blocked) = match write(chunk.pieces(&ring)) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => (written?, false),
            Poll::Pending => (0, true),
        };
        if written >= chunk.len() {
            return Ok(Sent::All(step));
        }
        if let Some(cursor) = chunk.rest(&ring, written, rest) {
            self.rewind(cursor);
        }
        Ok(if is_blocked { Sent::Nothing } else { Sent::Part })
    }

    /// Fills the chunk with what follows, and moves on as if it were written.
    fn fill(&mut self, ring: &Ring, chunk: &mut Chunk) -> Step {
        chunk.end(ring).append(&mut self.opening);
        self.opening = Vec::new();
        chunk.mark(self.cursor);
        if self.checkpoint_due().is_some_and(|due| due <= Instant::now()) {
            checkpoint(ring, &mut self.cursor, chunk);
        }
        if let Some(page) = self.page.take() {
            if !page.continues(&self.log, &self.cursor) {
                return Step::FeedChanged;
            }
            page.advance(ring, &mut self.cursor, chunk);
            chunk.mark(self.cursor);
        }
        let newest_only = std::mem::take(&mut self.slow);
        let step = advance(ring, &self.filter, &mut self.cursor, newest_only, chunk);
        chunk.mark(self.cursor);
        self.note_held_back();
        step
    }

    /// Stands at `cursor` again, since the socket did not take what follows.
    fn rewind(&mut self, cursor: Cursor) {
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

#[cfg(test)]
mod tests {
    use super::super::sample::encoded;
    use super::*;

    /// Publishes changes of two types at random into a small ring, lets a socket take as much as it likes of them, and returns what it took
    /// beside the lines that it was to get.
    fn deliver(wanted: Option<&[String]>, seed: u32) -> (Vec<u8>, Vec<u8>) {
        let mut dice = seed;
        let mut roll = move |sides: usize| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) as usize % sides
        };
        let filter = || Filter::new(&[Channel::Change], wanted);
        let fanout = Fanout::new(256 * 1024, "log", 0);
        let mut subscription = fanout.subscribe(filter());
        let (mut chunk, mut rest, mut taken, mut expected) = (Chunk::default(), Vec::new(), Vec::new(), Vec::new());
        let mut seq = 0;
        for _ in 0..200 {
            let batch: Vec<_> = (0..roll(40))
                .map(|_| {
                    seq += 1;
                    encoded(seq, if roll(3) == 0 { "rare" } else { "usual" }, roll(2_000))
                })
                .collect();
            fanout.publish_changes(&batch);
            for change in batch.iter().filter(|change| filter().passes(Some(change.entity_type()))) {
                expected.extend_from_slice(change.line());
            }
            // Less than the ring holds is left behind.
            loop {
                taken.append(&mut rest);
                let most = roll(100_000);
                let write = |pieces: [&[u8]; 3]| {
                    let all = pieces.concat();
                    let count = most.min(all.len());
                    taken.extend_from_slice(&all[..count]);
                    if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
                };
                if subscription.send(&mut chunk, write, &mut rest).expect("written") == Sent::All(Step::Idle) {
                    break;
                }
            }
        }
        (taken, expected)
    }

    #[test]
    fn whatever_the_socket_takes_each_line_arrives_whole_and_once() {
        for seed in 0..40 {
            let (taken, expected) = deliver(None, seed);
            assert!(taken == expected, "seed {seed}");
        }
    }

    #[test]
    fn lines_with_others_between_them_arrive_whole_and_once() {
        for seed in 0..40 {
            let (taken, expected) = deliver(Some(&["rare".to_owned()]), seed);
            let events: Vec<_> = taken.split_inclusive(|byte| *byte == b'\n').collect();
            let is_checkpoint =
                |line: &&[u8]| line.starts_with(br#"{"jsonrpc":"2.0","method":"event","params":{"channel":"checkpoint""#);
            let changes: Vec<u8> =
                events.iter().filter(|line| !is_checkpoint(line)).flat_map(|line| line.iter().copied()).collect();
            assert!(changes == expected, "seed {seed}");
        }
    }

    #[test]
    fn a_socket_that_takes_none_of_something_is_at_its_end() {
        let fanout = Fanout::new(1 << 16, "log", 0);
        let mut subscription = fanout.subscribe(Filter::new(&[Channel::Change], None));
        fanout.publish_changes(&[encoded(1, "usual", 1)]);
        let failed = subscription.send(&mut Chunk::default(), |_| Poll::Ready(Ok(0)), &mut Vec::new());
        assert_eq!(failed.map_err(|error| error.kind()), Err(io::ErrorKind::WriteZero));
    }
}
