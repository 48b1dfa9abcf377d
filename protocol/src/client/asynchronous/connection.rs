//! The stream below the asynchronous client: lines in, requests out.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::timeout;

use crate::client::MAX_ANSWER;
use crate::client::transport::{AsyncStream, connect};
use crate::codec::LineBuffer;

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// Holds at most one line of the daemon's and the chunk that ended it, and what was given to [`send`](Self::send).
#[derive(Debug)]
pub(super) struct Connection {
    stream: AsyncStream,
    lines: LineBuffer,
    unsent: Vec<u8>,
    /// How much of `unsent` is gone already.
    sent: usize,
}

impl Connection {
    pub(super) async fn open(path: &Path, limit: Duration) -> io::Result<Self> {
        let stream = timeout(limit, connect(path)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Self { stream, lines: LineBuffer::new(MAX_ANSWER), unsent: Vec::new(), sent: 0 })
    }

    pub(super) fn lines(&mut self) -> &mut LineBuffer {
        &mut self.lines
    }

    /// Gives it a request to write; [`poll_flush`](Self::poll_flush) does it.
    pub(super) fn send(&mut self, mut line: Vec<u8>) {
        self.unsent.append(&mut line);
    }

    /// Writes what is to be written. After a failure nothing is left of it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = loop {
            let rest = self.unsent.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest)) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) => break Err(error),
            }
        };
        // A large request's memory is not kept for the next one.
        (self.unsent, self.sent) = (Vec::new(), 0);
        Poll::Ready(outcome)
    }

    /// Reads once into the lines and tells how many bytes came; 0 at the end of the stream.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.lines.feed(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}
