//! The server in `server.mjs`, as a child of this process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::{Value, json};

use crate::support::PATIENCE;

/// Set to 1, it turns the absence of Node or of its packages from a reason to skip into a failure.
const REQUIRED: &str = "AESYNC_REQUIRE_INTEROP";

/// Answers that may wait to be read; there is one for each command.
const ANSWERS: usize = 16;

/// Where the server's sources and packages are.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// Whether the suite can run here.
pub fn is_there() -> bool {
    let node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    let packages = home().join("node_modules/socket.io/package.json").is_file();
    if node && packages {
        return true;
    }
    let lack = if node { "its packages are not installed" } else { "Node is not installed" };
    assert!(std::env::var_os(REQUIRED).is_none_or(|required| required != "1"), "{lack}: see daemon/tests/interop/run");
    eprintln!("skipped: {lack}; daemon/tests/interop/run installs and runs this suite");
    false
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its rows.
    pub data: PathBuf,
    /// 0 takes any free one.
    pub port: u16,
    /// No websockets.
    pub polling_only: bool,
}

/// A running server. Dropping it is killing it.
#[derive(Debug)]
pub struct Node {
    child: Child,
    lines: Mutex<Receiver<String>>,
    options: Options,
}

impl Node {
    pub fn start(options: Options) -> Self {
        let mut command = Command::new("node");
        command.current_dir(home()).arg("server.mjs").arg("--data").arg(&options.data).arg(format!("--port={}", options.port));
        if options.polling_only {
            command.arg("--polling-only");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = sync_channel(ANSWERS);
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut node = Self { child, lines: Mutex::new(lines), options };
        node.options.port = node.line()["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        node
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.options.port)
    }

    /// One command of those in `server.mjs`.
    pub fn ask(&self, name: &str, argument: &Value) -> Value {
        let mut input = self.child.stdin.as_ref().expect("its input");
        let mut line = json!({ name: argument }).to_string();
        line.push('\n');
        input.write_all(line.as_bytes()).expect("the server reads");
        self.line()
    }

    pub fn state(&self) -> Value {
        self.ask("state", &json!({}))
    }

    /// How often a row was pushed.
    pub fn pushes(&self, id: &str) -> u64 {
        self.state()["pushes"][id].as_u64().unwrap_or(0)
    }

    /// SIGKILL. What it takes to start it again at the same address, with the same rows.
    pub fn kill(self) -> Options {
        self.options.clone()
    }

    fn line(&self) -> Value {
        let lines = self.lines.lock().expect("one command at a time");
        let line = lines.recv_timeout(PATIENCE).expect("the server answers");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
