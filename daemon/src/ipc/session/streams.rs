//! The socket: what goes in, what comes out.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Session, Stage};

/// How many bytes are read at once.
const READ: usize = 64 * 1024;

/// An empty output buffer that holds more memory than this gives it back.
const KEPT_OUTPUT: usize = 512;

thread_local! {
    /// One read buffer for all connections of a thread: it is empty again before anything else runs.
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

impl<T: AsyncRead + AsyncWrite + Unpin> Session<T> {
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.took = true;
                    self.stalled_since = None;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.blocked = true;
                    if self.answers_wait && self.stalled_since.is_none() {
                        self.stalled_since = Some(Instant::now());
                    }
                    // What is written need not be kept, nor moved for every few bytes.
                    if self.written >= self.out.len() - self.written {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(moved);
                }
            }
        }
        self.written = 0;
        self.blocked = false;
        self.answers_wait = false;
        self.stalled_since = None;
        self.out.clear();
        if self.out.capacity() > KEPT_OUTPUT {
            self.out = Vec::new();
        }
        Ok(moved)
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let discards = matches!(self.stage, Stage::Lingering { .. });
        // Lines that were not taken yet are the reason to read no further.
        let takes = self.stage == Stage::Open && self.may_take();
        if !discards && !takes {
            return Ok(false);
        }
        INPUT.with_borrow_mut(|input| {
            let mut buffer = ReadBuf::new(input);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => Ok(false),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Ready(Ok(())) if discards && buffer.filled().is_empty() => {
                    self.stage = Stage::Lingering { until: Instant::now() };
                    Ok(true)
                }
                Poll::Ready(Ok(())) if discards => Ok(true),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.stage = Stage::HalfClosed { look_again: Instant::now() };
                    Ok(true)
                }
                Poll::Ready(Ok(())) => {
                    self.lines.feed(buffer.filled());
                    Ok(true)
                }
            }
        })
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            // The other end was faster.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            outcome => outcome,
        }
    }
}
