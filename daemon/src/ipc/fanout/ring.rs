//! The one bounded ring of serialized lines that all subscribers share.
//!
//! A line is stored once. What a subscriber's filter needs stands beside it, so that nobody parses a line. Old lines make room for
//! new ones, whoever still wanted them: a subscriber that comes too late finds out by its index.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use aesync_protocol::Channel;

use super::filter::Filter;
use super::tally::Tally;

/// What stands beside a line.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Where the line ends, as an offset in the endless stream of all lines.
    pub(super) end: u64,
    /// A change's position; for any other event, that of the last change before it.
    pub(super) seq: u64,
    /// The channel.
    pub(super) channel: Channel,
    /// The entity type that it concerns; none when it concerns all.
    pub(super) entity_type: Option<Arc<str>>,
}

/// The newest line of a channel of which only the newest counts. It is kept apart, since the ring may have dropped it.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) index: u64,
    pub(super) entity_type: Option<Arc<str>>,
    pub(super) line: Arc<[u8]>,
}

/// Where the change feed stands.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// Its identity.
    pub(super) log: Arc<str>,
    /// Counts up whenever the identity changes.
    pub(super) generation: u64,
    /// Its last published position.
    pub(super) last: u64,
}

#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    slots: VecDeque<Slot>,
    /// The offset of the first byte held.
    start: u64,
    /// The index of the first slot held.
    first: u64,
    limit: usize,
    feed: Feed,
    /// All changes after this position, up to the feed's last, are held in slots from `held_from` on.
    held_after: u64,
    held_from: u64,
    status: Option<Newest>,
    progress: Option<Newest>,
    /// Notifications and outbox events that were ever published, and those of them that the ring has dropped.
    published: Tally,
    dropped: Tally,
}

