//! A daemon that answers what a test tells it to, and a way to run `aectl` against it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than anything here takes; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the daemon does with a request.
pub(crate) enum Reply {
    Result(Value),
    Error(Value),
    /// Events before the result.
    Events(Vec<Value>, Value),
    /// Events behind the result, then the end of the connection.
    Stream(Value, Vec<Value>),
    /// The same with so long a silence before the events.
    Late(Value, Duration, Vec<Value>),
    /// Events behind the result, on a connection that stays.
    Follow(Value, Vec<Value>),
    /// Nothing, ever.
    Silence,
    /// An error about no request in particular, and the end of the connection.
    TurnAway(Value),
    /// The end of the connection.
    HangUp,
    /// A line as it is.
    Line(String),
}

/// An application error as the wire has it.
pub(crate) fn error(code: &str, message: &str, hint: &str) -> Reply {
    Reply::Error(json!({"code": -32000, "message": message, "data": {"code": code, "retryable": false, "hint": hint}}))
}

/// The answer to `hello`.
fn welcome(role: &str) -> Reply {
    Reply::Result(json!({
        "server": {"name": "aesyncd", "version": env!("CARGO_PKG_VERSION")}, "protocol": 1, "protocols": [1],
        "capabilities": ["store"], "role": role, "instance": "default", "log": "b0c1",
    }))
}

type Handler = dyn Fn(&str, &Value) -> Reply + Send + Sync;

pub(crate) struct Daemon {
    _dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Daemon {
    /// Answers each request but `hello` with `handler`.
    pub(crate) fn new(handler: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_role("admin", handler)
    }

    /// The same for a caller of this role.
    pub(crate) fn with_role(role: &'static str, handler: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let handler = move |method: &str, params: &Value| if method == "hello" { welcome(role) } else { handler(method, params) };
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let requests = Arc::<Mutex<Vec<_>>>::default();
        listen(&path, Arc::new(handler), Arc::clone(&requests));
        Self { _dir: dir, path, requests }
    }

    /// Answers one method, and everything else with an error.
    pub(crate) fn with(method: &'static str, result: Value) -> Self {
        Self::new(move |asked, _| {
            if asked == method {
                Reply::Result(result.clone())
            } else {
                error("unsupported", &format!("{asked} was not expected"), "fix the test")
            }
        })
    }

    /// What was asked so far, but for who asks.
    pub(crate) fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().expect("no panic").iter().filter(|(method, _)| method != "hello").cloned().collect()
    }

    /// Who said so of himself.
    pub(crate) fn names(&self) -> Vec<Value> {
        let requests = self.requests.lock().expect("no panic");
        requests.iter().filter(|(method, _)| method == "hello").map(|(_, params)| params["client"]["name"].clone()).collect()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    /// Runs `aectl` with something on stdin.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &str) -> Done {
        let asks_for_a_secret = matches!(args, ["login", ..] | ["token", ..]);
        gather("secrets", stdin.lines().next().filter(|_| asks_for_a_secret).unwrap_or_default().trim());
        finish(aectl(&self.path, args), stdin)
    }

    /// Starts `aectl` and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = aectl(&self.path, args).spawn().expect("started");
        let lines = BufReader::new(child.stdout.take().expect("stdout"));
        Running { child, lines }
    }
}

/// Listens at a path for as long as the test runs.
pub(crate) fn listen(path: &Path, handler: Arc<Handler>, requests: Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = UnixListener::bind(path).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (handler, requests) = (Arc::clone(&handler), Arc::clone(&requests));
            std::thread::spawn(move || serve(stream, &*handler, &requests));
        }
    });
}

