//! Named pipes.
//!
//! A pipe is opened here and not by interprocess's own client, for two reasons. The daemon's access list lets ordinary users read and
//! write but not make further instances of its pipe, and the right `GENERIC_WRITE` includes that one. And whoever took the name before
//! the daemon may learn who the caller is, but not act as the caller.
//!
//! A pipe knows no timeouts, so that the blocking stream is the asynchronous one with a runtime of its own.

use std::fs::OpenOptions;
use std::future::{Future, poll_fn};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use interprocess::os::windows::named_pipe::local_socket::tokio::Stream;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::runtime::Runtime;

use crate::codec::LineBuffer;

/// Generic reading and writing without `FILE_CREATE_PIPE_INSTANCE`.
const ACCESS: u32 = 0x0012_019b;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;
/// With the flag that says that it is meant.
const SECURITY_IDENTIFICATION: u32 = 0x0011_0000;
const ERROR_PIPE_BUSY: i32 = 231;

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;
/// How long to wait before knocking again at a daemon that has no free instance of its pipe at this moment.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The asynchronous stream.
pub(in crate::client) type AsyncStream = Stream;

/// Connects, and waits for as long as all instances of the pipe are taken.
pub(in crate::client) async fn connect(path: &Path) -> io::Result<AsyncStream> {
    loop {
        let opened = OpenOptions::new()
            .access_mode(ACCESS)
            .custom_flags(FILE_FLAG_OVERLAPPED)
            .security_qos_flags(SECURITY_IDENTIFICATION)
            .open(path);
        match opened {
            Ok(pipe) => return Stream::try_from(OwnedHandle::from(pipe)).map_err(io::Error::from),
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => tokio::time::sleep(BUSY_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

/// The blocking stream, with deadlines.
#[derive(Debug)]
pub(in crate::client) struct Transport {
    stream: Stream,
    runtime: Runtime,
}

impl Transport {
    pub(in crate::client) fn connect(path: &Path, deadline: Option<Instant>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(within(deadline, connect(path)))?;
        Ok(Self { stream, runtime })
    }

    /// Writes all of it. Without a deadline it may wait for ever.
    pub(in crate::client) fn send(&self, mut bytes: &[u8], deadline: Option<Instant>) -> io::Result<()> {
        self.runtime.block_on(within(deadline, async {
            while !bytes.is_empty() {
                match poll_fn(|cx| Pin::new(&mut &self.stream).poll_write(cx, bytes)).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => bytes = bytes.get(written..).unwrap_or_default(),
                }
            }
            Ok(())
        }))
    }

    /// Reads once into `lines` and tells how many bytes came; 0 at the end of the stream.
    pub(in crate::client) fn receive(&self, lines: &mut LineBuffer, deadline: Option<Instant>) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        let read = poll_fn(|cx| Pin::new(&mut &self.stream).poll_read(cx, &mut buffer));
        match self.runtime.block_on(within(deadline, read)) {
            // The other end closed it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
            read => read?,
        }
        lines.feed(buffer.filled());
        Ok(buffer.filled().len())
    }
}

async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match deadline {
        None => work.await,
        Some(deadline) => {
            let ended = tokio::time::timeout_at(tokio::time::Instant::from_std(deadline), work).await;
            ended.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
    }
}
