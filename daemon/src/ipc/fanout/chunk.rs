//! Whole lines on their way into a socket, with the places at which one can stop.

use std::ops::Range;

use super::cursor::Cursor;
use super::ring::Ring;

/// How many bytes lie between two marks, roughly: what a stalled subscriber keeps of a chunk is one such stretch.
const MARK_EVERY: usize = 4096;

/// How many bytes one write takes at most, roughly.
pub(super) const CHUNK: usize = 64 * 1024;

/// Lines, and where the subscriber stands after some of them. It belongs to the thread, not to a subscriber, and is filled and written in
/// one go; what the socket does not take stays in the ring.
///
/// Most often all that is to be written stands in the ring in one stretch. It is written from there, so that it is not copied for each
/// subscriber. Whoever fills a chunk and reads it must hold on to one state of the ring meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    /// The offsets in the ring of the lines that follow `bytes`.
    shared: Range<u64>,
    marks: Vec<(usize, Cursor)>,
}

impl Chunk {
    pub(super) fn clear(&mut self) {
        // A chunk holds a line of any length; don't keep what a long one needed.
        if self.bytes.capacity() > 4 * CHUNK {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.shared = 0..0;
        self.marks.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() + usize::try_from(self.shared.end - self.shared.start).unwrap_or(usize::MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= CHUNK
    }

    /// The end of what is here, to append lines that are not in the ring.
    pub(super) fn end(&mut self, ring: &Ring) -> &mut Vec<u8> {
        let shared = std::mem::replace(&mut self.shared, 0..0);
        ring.copy(&shared, &mut self.bytes);
        &mut self.bytes
    }

    /// Appends whole lines of the ring.
    pub(super) fn take(&mut self, ring: &Ring, lines: Range<u64>) {
        if self.shared.end != lines.start {
            self.end(ring);
            self.shared.start = lines.start;
        }
        self.shared.end = lines.end;
    }

    /// What is to be written, in three pieces of which most are empty.
    pub(super) fn pieces<'a>(&'a self, ring: &'a Ring) -> [&'a [u8]; 3] {
        let (front, back) = ring.slices(&self.shared);
        [&self.bytes, front, back]
    }

    /// How many bytes may follow before the next mark.
    pub(super) fn until_mark(&self) -> usize {
        let last = self.marks.last().map_or(0, |(end, _)| *end);
        (last + MARK_EVERY).saturating_sub(self.len())
    }

    /// Notes that the subscriber stands at `cursor` once all that is here was written.
    pub(super) fn mark(&mut self, cursor: Cursor) {
        self.marks.push((self.len(), cursor));
    }

    /// When only `written` bytes were taken: appends what must still follow them to end on a whole line, and tells where the subscriber
    /// stands then.
    pub(super) fn rest(&self, ring: &Ring, written: usize, out: &mut Vec<u8>) -> Option<Cursor> {
        let (end, cursor) = self.marks.iter().find(|(end, _)| *end >= written)?;
        let own = self.bytes.len();
        out.extend_from_slice(self.bytes.get(written..(*end).min(own)).unwrap_or_default());
        let in_ring = |place: usize| self.shared.start + place.saturating_sub(own) as u64;
        ring.copy(&(in_ring(written)..in_ring(*end)), out);
        Some(*cursor)
    }
}
