//! Where a subscriber stands, and how it moves on through the ring.

use std::ops::Range;

use aesync_protocol::codec::write_event;
use aesync_protocol::{Channel, Event};

use super::chunk::Chunk;
use super::filter::Filter;
use super::ring::{Ring, Span};

/// After this many changes that a filter held back, the subscriber is told the position.
pub(super) const CHECKPOINT_CHANGES: u32 = 1000;

/// A position in the ring, and one in the change feed. They move together, except while the subscriber catches up with the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The index of the next line.
    pub(super) at: u64,
    /// The seq of the next change.
    pub(super) next: u64,
    /// Whether the changes before `at` have all been delivered.
    pub(super) live: bool,
    /// The feed that `next` belongs to.
    pub(super) generation: u64,
    /// Notifications and outbox events that were published up to `at` and pass the filter.
    pub(super) passed: u64,
    /// Changes that the filter held back since the subscriber last heard of a position.
    pub(super) held_back: u32,
}

/// Why a chunk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The subscriber has everything.
    Idle,
    /// There may be more.
    More,
    /// The changes after `since` must come from the durable feed.
    Replay {
        /// The position.
        since: u64,
    },
    /// The feed became another one: its subscribers have to resume.
    FeedChanged,
}

/// Appends what follows the cursor and moves it on. With `newest_only`, statuses and progress that are out of date are passed over.
pub(super) fn advance(ring: &Ring, filter: &Filter, cursor: &mut Cursor, newest_only: bool, chunk: &mut Chunk) -> Step {
    let wants_changes = filter.wants(Channel::Change);
    if wants_changes && cursor.generation != ring.feed().generation {
        return Step::FeedChanged;
    }
    if cursor.at < ring.first() {
        fall_out(ring, filter, cursor, chunk);
    }
    let mut walk = Walk { ring, filter, newest_only, chunk };
    let found = ring.index_of_change(cursor.next);
    // Also where the ring never held them: changes that were not published one after the other.
    if wants_changes && (!cursor.live || found.is_none()) {
        cursor.live = false;
        let Some(found) = found else {
            let full = walk.pass(cursor, Scope::AllButChanges);
            return if full { Step::More } else { Step::Replay { since: cursor.next.saturating_sub(1) } };
        };
        if walk.pass_changes_between(cursor, found) {
            return Step::More;
        }
        cursor.live = true;
    }
    let scope = if wants_changes { Scope::All } else { Scope::AllButChanges };
    if walk.pass(cursor, scope) { Step::More } else { Step::Idle }
}

/// Tells the position to a subscriber whose filter held changes back.
pub(super) fn checkpoint(ring: &Ring, cursor: &mut Cursor, chunk: &mut Chunk) {
    cursor.held_back = 0;
    line(&Event::Checkpoint { seq: cursor.next.saturating_sub(1) }, ring, chunk);
    chunk.mark(*cursor);
}

/// Counts a change that the filter held back.
pub(super) fn hold_back(ring: &Ring, cursor: &mut Cursor, chunk: &mut Chunk) {
    cursor.held_back = cursor.held_back.saturating_add(1);
    if cursor.held_back >= CHECKPOINT_CHANGES {
        checkpoint(ring, cursor, chunk);
    }
}

/// The ring has dropped lines that the subscriber did not have yet.
fn fall_out(ring: &Ring, filter: &Filter, cursor: &mut Cursor, chunk: &mut Chunk) {
    let dropped = ring.dropped(filter).saturating_sub(cursor.passed);
    if dropped > 0 {
        cursor.passed += dropped;
        line(&Event::Lagged { dropped }, ring, chunk);
    }
    for channel in [Channel::Status, Channel::Progress] {
        if let Some(newest) = ring.newest(channel)
            && (cursor.at..ring.first()).contains(&newest.index)
            && filter.wants(channel)
            && filter.passes(newest.entity_type.as_deref())
        {
            chunk.end(ring).extend_from_slice(&newest.line);
        }
    }
    cursor.at = ring.first();
    cursor.live = false;
    chunk.mark(*cursor);
}

fn line(event: &Event, ring: &Ring, chunk: &mut Chunk) {
    if let Err(error) = write_event(chunk.end(ring), event) {
        tracing::error!(%error, ?event, "an event could not be written as JSON and was left out");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    AllButChanges,
}

struct Walk<'a> {
    ring: &'a Ring,
    filter: &'a Filter,
    newest_only: bool,
    chunk: &'a mut Chunk,
}

