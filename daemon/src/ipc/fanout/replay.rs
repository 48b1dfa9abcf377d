//! Changes from the durable feed, for subscribers that resume or that fell out of the ring.

use std::sync::Arc;

use aesync_protocol::codec::write_change;
use aesync_protocol::response::ChangePage;

use super::chunk::Chunk;
use super::cursor::{Cursor, hold_back};
use super::filter::Filter;
use super::ring::Ring;

/// A page of the durable feed as lines. It is made where the page was read, off the connections' threads.
#[derive(Debug)]
pub(crate) struct Page {
    log: Arc<str>,
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    seq: u64,
    /// Where it ends in the page's bytes; where the one before it ends, if the filter holds it back.
    end: usize,
    passes: bool,
}

impl Page {
    /// # Errors
    /// When a change can't be written as JSON.
    pub(crate) fn render(page: &ChangePage, filter: &Filter) -> serde_json::Result<Self> {
        let mut bytes = Vec::new();
        let mut lines = Vec::with_capacity(page.changes.len());
        for change in &page.changes {
            let passes = filter.passes(Some(&change.entity_type));
            if passes {
                write_change(&mut bytes, change)?;
            }
            lines.push(Line { seq: change.seq, end: bytes.len(), passes });
        }
        Ok(Self { log: page.log.as_str().into(), bytes, lines })
    }

    /// Whether the page belongs to this feed and brings the subscriber further.
    pub(super) fn continues(&self, log: &str, cursor: &Cursor) -> bool {
        *self.log == *log && self.lines.last().is_some_and(|line| line.seq >= cursor.next)
    }

    /// Appends the lines that the subscriber does not have yet.
    pub(super) fn advance(&self, ring: &Ring, cursor: &mut Cursor, chunk: &mut Chunk) {
        let mut begin = 0;
        for line in &self.lines {
            if line.seq >= cursor.next {
                cursor.next = line.seq + 1;
                if line.passes {
                    cursor.held_back = 0;
                    chunk.end(ring).extend_from_slice(self.bytes.get(begin..line.end).unwrap_or_default());
                } else {
                    hold_back(ring, cursor, chunk);
                }
                if chunk.until_mark() == 0 {
                    chunk.mark(*cursor);
                }
            }
            begin = line.end;
        }
    }
}
