//! Where a subscriber stands, and how it moves on through the ring.

use aesync_protocol::codec::write_event;
use aesync_protocol::{Channel, Event};

use super::chunk::Chunk;
use super::filter::Filter;
use super::ring::{Ring, Slot};

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
pub(super) fn checkpoint(cursor: &mut Cursor, chunk: &mut Chunk) {
    cursor.held_back = 0;
    line(&Event::Checkpoint { seq: cursor.next.saturating_sub(1) }, chunk);
    chunk.mark(*cursor);
}

/// Counts a change that the filter held back.
pub(super) fn hold_back(cursor: &mut Cursor, chunk: &mut Chunk) {
    cursor.held_back = cursor.held_back.saturating_add(1);
    if cursor.held_back >= CHECKPOINT_CHANGES {
        checkpoint(cursor, chunk);
    }
}

/// The ring has dropped lines that the subscriber did not have yet.
fn fall_out(ring: &Ring, filter: &Filter, cursor: &mut Cursor, chunk: &mut Chunk) {
    let dropped = ring.dropped(filter).saturating_sub(cursor.passed);
    if dropped > 0 {
        cursor.passed += dropped;
        line(&Event::Lagged { dropped }, chunk);
    }
    for channel in [Channel::Status, Channel::Progress] {
        if let Some(newest) = ring.newest(channel)
            && (cursor.at..ring.first()).contains(&newest.index)
            && filter.wants(channel)
            && filter.passes(newest.entity_type.as_deref())
        {
            chunk.bytes.extend_from_slice(&newest.line);
        }
    }
    cursor.at = ring.first();
    cursor.live = false;
    chunk.mark(*cursor);
}

