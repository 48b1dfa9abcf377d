//! Whole lines on their way into a socket, with the places at which one can stop.

use super::cursor::Cursor;

/// How many bytes lie between two marks, roughly: what a stalled subscriber keeps of a chunk is one such stretch.
const MARK_EVERY: usize = 4096;

/// How many bytes one write takes at most, roughly.
pub(super) const CHUNK: usize = 64 * 1024;

/// Lines, and where the subscriber stands after some of them. It belongs to the thread, not to a subscriber, and is filled and written in
/// one go; what the socket does not take stays in the ring.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(super) bytes: Vec<u8>,
    marks: Vec<(usize, Cursor)>,
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        // A chunk holds a line of any length; don't keep what a long one needed.
        if self.bytes.capacity() > 4 * CHUNK {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.marks.clear();
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK
    }

    /// How many bytes may follow before the next mark.
    pub(super) fn until_mark(&self) -> usize {
        let last = self.marks.last().map_or(0, |(end, _)| *end);
        (last + MARK_EVERY).saturating_sub(self.bytes.len())
    }

    /// Notes that the subscriber stands at `cursor` once all that is here was written.
    pub(super) fn mark(&mut self, cursor: Cursor) {
        self.marks.push((self.bytes.len(), cursor));
    }

    /// When only `written` bytes were taken: what must still follow them to end on a whole line, and where the subscriber stands then.
    pub(crate) fn rest(&self, written: usize) -> Option<(&[u8], Cursor)> {
        let (end, cursor) = self.marks.iter().find(|(end, _)| *end >= written)?;
        Some((self.bytes.get(written..*end).unwrap_or_default(), *cursor))
    }
}
