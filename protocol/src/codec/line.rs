//! Bytes to lines.

/// Why a line can't be used. The buffer goes on with the next one; whether the connection does is its owner's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than the limit, in bytes.
    #[error("the message is longer than {limit} bytes; send it in several smaller ones")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Not the encoding that JSON has.
    #[error("the message is not UTF-8: the first bad byte is number {at}; send JSON in UTF-8")]
    NotUtf8 {
        /// The offset of the first bad byte in the line, counted from 1.
        at: usize,
    },
}

/// Splits a stream of bytes into lines. Blank lines are passed over, and a CR before the LF is dropped.
///
/// Holds at most one line of the limit and what the last [`feed`](Self::feed) brought, provided that the lines are taken after each; gives
/// its memory back when it is empty, so that an idle connection costs none.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the first line that was not yet taken begins.
    start: usize,
    /// Up to where the bytes are known to hold no LF.
    scanned: usize,
    limit: usize,
    /// Inside a line whose beginning was already given up.
    skipping: bool,
}

/// An empty buffer that holds more memory than this gives it back: idle connections are many.
const KEPT_CAPACITY: usize = 512;

impl LineBuffer {
    /// A buffer for lines of at most `limit` bytes, without their end.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, scanned: 0, limit, skipping: false }
    }

    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.drop_taken();
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line that is complete, without its end; `None` when more bytes are needed.
    ///
    /// # Errors
    /// For a line that is too long, as soon as that is certain, and for one that is not UTF-8.
    pub fn next_line(&mut self) -> Option<Result<&str, LineError>> {
        loop {
            let Some(end) = self.find_end() else {
                return self.give_up_a_long_line().map(Err);
            };
            let line = self.start..end;
            self.start = end + 1;
            self.scanned = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let bytes = without_cr(self.bytes.get(line.clone()).unwrap_or_default());
            if bytes.len() > self.limit {
                return Some(Err(LineError::TooLong { limit: self.limit }));
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let kept = line.start..line.start + bytes.len();
            return Some(as_text(self.bytes.get(kept).unwrap_or_default()));
        }
    }

    /// What is left when the stream has ended: a last line without its LF.
    ///
    /// # Errors
    /// As [`next_line`](Self::next_line).
    pub fn finish(&mut self) -> Option<Result<&str, LineError>> {
        if self.start < self.bytes.len() {
            self.feed(b"\n");
        }
        self.next_line()
    }

    /// True when no part of a line is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len() && !self.skipping
    }

    fn find_end(&mut self) -> Option<usize> {
        let found = memchr::memchr(b'\n', self.bytes.get(self.scanned..).unwrap_or_default());
        match found {
            Some(offset) => Some(self.scanned + offset),
            None => {
                self.scanned = self.bytes.len();
                None
            }
        }
    }

    /// The line under way is already longer than the limit and a CR: drop what is there, and the rest of it as it comes.
    fn give_up_a_long_line(&mut self) -> Option<LineError> {
        let too_long = self.bytes.len() - self.start > self.limit.saturating_add(1);
        if too_long || self.skipping {
            self.start = self.bytes.len();
            self.drop_taken();
        }
        if too_long && !std::mem::replace(&mut self.skipping, true) {
            return Some(LineError::TooLong { limit: self.limit });
        }
        if self.start == self.bytes.len() {
            self.drop_taken();
        }
        None
    }

    fn drop_taken(&mut self) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_CAPACITY {
                self.bytes = Vec::new();
            }
        } else if self.start > 0 {
            self.bytes.drain(..self.start);
        }
        self.scanned = self.scanned.saturating_sub(self.start).min(self.bytes.len());
        self.start = 0;
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn as_text(line: &[u8]) -> Result<&str, LineError> {
    std::str::from_utf8(line).map_err(|error| LineError::NotUtf8 { at: error.valid_up_to() + 1 })
}