fn line(event: &Event, chunk: &mut Chunk) {
    if let Err(error) = write_event(&mut chunk.bytes, event) {
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

/// Lines next to each other that are copied at once.
struct Run {
    begin: u64,
    end: u64,
}

impl Walk<'_> {
    /// Goes on from `cursor.at`; true when the chunk became full.
    fn pass(&mut self, cursor: &mut Cursor, scope: Scope) -> bool {
        let (begin, slots) = self.ring.slots_from(cursor.at);
        let mut run = Run { begin, end: begin };
        for slot in slots {
            if self.is_full(cursor, &mut run) {
                return true;
            }
            let index = cursor.at;
            cursor.at += 1;
            let wanted = match slot.channel {
                Channel::Change if scope == Scope::AllButChanges => false,
                Channel::Change => self.takes_change(cursor, slot, &mut run),
                _ => self.takes(cursor, slot, index),
            };
            self.extend(&mut run, slot, wanted, cursor);
        }
        self.copy(&mut run);
        self.chunk.mark(*cursor);
        false
    }

    /// Delivers the changes from index `from` on that lie before `cursor.at`; true when the chunk became full.
    fn pass_changes_between(&mut self, cursor: &mut Cursor, from: u64) -> bool {
        let (begin, slots) = self.ring.slots_from(from);
        let mut run = Run { begin, end: begin };
        for slot in slots.take(usize::try_from(cursor.at.saturating_sub(from)).unwrap_or(usize::MAX)) {
            if self.is_full(cursor, &mut run) {
                return true;
            }
            let wanted = slot.channel == Channel::Change && self.takes_change(cursor, slot, &mut run);
            self.extend(&mut run, slot, wanted, cursor);
        }
        self.copy(&mut run);
        self.chunk.mark(*cursor);
        false
    }

    /// Whether nothing more fits; then what was taken is in the chunk. To be asked before a line is taken: a page may have filled the chunk.
    fn is_full(&mut self, cursor: &Cursor, run: &mut Run) -> bool {
        let is_full = self.chunk.is_full();
        if is_full {
            self.copy(run);
            self.chunk.mark(*cursor);
        }
        is_full
    }

    fn takes_change(&mut self, cursor: &mut Cursor, slot: &Slot, run: &mut Run) -> bool {
        // The durable feed may have been ahead of the ring.
        if slot.seq < cursor.next {
            return false;
        }
        cursor.next = slot.seq + 1;
        let passes = self.filter.passes(slot.entity_type.as_deref());
        if passes {
            cursor.held_back = 0;
        } else {
            self.copy(run);
            hold_back(cursor, self.chunk);
        }
        passes
    }

    fn takes(&self, cursor: &mut Cursor, slot: &Slot, index: u64) -> bool {
        if !self.filter.wants(slot.channel) || !self.filter.passes(slot.entity_type.as_deref()) {
            return false;
        }
        match slot.channel {
            Channel::Status | Channel::Progress => {
                !self.newest_only || self.ring.newest(slot.channel).is_none_or(|newest| newest.index == index)
            }
            Channel::Notification | Channel::Outbox => {
                cursor.passed += 1;
                true
            }
            Channel::Change => false,
        }
    }

    /// Takes the line into the run, or ends the run before it.
    fn extend(&mut self, run: &mut Run, slot: &Slot, wanted: bool, cursor: &Cursor) {
        if wanted {
            run.end = slot.end;
            let length = usize::try_from(run.end - run.begin).unwrap_or(usize::MAX);
            if length >= self.chunk.until_mark() {
                self.copy(run);
                self.chunk.mark(*cursor);
            }
        } else {
            self.copy(run);
            *run = Run { begin: slot.end, end: slot.end };
        }
    }

    fn copy(&mut self, run: &mut Run) {
        if run.end > run.begin {
            self.ring.copy(run.begin, run.end, &mut self.chunk.bytes);
            run.begin = run.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use aesync_protocol::codec::EncodedChange;
    use aesync_protocol::event::{ChangeOp, Origin};
    use aesync_protocol::response::ChangePage;
    use aesync_protocol::{Change, Timestamp};
    use futures_util::future::FutureExt as _;

    use super::super::chunk::CHUNK;
    use super::super::{Fanout, Page};
    use super::*;

    fn change(seq: u64) -> Change {
        let (entity_type, id) = ("t".to_owned(), seq.to_string());
        let record = serde_json::json!({ "id": id, "text": "x".repeat(400) }).as_object().cloned();
        let at = Timestamp::EPOCH;
        Change { seq, op: ChangeOp::Upsert, entity_type, id, record, origin: Origin::Server, pending: false, at }
    }

    fn encoded(seq: u64) -> EncodedChange {
        EncodedChange::new(change(seq)).expect("JSON")
    }

    fn seqs(chunk: &Chunk) -> Vec<u64> {
        let text = String::from_utf8(chunk.bytes.clone()).expect("UTF-8");
        let seq = |line: &str| line.split("\"seq\":").nth(1)?.split(',').next()?.parse().ok();
        text.lines().filter_map(seq).collect()
    }

    #[test]
    fn a_live_change_behind_a_page_that_fills_the_chunk_is_not_lost() {
        const OLD: u64 = 300;
        let fanout = Fanout::new(1 << 20, "log", OLD);
        let mut subscription = fanout.subscribe(Filter::new(&[Channel::Change], None));
        subscription.replay_from(0);
        let mut chunk = Chunk::default();
        assert_eq!(subscription.fill(&mut chunk), Step::Replay { since: 0 });
        // It comes while the page is read, and is passed over until the page is there.
        fanout.publish_changes(&[encoded(OLD + 1)]);
        assert_eq!(subscription.fill(&mut chunk), Step::Replay { since: 0 });
        let changes: Vec<Change> = (1..=OLD).map(change).collect();
        let page = ChangePage { log: "log".to_owned(), changes, next: OLD, last_seq: OLD };
        let page = Page::render(&page, subscription.filter()).expect("rendered");
        subscription.read(std::future::ready(Ok(page)).boxed());
        subscription.poll_page(&mut Context::from_waker(Waker::noop())).expect("read");
        fanout.publish_changes(&[encoded(OLD + 2)]);

        let mut delivered = Vec::new();
        for _ in 0..5 {
            chunk.clear();
            let step = subscription.fill(&mut chunk);
            delivered.extend(seqs(&chunk));
            if step == Step::Idle {
                break;
            }
        }
        assert!(OLD * 400 > CHUNK as u64, "the page fills the chunk");
        assert_eq!(delivered, (1..=OLD + 2).collect::<Vec<u64>>());
    }
}
