//! A daemon that may open few files.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// The real daemon, started by a shell that sets the limits first.
struct Limited {
    child: Child,
    dir: TempDir,
}

impl Limited {
    fn start(ulimits: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let config = dir.path().join("aesyncd.toml");
        std::fs::write(&config, "[server]\nurl = \"http://127.0.0.1:1\"\n").unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-ec", &format!("{ulimits}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_aesyncd"), "--config"]).arg(&config);
        command.arg("--socket").arg(dir.path().join("s")).arg("--state-dir").arg(dir.path().join("state"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().expect("sh"), dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Connects so many times; each asks something, keeps its connection, and tells whether it was let in.
    fn crowd(&self, count: usize) -> Vec<(UnixStream, bool)> {
        (0..count).map(|_| ask(&connect(&self.socket()))).collect()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Once somebody listens there.
fn connect(path: &Path) -> UnixStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{}: {error}", path.display()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a request is answered by what it asks for, and not by `busy`.
fn ask(stream: &UnixStream) -> (UnixStream, bool) {
    let stream = stream.try_clone().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Whoever is refused at once may be closed before it has written.
    let _ = (&stream)
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"records.list\",\"params\":{\"entityType\":\"end_user\"}}\n");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("nobody is left without an answer");
    let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let is_in = answer.get("result").is_some();
    assert!(is_in || answer["error"]["data"]["code"] == "busy", "{answer}");
    (stream, is_in)
}

#[test]
fn a_low_soft_limit_is_raised_to_the_hard_one() {
    let daemon = Limited::start("ulimit -Sn 160; ulimit -Hn 900");
    let crowd = daemon.crowd(400);
    assert!(crowd.iter().all(|(_, is_in)| *is_in), "{}", daemon.log());
}

#[test]
fn beyond_what_the_files_allow_everybody_is_told_busy_and_the_log_says_what_to_set() {
    let daemon = Limited::start("ulimit -n 300");
    let crowd = daemon.crowd(400);
    let room = crowd.iter().filter(|(_, is_in)| *is_in).count();
    assert_eq!(room, 300 - 128, "{}", daemon.log());
    // Those who are in are served, the store included.
    for (stream, _) in crowd.iter().filter(|(_, is_in)| *is_in) {
        assert!(ask(stream).1);
    }
    let log = daemon.log();
    assert!(log.contains("LimitNOFILE=1152") && log.contains("172 connections"), "{log}");
}
