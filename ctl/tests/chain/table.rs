//! The real programs, each in its own process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Done, finish};

/// Longer than anything here takes; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(20);
/// What could turn a program away from the table, or colour what it says.
const FOREIGN: [&str; 6] =
    ["AESYNC_SOCKET", "AESYNC_SERVER__URL", "AESYNC_STATE__DIR", "STATE_DIRECTORY", "XDG_RUNTIME_DIR", "NO_COLOR"];

/// A development server, and room for a daemon beside it.
pub(crate) struct Table {
    server: Killed,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) url: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) tenant: String,
    daemon: Option<Killed>,
}

impl Table {
    /// `None` where the other programs are not built: `cargo test --workspace` builds them.
    pub(crate) fn set(faults: &[&str]) -> Option<Self> {
        let (server, daemon) = (program("adminengine-dev"), program("aesyncd"));
        if let Some(missing) = [&server, &daemon].into_iter().find(|program| !program.is_file()) {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{} is not built", missing.display());
            println!("left out: {} is not built; cargo build -p aesyncd -p adminengine-dev", missing.display());
            return None;
        }
        let mut command = Command::new(server);
        command.args(["--listen", "127.0.0.1:0", "--password", "correct horse battery"]);
        command.args(faults.iter().flat_map(|fault| ["--fault", fault])).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let mut said = BufReader::new(child.stdout.take().expect("stdout"));
        let server = Killed(child);
        let mut word = |name: &str| {
            let mut line = String::new();
            said.read_line(&mut line).expect("a line");
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(": "))
                .unwrap_or_else(|| panic!("{name}: {line}"))
                .trim()
                .to_owned()
        };
        let (url, email, password, tenant) = (word("url"), word("email"), word("password"), word("tenant"));
        // To the last line: a server that can't say it ends.
        for name in ["token", "control", "ready"] {
            word(name);
        }
        Some(Self { server, dir: tempfile::tempdir().expect("a directory"), url, email, password, tenant, daemon: None })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Starts the daemon, with settings as variables of the environment, and waits until it answers.
    pub(crate) fn start(&mut self, settings: &[(&str, &str)]) {
        let mut command = clean(Command::new(program("aesyncd")));
        command.arg("--socket").arg(self.socket()).arg("--state-dir").arg(self.state());
        command.envs(settings.iter().copied()).stdin(Stdio::null());
        command.stderr(std::fs::File::create(self.dir.path().join("log")).expect("a log"));
        self.daemon = Some(Killed(command.spawn().expect("the daemon starts")));
        self.wait_for("the daemon", |table| table.aectl(&["ping"]).code == 0);
    }

    pub(crate) fn stop_daemon(&mut self) {
        self.aectl(&["shutdown"]).ok();
        let Killed(child) = self.daemon.as_mut().expect("it was started");
        assert!(child.wait().expect("its own child").success());
        self.daemon = None;
    }

    pub(crate) fn stop_server(&mut self) {
        self.server.end();
    }

    /// Signs in with the server named, as the first time.
    pub(crate) fn log_in(&self) {
        let done =
            finish(self.command(&["login", "--server", &self.url, "--email", &self.email]), &(self.password.clone() + "\n"));
        assert_eq!(done.code, 0, "{done:?}");
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = clean(Command::new(env!("CARGO_BIN_EXE_aectl")));
        command.arg("--socket").arg(self.socket()).args(args).env("AESYNC_STATE__DIR", self.state());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn aectl(&self, args: &[&str]) -> Done {
        finish(self.command(args), "")
    }

    /// What the doctor finds.
    pub(crate) fn examine(&self) -> Findings {
        Findings::of(&self.aectl(&["doctor", "--json"]))
    }

    pub(crate) fn wait_for(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !reached(self) {
            assert!(began.elapsed() < DEADLINE, "waited in vain for {what}; the log: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn status(&self) -> Value {
        self.aectl(&["status", "--json"]).json()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The server's own control surface.
    pub(crate) fn control(&self, path: &str, body: &Value) -> Value {
        let host = self.url.strip_prefix("http://").expect("plain HTTP");
        let mut stream = TcpStream::connect(host).expect("the server is there");
        let body = body.to_string();
        let head = format!(
            "POST /__dev/{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
        assert!(head.lines().next().is_some_and(|status| status.contains(" 20")), "{answer}");
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    /// A token of the tenant, and who is signed in by it.
    pub(crate) fn sign_in_for(&self, seconds: u64) -> String {
        let minted = self.control("tokens", &json!({"tenant": self.tenant, "lifetimeSeconds": seconds}));
        minted["token"].as_str().expect("a token").to_owned()
    }
}

/// The findings of a doctor.
#[derive(Debug)]
pub(crate) struct Findings(Value);

impl Findings {
    pub(crate) fn of(done: &Done) -> Self {
        let report: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
        let findings = report["findings"].as_array().expect("findings");
        for finding in findings {
            let is_ok = finding["level"] == "ok";
            assert_eq!(finding["next"].is_string(), !is_ok, "each finding says what to do: {finding}");
        }
        assert_eq!(done.code, i32::from(findings.iter().any(|finding| finding["level"] == "broken")), "{report}");
        Self(report)
    }

    /// The first of this name: its level, what it says, and what to do.
    pub(crate) fn first(&self, check: &str) -> (&str, &str, &str) {
        let found = self.0["findings"].as_array().expect("findings").iter().find(|finding| finding["check"] == check);
        let found = found.unwrap_or_else(|| panic!("nothing about {check}: {}", self.0));
        let text = |field: &str| found[field].as_str().unwrap_or_default();
        (text("level"), text("message"), text("next"))
    }

    /// Asserts what is said of one link, and what to do about it.
    #[track_caller]
    pub(crate) fn assert(&self, check: &str, level: &str, message: &str, next: &str) {
        let found = self.first(check);
        assert!(found.0 == level && found.1.contains(message) && found.2.contains(next), "{found:?}\nin {}", self.0);
    }

    /// Asserts that these links are as they should be.
    #[track_caller]
    pub(crate) fn assert_ok(&self, checks: &[&str]) {
        for check in checks {
            assert_eq!(self.first(check).0, "ok", "{check} in {}", self.0);
        }
    }
}

/// A process that does not outlive the test.
struct Killed(Child);

impl Killed {
    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.end();
    }
}

/// Another program of the workspace, beside `aectl`.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_aectl")).with_file_name(name)
}

/// Without anything of this environment that turns it elsewhere.
pub(crate) fn clean(mut command: Command) -> Command {
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command
}
