//! Unix domain sockets.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::traits::Stream as _;
use interprocess::local_socket::{ConnectOptions, GenericFilePath, Stream, ToFsName as _};

use crate::codec::LineBuffer;

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;
/// How long to wait before knocking again at a daemon whose queue of new connections is full.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// The blocking stream, with deadlines.
#[derive(Debug)]
pub(in crate::client) struct Transport {
    stream: Stream,
    send: Armed,
    receive: Armed,
}

/// The timeout that a socket has. It is set anew only when it has to be: that is a call into the system for each line.
#[derive(Debug, Default)]
struct Armed(Cell<Option<Duration>>);

impl Armed {
    /// Lets the socket give up before the deadline, or at it: who is woken too early looks at the deadline, and waits again.
    fn keep(&self, deadline: Option<Instant>, set: impl Fn(Option<Duration>) -> io::Result<()>) -> io::Result<()> {
        let left = deadline.map(time_left).transpose()?;
        let is_kept = match (self.0.get(), left) {
            (None, None) => true,
            (Some(armed), Some(left)) => armed <= left && armed >= left / 2,
            _ => false,
        };
        if !is_kept {
            set(left)?;
            self.0.set(left);
        }
        Ok(())
    }
}

impl Transport {
    pub(in crate::client) fn connect(path: &Path, deadline: Option<Instant>) -> io::Result<Self> {
        let name = path.to_fs_name::<GenericFilePath>()?;
        loop {
            let left = deadline.map(time_left).transpose()?;
            let mode = left.map_or(ConnectWaitMode::Unbounded, ConnectWaitMode::Timeout);
            let stream = ConnectOptions::new().name(name.clone()).wait_mode(mode).connect_sync()?;
            if connected(&stream) {
                return Ok(Self { stream, send: Armed::default(), receive: Armed::default() });
            }
            std::thread::sleep(FULL_QUEUE_PAUSE);
        }
    }

    /// Writes all of it. Without a deadline it may wait for ever.
    pub(in crate::client) fn send(&self, mut bytes: &[u8], deadline: Option<Instant>) -> io::Result<()> {
        while !bytes.is_empty() {
            self.send.keep(deadline, |left| self.stream.set_send_timeout(left))?;
            match (&self.stream).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) => retry(error)?,
            }
        }
        Ok(())
    }

    /// Reads once into `lines` and tells how many bytes came; 0 at the end of the stream.
    pub(in crate::client) fn receive(&self, lines: &mut LineBuffer, deadline: Option<Instant>) -> io::Result<usize> {
        let mut chunk = [0; CHUNK];
        loop {
            self.receive.keep(deadline, |left| self.stream.set_recv_timeout(left))?;
            match (&self.stream).read(&mut chunk) {
                Ok(count) => {
                    lines.feed(chunk.get(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) => retry(error)?,
            }
        }
    }
}

/// A connection attempt at a full queue is reported as done although nothing is connected: `connect` does not go on in the background
/// for Unix sockets, and polling such a socket finds it ready.
fn connected(stream: &Stream) -> bool {
    let Stream::UdSocket(stream) = stream;
    stream.inner().peer_addr().is_ok()
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Passes over interruptions; a timeout of the socket is left to the next look at the deadline.
fn retry(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(()),
        _ => Err(error),
    }
}

/// The asynchronous stream. tokio's own type: it asks the kernel for readiness once less for every line than interprocess's wrapper.
#[cfg(feature = "client")]
pub(in crate::client) type AsyncStream = tokio::net::UnixStream;

/// Connects, and waits for as long as the daemon's queue of new connections is full.
#[cfg(feature = "client")]
pub(in crate::client) async fn connect(path: &Path) -> io::Result<AsyncStream> {
    loop {
        match AsyncStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(FULL_QUEUE_PAUSE).await,
            done => return done,
        }
    }
}
