//! The one bounded ring of serialized lines that all subscribers share.
//!
//! A line is stored once. What a subscriber's filter needs stands beside the lines of one kind, so that nobody parses a line. Old lines make
//! room for new ones, whoever still wanted them: a subscriber that comes too late finds out by its index.

use std::collections::VecDeque;
use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use aesync_protocol::Channel;

use super::filter::Filter;
use super::tally::Tally;

/// Lines next to each other that are of one kind: what a subscriber's filter asks is asked once for all of them. Of changes, the seqs follow
/// one another.
#[derive(Debug)]
struct Stretch {
    /// The index of its first line, whether that is still held or not.
    first: u64,
    /// The seq of its first line if these are changes; for any other event, that of the last change before it.
    seq: u64,
    channel: Channel,
    /// The entity type that they concern; none when they concern all.
    entity_type: Option<Arc<str>>,
}

impl Stretch {
    /// The seq of the line `index`, which must be in it.
    fn seq_at(&self, index: u64) -> u64 {
        match self.channel {
            Channel::Change => self.seq + index.saturating_sub(self.first),
            _ => self.seq,
        }
    }
}

/// A stretch as far as it was asked for.
#[derive(Debug)]
pub(super) struct Span<'a> {
    /// The indices of its lines.
    pub(super) lines: Range<u64>,
    /// The seq of its first line if these are changes, the others' following; for any other event, that of the last change before it.
    pub(super) seq: u64,
    pub(super) channel: Channel,
    /// The entity type that they concern; none when they concern all.
    pub(super) entity_type: Option<&'a str>,
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
    /// Where each line ends, as an offset in the endless stream of all lines.
    ends: VecDeque<u64>,
    /// What the lines are. Of the first one, the first lines may be gone.
    stretches: VecDeque<Stretch>,
    /// The offset of the first byte held.
    start: u64,
    /// The index of the first line held.
    first: u64,
    limit: usize,
    feed: Feed,
    /// All changes after this position, up to the feed's last, are held from the index `held_from` on.
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
            ends: VecDeque::new(),
            stretches: VecDeque::new(),
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
        self.first + self.ends.len() as u64
    }

    /// Bytes used, for lines and what stands beside them.
    pub(super) fn used(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u64>() + self.stretches.len() * size_of::<Stretch>()
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
        let (mut low, mut high) = (self.stretch_of(self.held_from), self.stretches.len());
        while low < high {
            let middle = low.midpoint(high);
            let last = self.end_of(middle).saturating_sub(1);
            if self.stretches.get(middle).is_some_and(|stretch| stretch.seq_at(last) < seq) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(stretch) = self.stretches.get(low) else { return Some(self.head()) };
        Some((stretch.first + seq.saturating_sub(stretch.seq)).max(self.held_from))
    }

    /// Which stretch holds the line `index`.
    fn stretch_of(&self, index: u64) -> usize {
        self.stretches.partition_point(|stretch| stretch.first <= index).saturating_sub(1)
    }

    /// The index after the last line of a stretch.
    fn end_of(&self, stretch: usize) -> u64 {
        self.stretches.get(stretch + 1).map_or(self.head(), |next| next.first)
    }

    /// The lines from `index` on, in their order. `index` must not be before [`Self::first`].
    pub(super) fn spans_from(&self, index: u64) -> impl Iterator<Item = Span<'_>> {
        let from = self.stretch_of(index);
        self.stretches.range(from..).enumerate().map(move |(number, stretch)| {
            let start = stretch.first.max(index);
            Span {
                lines: start..self.end_of(from + number),
                seq: stretch.seq_at(start),
                channel: stretch.channel,
                entity_type: stretch.entity_type.as_deref(),
            }
        })
    }

    /// The offset at which the line `index` begins, and where it and those after it end. `index` must not be before [`Self::first`].
    pub(super) fn ends_from(&self, index: u64) -> (u64, impl Iterator<Item = u64>) {
        let skip = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.ends.len());
        let begin = skip.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(self.start, |end| *end);
        (begin, self.ends.range(skip..).copied())
    }

    /// What stands at these offsets, in two pieces.
    pub(super) fn slices(&self, range: &Range<u64>) -> (&[u8], &[u8]) {
        let at = |offset: u64| usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let (from, to) = (at(range.start), at(range.end));
        let (front, back) = self.bytes.as_slices();
        let middle = front.len();
        (
            front.get(from.min(middle)..to.min(middle)).unwrap_or_default(),
            back.get(from.saturating_sub(middle)..to.saturating_sub(middle)).unwrap_or_default(),
        )
    }

    /// Appends what stands at these offsets.
    pub(super) fn copy(&self, range: &Range<u64>, out: &mut Vec<u8>) {
        let (front, back) = self.slices(range);
        out.extend_from_slice(front);
        out.extend_from_slice(back);
    }

    /// Takes an event that is no change.
    pub(super) fn push(&mut self, channel: Channel, entity_type: Option<&str>, line: &[u8]) {
        match channel {
            Channel::Status => self.status = Some(self.as_newest(entity_type, line)),
            Channel::Progress => self.progress = Some(self.as_newest(entity_type, line)),
            Channel::Notification | Channel::Outbox => {
                let name = entity_type.map(|name| self.published.shared_name(name));
                self.published.add(channel, name.as_ref());
            }
            Channel::Change => return,
        }
        self.shrink_to(self.limit.saturating_sub(line.len() + size_of::<u64>()));
        self.enter(channel, entity_type);
        self.append(line);
        // A line that is larger than the whole ring goes at once; those who want it are told as those who come too late.
        self.shrink_to(self.limit);
    }

    /// Takes the changes after the last one: of each its type and its line.
    pub(super) fn push_changes<'c>(&mut self, changes: impl ExactSizeIterator<Item = (&'c str, &'c [u8])> + Clone) {
        let bytes: usize = changes.clone().map(|(_, line)| line.len()).sum();
        self.shrink_to(self.limit.saturating_sub(bytes + changes.len() * size_of::<u64>()));
        self.bytes.reserve(bytes);
        self.ends.reserve(changes.len());
        let mut former = None;
        for (name, line) in changes {
            self.feed.last += 1;
            // Most often all are of one type.
            if former != Some(name) {
                self.enter(Channel::Change, Some(name));
                former = Some(name);
            }
            self.append(line);
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
        self.ends = VecDeque::new();
        self.stretches = VecDeque::new();
    }

    fn as_newest(&mut self, entity_type: Option<&str>, line: &[u8]) -> Newest {
        let entity_type = entity_type.map(|name| self.published.shared_name(name));
        Newest { index: self.head(), entity_type, line: line.into() }
    }

    /// Begins a stretch for the next line, unless the last one goes on with it. A change is the feed's last.
    fn enter(&mut self, channel: Channel, entity_type: Option<&str>) {
        let (index, seq) = (self.head(), self.feed.last);
        let goes_on = self.stretches.back().is_some_and(|last| {
            last.channel == channel && last.entity_type.as_deref() == entity_type && last.seq_at(index) == seq
        });
        if !goes_on {
            let entity_type = entity_type.map(|name| self.published.shared_name(name));
            self.stretches.push_back(Stretch { first: index, seq, channel, entity_type });
        }
    }

    /// Appends a line to the last stretch.
    fn append(&mut self, line: &[u8]) {
        self.bytes.extend(line);
        self.ends.push_back(self.end());
    }

    /// The offset at which the next line begins.
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Drops the oldest lines until no more than `most` bytes are used.
    fn shrink_to(&mut self, most: usize) {
        let mut start = self.start;
        let gone = |start: u64, ring: &Self| usize::try_from(start - ring.start).unwrap_or(usize::MAX);
        while self.used().saturating_sub(gone(start, self)) > most
            && let Some(end) = self.ends.pop_front()
        {
            start = end;
            let index = self.first;
            self.first += 1;
            let Some(stretch) = self.stretches.front() else { continue };
            if index >= self.held_from {
                self.held_after = stretch.seq_at(index);
                self.held_from = self.first;
            }
            if matches!(stretch.channel, Channel::Notification | Channel::Outbox) {
                self.dropped.add(stretch.channel, stretch.entity_type.as_ref());
            }
            if self.end_of(0) <= self.first {
                self.stretches.pop_front();
            }
        }
        self.bytes.drain(..gone(start, self).min(self.bytes.len()));
        self.start = start;
    }
}

#[cfg(test)]
mod tests;