fn serve(stream: UnixStream, handler: &Handler, requests: &Mutex<Vec<(String, Value)>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let request: Value = serde_json::from_str(&line).expect("a request");
        line.clear();
        let (method, params) = (request["method"].as_str().expect("a method").to_owned(), request["params"].clone());
        requests.lock().expect("no panic").push((method.clone(), params.clone()));
        let event = |params: &Value| json!({"jsonrpc": "2.0", "method": "event", "params": params}).to_string();
        let answer = |name: &str, value: Value| json!({"jsonrpc": "2.0", "id": request["id"], name: value}).to_string();
        let mut last = false;
        let lines = match handler(&method, &params) {
            Reply::Result(result) => vec![answer("result", result)],
            Reply::Error(error) => vec![answer("error", error)],
            Reply::Events(events, result) => events.iter().map(event).chain([answer("result", result)]).collect(),
            Reply::Stream(result, events) => {
                last = true;
                [answer("result", result)].into_iter().chain(events.iter().map(event)).collect()
            }
            Reply::Late(result, silence, events) => {
                last = true;
                if reader.get_mut().write_all((answer("result", result) + "\n").as_bytes()).is_err() {
                    return;
                }
                std::thread::sleep(silence);
                events.iter().map(event).collect()
            }
            Reply::Follow(result, events) => [answer("result", result)].into_iter().chain(events.iter().map(event)).collect(),
            Reply::Line(line) => vec![line],
            Reply::TurnAway(error) => {
                last = true;
                vec![json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string()]
            }
            Reply::Silence => vec![],
            Reply::HangUp => return,
        };
        // The client may have seen enough.
        if reader.get_mut().write_all((lines.join("\n") + "\n").as_bytes()).is_err() || last {
            return;
        }
    }
}

/// `aectl` without anything of this environment that changes what it does.
pub(crate) fn aectl(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aectl"));
    command.arg("--socket").arg(socket).args(args);
    for variable in ["AESYNC_SOCKET", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "VISUAL", "EDITOR"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a finished `aectl` left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Stdout of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// The one JSON document on stdout of a success.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let stdout = self.ok();
        assert_eq!(stdout.matches('\n').count(), 1, "{stdout}");
        serde_json::from_str(&stdout).expect("JSON")
    }
}

pub(crate) fn finish(mut command: Command, stdin: &str) -> Done {
    let mut child = command.spawn().expect("started");
    // It may end without reading all of it.
    let _ = child.stdin.take().expect("stdin").write_all(stdin.as_bytes());
    let stdout = read_all(child.stdout.take().expect("stdout"));
    let stderr = read_all(child.stderr.take().expect("stderr"));
    let started = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().expect("waited") {
            break status.code().expect("not killed");
        }
        if started.elapsed() > DEADLINE {
            child.kill().expect("killed");
            panic!("aectl did not end: {:?}", command.get_args());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let done = Done { code, stdout: stdout.join().expect("stdout"), stderr: stderr.join().expect("stderr") };
    gather(&format!("aectl-{}.log", std::process::id()), &done.stdout);
    gather(&format!("aectl-{}.log", std::process::id()), &done.stderr);
    done
}

/// Adds to a file in the directory that `AESYNC_TEST_LOGS` names: `daemon/tests/search_logs` finds no secret in what was printed.
fn gather(file: &str, text: &str) {
    let Some(dir) = std::env::var_os("AESYNC_TEST_LOGS") else { return };
    if !text.is_empty() {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(Path::new(&dir).join(file));
        let line = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
        file.expect("it opens").write_all(line.as_bytes()).expect("written");
    }
}

fn read_all(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

/// An `aectl` that goes on until it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line
    }

    /// Closes the reading end of its stdout, and tells how it ended.
    pub(crate) fn stop_reading(mut self) -> (Option<i32>, String) {
        let mut child = std::mem::replace(&mut self.child, Command::new("true").spawn().expect("started"));
        drop(self);
        let stderr = read_all(child.stderr.take().expect("stderr"));
        let status = child.wait().expect("ended");
        (status.code(), stderr.join().expect("stderr"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A status in the given words.
pub(crate) fn status(word: &str) -> Value {
    json!({
        "status": word, "since": "2026-01-31T11:58:00.000Z", "hasSynced": true, "seq": 7, "paused": false,
        "server": {"url": "https://ae.example", "tenantId": "7f3a", "link": "online", "transport": "websocket", "reconnects": 0},
        "auth": {"state": "valid"},
        "outbox": {"pending": 3, "sent": 0, "inDoubt": 0, "acked": 0, "quarantined": 0, "blocked": 0, "conflicts": 0, "bytes": 1300},
        "types": {"interactions": {"records": 88, "dirty": false, "firstSyncDone": true, "suspicious": false}},
        "feed": {"log": "l", "firstSeq": 1, "lastSeq": 7}, "attention": [],
        "daemon": {"version": "0.1.0", "pid": 7, "startedAt": "2026-01-31T09:00:00.000Z", "instance": "default"},
        "unknownToThisClient": {"kept": true}
    })
}
