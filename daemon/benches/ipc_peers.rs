//! One request and its answer over a Unix socket, of aesyncd and of what one could use instead: watchman's daemon, a D-Bus bus (which
//! answers itself: no service behind it), and Go's net/http. Each is a process of its own; they and the client share one core. Peers that
//! are not installed (`watchman`, `dbus-daemon`, `go`) are left out, and named.
//!
//! `cargo bench -p aesyncd --bench ipc_peers`
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench"
)]

mod claims;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::Scene;
use support::process::Process;

const ROUNDS: usize = 10_000;
const REPEATS: usize = 5;

/// A process that ends with the bench.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Stream = BufReader<UnixStream>;
/// Takes one answer off the stream.
type Take = fn(&mut Stream);

/// One request of one server.
struct Case {
    name: &'static str,
    stream: Stream,
    request: Vec<u8>,
    take: Take,
    best: Duration,
}

impl Case {
    fn new(name: &'static str, stream: Stream, request: impl Into<Vec<u8>>, take: Take) -> Self {
        Self { name, stream, request: request.into(), take, best: Duration::MAX }
    }

    fn measure(&mut self) {
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let before = Instant::now();
                self.stream.get_mut().write_all(&self.request).unwrap();
                (self.take)(&mut self.stream);
                before.elapsed()
            })
            .collect();
        times.sort_unstable();
        self.best = self.best.min(times[ROUNDS / 2]);
    }
}

fn main() {
    // Processes inherit the core.
    let mut cores = nix::sched::CpuSet::new();
    cores.set(0).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores).expect("pinned");

    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::new();
    let _gone = scene.kill_server();
    let _daemon = Process::start(&scene, "");
    let mut cases = vec![
        Case::new("aesyncd ping", connect(&scene.socket()), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n", line),
        Case::new("aesyncd status", connect(&scene.socket()), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n", line),
    ];
    let mut peers = Vec::new();
    for (program, start) in [("watchman", watchman as fn(&Path) -> (Peer, Case)), ("dbus-daemon", bus), ("go", go)] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok() {
            let (peer, case) = start(dir.path());
            peers.push(peer);
            cases.push(case);
        } else {
            println!("{program} is not installed: left out");
        }
    }
    for _ in 0..REPEATS {
        cases.iter_mut().for_each(Case::measure);
    }
    println!("request and answer, p50, best of {REPEATS} times {ROUNDS}, one core");
    let status = cases[1].best.as_secs_f64();
    for case in &cases {
        let seconds = case.best.as_secs_f64();
        println!("{:16} {:7.2} µs  {:.2} of aesyncd's status", case.name, seconds * 1e6, seconds / status);
    }
    for case in cases.iter().skip(2) {
        claims::at_least(&format!("{}, of aesyncd's status", case.name), case.best.as_secs_f64() / status, 1.0);
    }
}

/// Once somebody listens there.
fn connect(path: &Path) -> Stream {
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return BufReader::new(stream),
            Err(error) => assert!(Instant::now() < deadline, "{}: {error}", path.display()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(command: &mut Command) -> Peer {
    Peer(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn line(stream: &mut Stream) {
    let mut line = Vec::with_capacity(4096);
    stream.read_until(b'\n', &mut line).unwrap();
    assert!(!line.is_empty(), "the connection was closed");
}

fn watchman(dir: &Path) -> (Peer, Case) {
    let at = |name: &str| dir.join(name).into_os_string();
    let mut command = Command::new("watchman");
    command.args(["--foreground", "--no-save-state", "--sockname"]).arg(at("watchman"));
    command.arg("--logfile").arg(at("watchman.log")).arg("--pidfile").arg(at("watchman.pid"));
    let peer = start(&mut command);
    (peer, Case::new("watchman version", connect(&dir.join("watchman")), "[\"version\"]\n", line))
}

fn go(dir: &Path) -> (Peer, Case) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/http.go");
    let program = dir.join("http");
    let mut build = Command::new("go");
    build.arg("build").arg("-o").arg(&program).arg(source).env("GOCACHE", dir.join("cache")).env("GO111MODULE", "off");
    assert!(build.status().unwrap().success(), "go build failed");
    let peer = start(Command::new(program).arg(dir.join("go")));
    let request = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";
    (peer, Case::new("Go net/http", connect(&dir.join("go")), request, answer))
}

/// An HTTP answer with a Content-Length.
fn answer(stream: &mut Stream) {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the connection was closed");
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
}

fn bus(dir: &Path) -> (Peer, Case) {
    let address = format!("--address=unix:path={}", dir.join("bus").display());
    let peer = start(Command::new("dbus-daemon").args(["--session", "--nofork", "--nopidfile", &address]));
    let mut stream = connect(&dir.join("bus"));
    let user: String = nix::unistd::getuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    write!(stream.get_mut(), "\0AUTH EXTERNAL {user}\r\n").unwrap();
    let mut said = String::new();
    stream.read_line(&mut said).unwrap();
    assert!(said.starts_with("OK"), "{said}");
    stream.get_mut().write_all(b"BEGIN\r\n").unwrap();
    stream.get_mut().write_all(&call("org.freedesktop.DBus", "Hello")).unwrap();
    // The answer to it, and the signal that a name was given.
    message(&mut stream);
    message(&mut stream);
    (peer, Case::new("D-Bus ping", stream, call("org.freedesktop.DBus.Peer", "Ping"), message))
}

/// A method call without arguments to the bus itself, as the D-Bus specification lays messages out.
fn call(interface: &str, member: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    let strings = [(1, 'o', "/org/freedesktop/DBus"), (2, 's', interface), (3, 's', member), (6, 's', "org.freedesktop.DBus")];
    for (code, kind, text) in strings {
        // Each field begins at a multiple of eight.
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([code, 1, kind as u8, 0]);
        fields.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        fields.extend(text.as_bytes());
        fields.push(0);
    }
    // Little-endian, a method call, no flags, version 1; no body; serial 1.
    let mut bytes = vec![b'l', 1, 0, 1];
    bytes.extend([0_u32, 1, u32::try_from(fields.len()).unwrap()].iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Any message.
fn message(stream: &mut Stream) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap()) as usize;
    let mut rest = vec![0; number(12).next_multiple_of(8) + number(4)];
    stream.read_exact(&mut rest).unwrap();
}
