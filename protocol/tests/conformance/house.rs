//! A daemon to be checked: one of the test's own with a server behind it, or whosever it is.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs;
use crate::server::Server;
use crate::wire::Wire;

/// How long anything may take. Generous: these machines are slow at times.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where somebody's own daemon listens.
const SOCKET: &str = "AESYNC_CONFORMANCE_SOCKET";

/// Every wait short: no test's point is how long one waits.
const HURRIED: &str = r#"
[tuning]
hint_delay = "20ms"
pull_gap = "50ms"
backoff_min = "50ms"
backoff_max = "300ms"
http_interval = "1s"
request_timeout = "1s"
reconcile_agree = "300ms"
"#;

/// The daemon that is checked by what can be asked of any.
pub(crate) enum House {
    Own(OwnHouse),
    Theirs(PathBuf),
}

impl House {
    /// Somebody's own daemon where one is named, else one of the test's.
    pub(crate) fn open() -> Self {
        match std::env::var_os(SOCKET) {
            Some(path) => Self::Theirs(path.into()),
            None => Self::Own(OwnHouse::start(&[])),
        }
    }

    pub(crate) fn connect(&self) -> Wire {
        match self {
            Self::Own(house) => house.connect(),
            Self::Theirs(path) => Wire::open(path),
        }
    }
}

/// What does not harm others is asked of any daemon; this is about one that can be stopped, filled and broken. None when a daemon was
/// named that is somebody's own.
pub(crate) fn own(settings: &[(&str, &str)]) -> Option<OwnHouse> {
    if std::env::var_os(SOCKET).is_none() {
        return Some(OwnHouse::start(settings));
    }
    left_out("it needs a daemon of its own");
    None
}

/// The same with nobody signed in.
pub(crate) fn own_signed_out() -> Option<OwnHouse> {
    if std::env::var_os(SOCKET).is_none() {
        return Some(OwnHouse::build(&[], false));
    }
    left_out("it needs a daemon of its own");
    None
}

/// Says that a test can't be made here. With CI=true it must be.
pub(crate) fn left_out(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI=true: {why}");
    println!("left out: {why}");
}

/// The daemon's process, its server, and their state.
pub(crate) struct OwnHouse {
    pub(crate) server: Option<Server>,
    pub(crate) dir: TempDir,
    settings: Vec<(String, String)>,
    daemon: Option<Child>,
}

impl OwnHouse {
    /// A daemon that is signed in, with these settings as variables.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::build(settings, true)
    }

    fn build(settings: &[(&str, &str)], is_signed_in: bool) -> Self {
        let server = Server::start();
        let dir = TempDir::new().expect("a directory");
        if is_signed_in {
            let path = dir.path().join("the.token");
            std::fs::write(&path, &server.token).expect("written");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("for nobody else");
        }
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut house = Self { server: Some(server), dir, settings, daemon: None };
        house.configure("");
        house.start_daemon();
        house
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    /// Writes the configuration, with further sections.
    pub(crate) fn configure(&self, further: &str) {
        let token = self.dir.path().join("the.token");
        let auth = if token.exists() { format!("[auth]\ntoken_file = {token:?}\n") } else { String::new() };
        let url = &self.server().url;
        std::fs::write(self.dir.path().join("aesyncd.toml"), format!("[server]\nurl = {url:?}\n{auth}{HURRIED}{further}"))
            .expect("written");
    }

    pub(crate) fn break_the_configuration(&self) {
        std::fs::write(self.dir.path().join("aesyncd.toml"), "[server").expect("written");
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn start_daemon(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("log")).expect("opened");
        let mut command = Command::new(programs::daemon());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AESYNC_")) {
            command.env_remove(name);
        }
        command.arg("--config").arg(self.dir.path().join("aesyncd.toml"));
        command.arg("--socket").arg(self.socket()).arg("--state-dir").arg(self.state_dir());
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("cloned")).stderr(log);
        self.daemon = Some(command.spawn().expect("the daemon starts"));
        let start = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().expect("a child"));
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "the daemon does not listen ({ended:?}): {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the daemon cleanly.
    pub(crate) fn stop_daemon(&mut self) {
        let mut wire = self.connect();
        wire.ok("shutdown", json!({}));
        assert_eq!(wire.line(), None, "a stop closes the connections");
        self.wait_for_the_end();
    }

    /// Until the daemon has ended by itself.
    pub(crate) fn wait_for_the_end(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        assert!(daemon.wait().expect("a child").success(), "{}", self.log());
    }

    /// What the daemon has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::open(&self.socket())
    }

    /// A connection to a daemon that has synced.
    pub(crate) fn connect_synced(&self) -> Wire {
        let mut wire = self.connect();
        wait(&mut wire, "synced");
        wire
    }
}

impl Drop for OwnHouse {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if std::thread::panicking() {
            println!("the daemon of this test said: {}", self.log());
        }
    }
}

/// Until the daemon has reached a goal.
pub(crate) fn wait(wire: &mut Wire, goal: &str) -> Value {
    let timeout = u64::try_from(PATIENCE.as_millis()).expect("a number") / 2;
    let waited = wire.ok("wait", json!({"for": goal, "timeoutMs": timeout}));
    assert_eq!(waited["reached"], true, "{goal}: {waited:#}");
    waited["status"].clone()
}

/// Until the status is so.
pub(crate) fn status_where(wire: &mut Wire, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = wire.ok("status", json!({}));
        if is_so(&status) {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}; {status:#}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
