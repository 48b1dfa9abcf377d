//! A daemon in this process, a development server, and conditions to wait for.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by test binaries that each use a part of it")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

pub mod apps;
pub mod logs;
pub mod process;
pub mod truth;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adminengine_dev::{DevServer, Options, TokenSpec, World};
use aesync_protocol::client::Client;
use aesync_protocol::{Status, StatusWord};
use aesyncd::config::Config;
use aesyncd::{Daemon, StartOptions};

/// How long a condition may take to come true. Generous: these machines are slow at times.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server, a tenant on it, and a place for a daemon's state.
pub struct Scene {
    pub world: Arc<World>,
    pub server: Option<DevServer>,
    pub tenant: String,
    pub dir: tempfile::TempDir,
    pub config: Config,
}

impl Scene {
    /// A tenant with a token that the daemon finds in a file.
    pub fn new() -> Self {
        logs::gather();
        let world = World::new();
        let server = DevServer::start(Options::new(Arc::clone(&world))).expect("the development server starts");
        let tenant = world.add_customer("ada@example.com", "correct horse");
        let dir = tempfile::tempdir().expect("a directory for the state");
        let mut config = Config::default();
        config.server.url = Some(server.url().to_owned());
        config.tuning.backoff_min = Duration::from_millis(100);
        config.tuning.backoff_max = Duration::from_millis(800);
        let mut scene = Self { world, server: Some(server), tenant, dir, config };
        let token = scene.world.token(&scene.tenant);
        scene.use_token(&token);
        scene
    }

    /// As [`Scene::new`], with other numbers.
    pub fn with(tune: impl FnOnce(&mut Config)) -> Self {
        let mut scene = Self::new();
        tune(&mut scene.config);
        scene
    }

    /// Every wait short: for tests whose point is not how long one waits.
    pub fn hurried() -> Self {
        Self::with(|config| {
            config.tuning.hint_delay = Duration::from_millis(20);
            config.tuning.pull_gap = Duration::from_millis(50);
            config.tuning.backoff_min = Duration::from_millis(50);
            config.tuning.backoff_max = Duration::from_millis(300);
            config.tuning.http_interval = Duration::from_millis(400);
            config.tuning.request_timeout = Duration::from_secs(1);
            config.tuning.reconcile_agree = Duration::from_millis(300);
        })
    }

    pub fn use_token(&mut self, token: &str) {
        let path = self.dir.path().join("the.token");
        std::fs::write(&path, token).expect("the token is written");
        self.config.auth.token_file = Some(path);
    }

    pub fn mint(&self, spec: &TokenSpec) -> String {
        self.world.mint(spec)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("aesyncd.sock")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A daemon over this scene's state.
    pub async fn start(&self) -> Daemon {
        Daemon::start(self.config.clone(), StartOptions::new(self.state_dir(), self.socket())).await.expect("the daemon starts")
    }

    /// A daemon that reads `config` when it is told to reload.
    pub async fn start_reloading(&self, config: &Arc<Mutex<Config>>) -> Daemon {
        let mut options = StartOptions::new(self.state_dir(), self.socket());
        let config = Arc::clone(config);
        options.reload = Box::new(move || Ok(config.lock().expect("the configuration").clone()));
        Daemon::start(self.config.clone(), options).await.expect("the daemon starts")
    }

    /// The server dies: every connection is cut.
    pub fn kill_server(&mut self) -> Stopped {
        let server = self.server.take().expect("a server that runs");
        let addr = server.addr();
        server.stop();
        Stopped(addr)
    }

    /// The server is there again, with the same database and address.
    pub fn revive(&mut self, stopped: Stopped) {
        let mut options = Options::new(Arc::clone(&self.world));
        options.listen = stopped.0;
        self.server = Some(DevServer::start(options).expect("the server starts again"));
    }
}

/// Where a server was.
#[derive(Clone, Copy, Debug)]
pub struct Stopped(std::net::SocketAddr);

/// Waits for a status.
pub async fn status_where(daemon: &Daemon, what: &str, is_so: impl FnMut(&Status) -> bool) -> Arc<Status> {
    let mut is_so = is_so;
    let mut statuses = daemon.status();
    let waited = tokio::time::timeout(PATIENCE, async {
        statuses.wait_for(|status| is_so(status)).await.map(|status| Arc::clone(&status))
    });
    match waited.await {
        Ok(Ok(status)) => status,
        Ok(Err(_)) => panic!("the daemon ended while waiting for: {what}"),
        Err(_) => panic!("waited in vain for: {what}; the status is {:#?}", daemon.status().borrow()),
    }
}

/// Waits until the daemon says that it is synced.
pub async fn synced(daemon: &Daemon) -> Arc<Status> {
    status_where(daemon, "synced", |status| status.status == StatusWord::Synced).await
}

/// Waits for anything, looking every few milliseconds.
pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A call on its own connection, off the runtime's threads.
pub async fn with_client<T: Send + 'static>(daemon: &Daemon, ask: impl FnOnce(&mut Client) -> T + Send + 'static) -> T {
    let path = daemon.socket().to_owned();
    tokio::task::spawn_blocking(move || ask(&mut Client::connect(&path).expect("the daemon can be reached")))
        .await
        .expect("the call ends")
}
