//! Starting and killing the server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::connection::{Connection, Port};
use crate::world::World;
use crate::{http, socket};

/// How long a start waits for a port that another program holds.
const PORT_WAIT: Duration = Duration::from_secs(5);

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; default 127.0.0.1, any free port. Port 0 takes a port that no outgoing connection can take,
    /// so that a killed server gets it back.
    pub listen: SocketAddr,
    /// Its state.
    pub world: Arc<World>,
    /// Between the engine's pings; default 25 s.
    pub ping_interval: Duration,
    /// The engine waits this long for a pong; default 20 s.
    pub ping_timeout: Duration,
    /// An idle HTTP connection is closed after this time; default 5 s.
    pub keep_alive: Duration,
}

impl Options {
    /// The defaults, with a state to share.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            world,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            keep_alive: Duration::from_secs(5),
        }
    }
}

/// A running server. It has a thread of its own, so it works inside and outside of any runtime, also one whose clock is paused.
/// Dropping it is killing it.
#[derive(Debug)]
pub struct DevServer {
    options: Options,
    addr: SocketAddr,
    stopping: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    occupied: Option<Occupied>,
}

impl DevServer {
    /// Listens and serves. One server at a time may run on a world.
    ///
    /// # Errors
    /// Another server runs on this world, the port can't be had within 5 s, or there are no resources for a thread.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let occupied = Occupied::new(&options.world)?;
        let listener = bind(options.listen).with_context(|| format!("listen on {}", options.listen))?;
        listener.set_nonblocking(true).context("prepare the listening socket")?;
        let addr = listener.local_addr().context("read the listening address")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::sync_channel::<anyhow::Result<()>>(1);

        let serving = serve(listener, options.clone(), ready, Arc::clone(&stopping));
        let thread = std::thread::Builder::new().name("adminengine-dev".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = serving => {}
                }
            });
            // Dropping the runtime drops every task at its current await, and with it every connection and the listener.
            drop(runtime);
        });
        let mut server = Self { options, addr, stopping, stop: Some(stop), thread: None, occupied: Some(occupied) };
        server.thread = Some(thread.context("start the server's thread")?);
        is_ready.recv().context("the server's thread ended at once")??;
        Ok(server)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:port`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its state.
    pub fn world(&self) -> &Arc<World> {
        &self.options.world
    }

    /// Kills it: when this returns, every connection is closed, unfinished work is abandoned between two rows, and the
    /// port is free. Blocks for some milliseconds at most.
    pub fn stop(mut self) {
        self.kill();
    }

    /// Kills it and starts it again on the same port with the same state.
    ///
    /// # Errors
    /// As [`DevServer::start`].
    pub fn restart(mut self) -> anyhow::Result<Self> {
        self.kill();
        let mut options = self.options.clone();
        options.listen = self.addr;
        Self::start(options)
    }

    fn kill(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.options.world.gate.poke();
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        if thread.join().is_err() {
            tracing::error!("the development server's thread panicked");
        }
        drop(self.occupied.take());
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The right to serve a world.
#[derive(Debug)]
struct Occupied(Arc<World>);

impl Occupied {
    fn new(world: &Arc<World>) -> anyhow::Result<Self> {
        let taken = world.occupied.swap(true, Ordering::SeqCst);
        anyhow::ensure!(!taken, "start a server: this world has one already; stop that one first");
        Ok(Self(Arc::clone(world)))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.sockets.detach();
        self.0.log.forget_unfinished();
        self.0.occupied.store(false, Ordering::SeqCst);
    }
}

async fn serve(
    listener: TcpListener,
    options: Options,
    ready: std::sync::mpsc::SyncSender<anyhow::Result<()>>,
    stopping: Arc<AtomicBool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener).context("register the listening socket") {
        Ok(listener) => listener,
        Err(error) => {
            ready.send(Err(error)).ok();
            return;
        }
    };
    let world = options.world;
    let routes = http::routes(Arc::clone(&world));
    let (service, io) = socket::service(routes, Arc::clone(&world), options.ping_interval, options.ping_timeout);
    world.sockets.attach(io);
    let router = http::router(Arc::clone(&world), service, options.keep_alive);
    let service = router.into_make_service_with_connect_info::<Connection>();
    ready.send(Ok(())).ok();
    let hanging = async {
        loop {
            world.gate.closing().await;
            // The thread stands still on purpose: that is what a stopped process looks like from outside.
            world.gate.wait(|| stopping.load(Ordering::SeqCst));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = hanging => {}
        served = axum::serve(Port::new(listener, options.keep_alive), service) => {
            if let Err(error) = served {
                tracing::error!(%error, "the development server stopped serving");
            }
        }
    }
}

/// The standard library sets SO_REUSEADDR on Unix, so connections of a killed server do not hold its port.
fn bind(wanted: SocketAddr) -> std::io::Result<TcpListener> {
    let deadline = Instant::now() + PORT_WAIT;
    loop {
        let mut addr = wanted;
        if wanted.port() == 0 {
            addr.set_port(unprivileged_port());
        }
        match TcpListener::bind(addr) {
            Ok(listener) => return Ok(listener),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) if wanted.port() == 0 => {}
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A port below the range from which the system serves outgoing connections (32,768 and up on Linux, 49,152 elsewhere).
fn unprivileged_port() -> u16 {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    u16::try_from(20_000 + random % 12_000).unwrap_or(20_000)
}