impl Ring {
    pub(super) fn new(limit: usize, log: &str, last: u64) -> Self {
        Self {
            bytes: VecDeque::new(),
            slots: VecDeque::new(),
            start: 0,
            first: 0,
            limit,
            feed: Feed { log: log.into(), generation: 0, last },
            held_after: last,
            held_from: 0,
            status: None,
            progress: None,
            published: Tally::default(),
            dropped: Tally::default(),
        }
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The index of the first line held.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The index that the next line will have.
    pub(super) fn head(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Bytes used, for lines and what stands beside them.
    pub(super) fn used(&self) -> usize {
        self.bytes.len() + self.slots.len() * size_of::<Slot>()
    }

    /// The newest line of `status` or `progress`.
    pub(super) fn newest(&self, channel: Channel) -> Option<&Newest> {
        match channel {
            Channel::Status => self.status.as_ref(),
            Channel::Progress => self.progress.as_ref(),
            Channel::Notification | Channel::Change | Channel::Outbox => None,
        }
    }

    /// How many notifications and outbox events that pass `filter` were ever published.
    pub(super) fn published(&self, filter: &Filter) -> u64 {
        self.published.count(filter)
    }

    /// How many of those the ring has dropped.
    pub(super) fn dropped(&self, filter: &Filter) -> u64 {
        self.dropped.count(filter)
    }

    /// The index of the change `seq`, or of the place where it will come; `None` when the ring does not hold it (any more).
    pub(super) fn index_of_change(&self, seq: u64) -> Option<u64> {
        if seq <= self.held_after {
            return None;
        }
        let from = usize::try_from(self.held_from.saturating_sub(self.first)).ok()?;
        let (mut low, mut high) = (from, self.slots.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.slots.get(middle).is_some_and(|slot| slot.seq < seq) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(self.first + low as u64)
    }

    /// The slots from `index` on, with the offset at which the first one's line begins. `index` must not be before [`Self::first`].
    pub(super) fn slots_from(&self, index: u64) -> (u64, impl Iterator<Item = &Slot>) {
        let skip = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.slots.len());
        let begin = skip.checked_sub(1).and_then(|before| self.slots.get(before)).map_or(self.start, |slot| slot.end);
        (begin, self.slots.range(skip..))
    }

    /// Appends the bytes of whole lines.
    pub(super) fn copy(&self, from: u64, to: u64, out: &mut Vec<u8>) {
        let at = |offset: u64| usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let (from, to) = (at(from), at(to));
        let (front, back) = self.bytes.as_slices();
        let middle = front.len();
        out.extend_from_slice(front.get(from.min(middle)..to.min(middle)).unwrap_or_default());
        out.extend_from_slice(back.get(from.saturating_sub(middle)..to.saturating_sub(middle)).unwrap_or_default());
    }

    /// Takes an event that is no change.
    pub(super) fn push(&mut self, channel: Channel, entity_type: Option<&str>, line: &[u8]) {
        let entity_type = entity_type.map(|name| self.published.shared_name(name));
        match channel {
            Channel::Status => self.status = Some(self.as_newest(entity_type.clone(), line)),
            Channel::Progress => self.progress = Some(self.as_newest(entity_type.clone(), line)),
            Channel::Notification | Channel::Outbox => self.published.add(channel, entity_type.as_ref()),
            Channel::Change => return,
        }
        self.append(channel, entity_type, line);
    }

    /// Takes the changes after the last one: of each its type, and the parts of its line.
    pub(super) fn push_changes<'c>(&mut self, changes: impl ExactSizeIterator<Item = (&'c str, [&'c [u8]; 3])> + Clone) {
        let bytes: usize = changes.clone().flat_map(|(_, parts)| parts).map(<[u8]>::len).sum();
        self.shrink_to(self.limit.saturating_sub(bytes + changes.len() * size_of::<Slot>()));
        self.bytes.reserve(bytes);
        let mut last: Option<Arc<str>> = None;
        for (name, parts) in changes {
            parts.into_iter().for_each(|part| self.bytes.extend(part));
            let known = last.take().filter(|known| **known == *name);
            let name = known.unwrap_or_else(|| self.published.shared_name(name));
            self.feed.last += 1;
            last = Some(Arc::clone(&name));
            let (end, seq) = (self.end(), self.feed.last);
            self.slots.push_back(Slot { end, seq, channel: Channel::Change, entity_type: Some(name) });
        }
        // What does not fit in at all goes at once; those who want it are told as those who come too late.
        self.shrink_to(self.limit);
    }

    /// Moves on to `last` without the changes up to it: nobody listens, or they were never given.
    pub(super) fn pass_changes(&mut self, last: u64) {
        self.feed.last = last;
        self.held_after = last;
        self.held_from = self.head();
    }

    /// A feed of another identity starts.
    pub(super) fn restart_feed(&mut self, log: &str, last: u64) {
        self.feed = Feed { log: log.into(), generation: self.feed.generation + 1, last };
        self.held_after = last;
        self.held_from = self.head();
    }

    /// Drops all lines and gives their memory back: nobody listens.
    pub(super) fn clear(&mut self) {
        self.shrink_to(0);
        self.bytes = VecDeque::new();
        self.slots = VecDeque::new();
    }

    fn as_newest(&self, entity_type: Option<Arc<str>>, line: &[u8]) -> Newest {
        Newest { index: self.head(), entity_type, line: line.into() }
    }

    fn append(&mut self, channel: Channel, entity_type: Option<Arc<str>>, line: &[u8]) {
        self.shrink_to(self.limit.saturating_sub(line.len() + size_of::<Slot>()));
        self.bytes.extend(line);
        self.slots.push_back(Slot { end: self.end(), seq: self.feed.last, channel, entity_type });
        // A line that is larger than the whole ring goes at once; those who want it are told as those who come too late.
        self.shrink_to(self.limit);
    }

    /// The offset at which the next line begins.
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Drops the oldest lines until no more than `most` bytes are used.
    fn shrink_to(&mut self, most: usize) {
        let (end, mut start) = (self.end(), self.start);
        let bytes = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
        let used = |start: u64, slots: usize| bytes(start, end).saturating_add(slots * size_of::<Slot>());
        while used(start, self.slots.len()) > most
            && let Some(slot) = self.slots.pop_front()
        {
            start = slot.end;
            if self.first >= self.held_from {
                self.held_after = slot.seq;
                self.held_from = self.first + 1;
            }
            self.first += 1;
            if matches!(slot.channel, Channel::Notification | Channel::Outbox) {
                self.dropped.add(slot.channel, slot.entity_type.as_ref());
            }
        }
        self.bytes.drain(..bytes(self.start, start).min(self.bytes.len()));
        self.start = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push_change(ring: &mut Ring, line: &[u8]) {
        ring.push_changes([("a", [line, b"", b""])].into_iter());
    }

    fn lines_from(ring: &Ring, index: u64) -> String {
        let (begin, slots) = ring.slots_from(index);
        let mut out = Vec::new();
        if let Some(end) = slots.map(|slot| slot.end).last() {
            ring.copy(begin, end, &mut out);
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines_come_back_whole_also_when_they_wrap_around() {
        let mut ring = Ring::new(4 * (size_of::<Slot>() + 4), "l", 0);
        for number in 0..100 {
            ring.push(Channel::Notification, Some("a"), format!("{number:03}\n").as_bytes());
            let first = ring.first();
            let expected: String = (first..=number).map(|n| format!("{n:03}\n")).collect();
            assert_eq!(lines_from(&ring, first), expected);
            assert!(ring.used() <= 4 * (size_of::<Slot>() + 4));
        }
        assert_eq!((ring.first(), ring.head()), (96, 100));
    }

    #[test]
    fn a_change_is_found_by_its_seq_while_it_is_held() {
        let mut ring = Ring::new(4 * (size_of::<Slot>() + 2), "l", 10);
        assert_eq!(ring.index_of_change(10), None);
        assert_eq!(ring.index_of_change(11), Some(0));
        push_change(&mut ring, b"a\n");
        ring.push(Channel::Status, None, b"s\n");
        push_change(&mut ring, b"b\n");
        assert_eq!([11, 12, 13].map(|seq| ring.index_of_change(seq)), [Some(0), Some(2), Some(3)]);
        for _ in 0..3 {
            ring.push(Channel::Status, None, b"s\n");
        }
        assert_eq!([11, 12, 13].map(|seq| ring.index_of_change(seq)), [None, Some(2), Some(6)]);
        ring.pass_changes(20);
        assert_eq!([12, 20, 21].map(|seq| ring.index_of_change(seq)), [None, None, Some(6)]);
    }

    #[test]
    fn changes_of_an_earlier_feed_are_not_found_in_a_new_one() {
        let mut ring = Ring::new(1 << 16, "old", 100);
        push_change(&mut ring, b"a\n");
        ring.restart_feed("new", 0);
        push_change(&mut ring, b"b\n");
        assert_eq!([0, 1, 2].map(|seq| ring.index_of_change(seq)), [None, Some(1), Some(2)]);
    }

    #[test]
    fn a_line_larger_than_the_ring_is_counted_as_dropped() {
        let mut ring = Ring::new(64, "l", 0);
        ring.push(Channel::Outbox, Some("a"), &[b'x'; 100]);
        push_change(&mut ring, &[b'x'; 100]);
        assert_eq!((ring.used(), ring.first(), ring.head()), (0, 2, 2));
        assert_eq!(ring.index_of_change(1), None);
        let filter = Filter::new(&[Channel::Outbox], None);
        assert_eq!((ring.published(&filter), ring.dropped(&filter)), (1, 1));
    }
}