impl Walk<'_> {
    /// Goes on from `cursor.at`; true when the chunk became full.
    fn pass(&mut self, cursor: &mut Cursor, scope: Scope) -> bool {
        for span in self.ring.spans_from(cursor.at) {
            let is_full = match span.channel {
                Channel::Change if scope == Scope::AllButChanges => false,
                Channel::Change => self.changes(cursor, &span, |cursor, lines| cursor.at += lines),
                _ => self.others(cursor, &span),
            };
            if is_full {
                return true;
            }
            cursor.at = span.lines.end;
        }
        self.chunk.mark(*cursor);
        false
    }

    /// Delivers the changes from index `from` on that lie before `cursor.at`; true when the chunk became full.
    fn pass_changes_between(&mut self, cursor: &mut Cursor, from: u64) -> bool {
        for mut span in self.ring.spans_from(from) {
            span.lines.end = span.lines.end.min(cursor.at);
            if span.lines.is_empty() {
                break;
            }
            if span.channel == Channel::Change && self.changes(cursor, &span, |_, _| {}) {
                return true;
            }
        }
        self.chunk.mark(*cursor);
        false
    }

    /// Delivers changes, or holds them back; `moved` moves the cursor's place in the ring. True when the chunk became full.
    fn changes(&mut self, cursor: &mut Cursor, span: &Span<'_>, moved: impl Fn(&mut Cursor, u64)) -> bool {
        // The durable feed may have been ahead of the ring.
        let had = cursor.next.saturating_sub(span.seq).min(span.lines.end - span.lines.start);
        moved(cursor, had);
        let lines = span.lines.start + had..span.lines.end;
        if lines.is_empty() {
            return false;
        }
        cursor.next = span.seq + had;
        if self.filter.passes(span.entity_type) {
            return self.take(cursor, lines, |cursor, lines| {
                moved(cursor, lines);
                cursor.next += lines;
                cursor.held_back = 0;
            });
        }
        for _ in lines {
            if self.is_full(cursor) {
                return true;
            }
            moved(cursor, 1);
            cursor.next += 1;
            hold_back(self.ring, cursor, self.chunk);
        }
        false
    }

    /// Delivers events of another channel, or passes them over. True when the chunk became full.
    fn others(&mut self, cursor: &mut Cursor, span: &Span<'_>) -> bool {
        if !self.filter.wants(span.channel) || !self.filter.passes(span.entity_type) {
            return false;
        }
        let is_counted = matches!(span.channel, Channel::Notification | Channel::Outbox);
        let mut lines = span.lines.clone();
        if self.newest_only
            && let Some(newest) = self.ring.newest(span.channel)
        {
            lines.start = lines.start.max(newest.index).min(lines.end);
            cursor.at = lines.start;
        }
        self.take(cursor, lines, |cursor, lines| {
            cursor.at += lines;
            cursor.passed += if is_counted { lines } else { 0 };
        })
    }

    /// Takes lines into the chunk, with a mark wherever one is due, and moves the cursor on. True when the chunk became full before the
    /// last of them.
    fn take(&mut self, cursor: &mut Cursor, lines: Range<u64>, moved: impl Fn(&mut Cursor, u64)) -> bool {
        let (mut begin, ends) = self.ring.ends_from(lines.start);
        let mut ends = lines.zip(ends).map(|(_, end)| end).peekable();
        while ends.peek().is_some() {
            if self.is_full(cursor) {
                return true;
            }
            let until = begin + self.chunk.until_mark() as u64;
            let (mut count, mut last) = (0, begin);
            while last < until
                && let Some(end) = ends.next()
            {
                (count, last) = (count + 1, end);
            }
            self.chunk.take(self.ring, begin..last);
            moved(cursor, count);
            self.chunk.mark(*cursor);
            begin = last;
        }
        false
    }

    /// Whether nothing more fits; then the cursor is noted. To be asked before a line is taken: a page may have filled the chunk.
    fn is_full(&mut self, cursor: &Cursor) -> bool {
        let is_full = self.chunk.is_full();
        if is_full {
            self.chunk.mark(*cursor);
        }
        is_full
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use aesync_protocol::Change;
    use aesync_protocol::response::ChangePage;
    use futures_util::future::FutureExt as _;

    use super::super::chunk::CHUNK;
    use super::super::sample::{change, encoded};
    use super::super::{Fanout, Page, Sent, Subscription};
    use super::*;

    const LENGTH: usize = 400;

    fn seqs(bytes: &[u8]) -> Vec<u64> {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        let seq = |line: &str| line.split("\"seq\":").nth(1)?.split(',').next()?.parse().ok();
        text.lines().filter_map(seq).collect()
    }

    /// What follows, taken as it is.
    fn send(subscription: &mut Subscription, chunk: &mut Chunk) -> (Vec<u8>, Sent) {
        let mut taken = Vec::new();
        let write = |pieces: [&[u8]; 3]| {
            taken = pieces.concat();
            Poll::Ready(Ok(taken.len()))
        };
        let sent = subscription.send(chunk, write, &mut Vec::new()).expect("written");
        (taken, sent)
    }

    #[test]
    fn a_live_change_behind_a_page_that_fills_the_chunk_is_not_lost() {
        const OLD: u64 = 300;
        let fanout = Fanout::new(1 << 20, "log", OLD);
        let mut subscription = fanout.subscribe(Filter::new(&[Channel::Change], None));
        subscription.replay_from(0);
        let mut chunk = Chunk::default();
        assert_eq!(send(&mut subscription, &mut chunk).1, Sent::All(Step::Replay { since: 0 }));
        // It comes while the page is read, and is passed over until the page is there.
        fanout.publish_changes(&[encoded(OLD + 1, "t", LENGTH)]);
        assert_eq!(send(&mut subscription, &mut chunk).1, Sent::All(Step::Replay { since: 0 }));
        let changes: Vec<Change> = (1..=OLD).map(|seq| change(seq, "t", LENGTH)).collect();
        let page = ChangePage { log: "log".to_owned(), changes, next: OLD, last_seq: OLD };
        let page = Page::render(&page, subscription.filter()).expect("rendered");
        subscription.read(std::future::ready(Ok(page)).boxed());
        subscription.poll_page(&mut Context::from_waker(Waker::noop())).expect("read");
        fanout.publish_changes(&[encoded(OLD + 2, "t", LENGTH)]);

        let mut delivered = Vec::new();
        for _ in 0..5 {
            let (bytes, sent) = send(&mut subscription, &mut chunk);
            delivered.extend(seqs(&bytes));
            if sent == Sent::All(Step::Idle) {
                break;
            }
        }
        assert!(OLD * LENGTH as u64 > CHUNK as u64, "the page fills the chunk");
        assert_eq!(delivered, (1..=OLD + 2).collect::<Vec<u64>>());
    }
}
