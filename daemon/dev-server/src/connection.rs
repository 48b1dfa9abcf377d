//! TCP connections that can be cut, stalled or closed for idleness from outside.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

/// A websocket close frame with status 1000, as `io.close()` of the real server sends it.
const CLOSE_FRAME: &[u8] = &[0x88, 0x02, 0x03, 0xe8];
/// A websocket text frame that holds an engine.io message, whose socket.io packet type does not exist.
const MALFORMED_FRAME: &[u8] = b"\x81\x0249";

/// A handle on one TCP connection; every request on it carries a clone.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    severed: AtomicBool,
    stalled: AtomicBool,
    activity: Mutex<Activity>,
}

#[derive(Debug, Default)]
struct Activity {
    upgraded: bool,
    in_flight: usize,
    /// When the last bytes of an answer left; `None` before the first answer and while the client does not read.
    idle_since: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Bytes to be sent past the server's own code.
    injected: &'static [u8],
    sever_then: bool,
}

/// Keeps a connection from counting as idle.
#[derive(Debug)]
pub(crate) struct InFlight(Connection);

impl Connection {
    fn new() -> Self {
        Self(Arc::new(Shared::default()))
    }

    /// Ends the connection without sending another byte.
    pub(crate) fn sever(&self) {
        self.0.severed.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// From now on nothing is read or written, and nothing is closed.
    pub(crate) fn stall(&self) {
        self.0.stalled.store(true, Ordering::SeqCst);
    }

    /// Sends a websocket close frame and nothing else, then ends the connection.
    pub(crate) fn close_websocket(&self) {
        self.inject(CLOSE_FRAME, true);
    }

    /// Sends a frame that no client can parse; the connection stays open.
    pub(crate) fn send_malformed(&self) {
        self.inject(MALFORMED_FRAME, false);
    }

    fn inject(&self, bytes: &'static [u8], sever_then: bool) {
        let mut activity = self.activity();
        activity.injected = bytes;
        activity.sever_then = sever_then;
        drop(activity);
        self.wake();
    }

    /// Marks the connection as a websocket, which no idle time ends.
    pub(crate) fn upgraded(&self) {
        self.activity().upgraded = true;
    }

    pub(crate) fn begin(&self) -> InFlight {
        self.activity().in_flight += 1;
        InFlight(self.clone())
    }

    fn wake(&self) {
        let mut activity = self.activity();
        let wakers = [activity.reader.take(), activity.writer.take()];
        drop(activity);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn is_severed(&self) -> bool {
        self.0.severed.load(Ordering::SeqCst)
    }

    fn is_stalled(&self) -> bool {
        self.0.stalled.load(Ordering::SeqCst)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.in_flight = activity.in_flight.saturating_sub(1);
        activity.idle_since = Some(Instant::now());
        let reader = activity.reader.take();
        drop(activity);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Accepts [`Stream`]s.
pub(crate) struct Port {
    listener: TcpListener,
    keep_alive: Duration,
}

impl Port {
    pub(crate) fn new(listener: TcpListener, keep_alive: Duration) -> Self {
        Self { listener, keep_alive }
    }
}

impl Listener for Port {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        let (tcp, peer) = Listener::accept(&mut self.listener).await;
        // Without it a small answer waits for the client's delayed acknowledgement.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection could not be set to send at once");
        }
        let idle = Box::pin(tokio::time::sleep(self.keep_alive));
        (Stream { tcp, connection: Connection::new(), keep_alive: self.keep_alive, idle }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Port>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        stream.io().connection.clone()
    }
}

/// One accepted connection.
pub(crate) struct Stream {
    tcp: TcpStream,
    connection: Connection,
    keep_alive: Duration,
    idle: Pin<Box<Sleep>>,
}

impl Stream {
    /// Whether the connection has been without a request for longer than the keep-alive time.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let activity = self.connection.activity();
        let (Some(since), 0, false) = (activity.idle_since, activity.in_flight, activity.upgraded) else {
            return Poll::Pending;
        };
        drop(activity);
        let deadline = since + self.keep_alive;
        if self.idle.deadline() != deadline {
            self.idle.as_mut().reset(deadline);
        }
        self.idle.as_mut().poll(cx)
    }

    /// Sends what was injected; ready when nothing is left.
    fn poll_injected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let (injected, sever_then) = {
                let activity = self.connection.activity();
                (activity.injected, activity.sever_then)
            };
            if injected.is_empty() {
                if sever_then {
                    self.connection.sever();
                    return Poll::Ready(Err(cut()));
                }
                return Poll::Ready(Ok(()));
            }
            let sent = ready!(Pin::new(&mut self.tcp).poll_write(cx, injected))?;
            self.connection.activity().injected = injected.get(sent..).unwrap_or_default();
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut on purpose")
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.connection.activity().reader = Some(cx.waker().clone());
        if this.connection.is_severed() {
            return Poll::Ready(Err(cut()));
        }
        if this.connection.is_stalled() {
            return Poll::Pending;
        }
        ready!(this.poll_injected(cx))?;
        if let Poll::Ready(read) = Pin::new(&mut this.tcp).poll_read(cx, buf) {
            return Poll::Ready(read);
        }
        // Reading nothing is the end of the stream, after which the connection is closed in good order.
        this.poll_idle(cx).map(Ok)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.connection.activity().writer = Some(cx.waker().clone());
        if this.connection.is_severed() {
            return Poll::Ready(Err(cut()));
        }
        if this.connection.is_stalled() || this.connection.activity().sever_then {
            return Poll::Pending;
        }
        let written = Pin::new(&mut this.tcp).poll_write(cx, buf);
        // An answer that waits for a slow reader is no idle time.
        this.connection.activity().idle_since = written.is_ready().then(Instant::now);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_stalled() {
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
