//! `aectl status --json` as a whole process, beside a minimal Rust client that makes the same request, and beside the status commands
//! of pueue and watchman where these are installed. Quote the ratios, not the milliseconds.
//!
//! `AESYNC_SOCKET=... cargo bench -p aectl --bench status_process`, with a daemon on that socket.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a bench")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 300;
/// Makes this program the minimal client.
const MINIMAL: &str = "AESYNC_BENCH_MINIMAL";

fn main() {
    let socket = std::env::var("AESYNC_SOCKET").expect("AESYNC_SOCKET names the socket of a running daemon");
    if std::env::var_os(MINIMAL).is_some() {
        return minimal(&socket);
    }
    let mut itself = Command::new(std::env::current_exe().expect("this program"));
    itself.env(MINIMAL, "1");
    let mut aectl = Command::new(env!("CARGO_BIN_EXE_aectl"));
    aectl.args(["status", "--json"]);
    let mut cases = vec![("minimal Rust client", itself), ("aectl status --json", aectl)];
    for (name, program, args) in
        [("pueue status --json", "pueue", &["status", "--json"][..]), ("watchman version", "watchman", &["version"])]
    {
        let mut command = Command::new(program);
        command.args(args);
        if works(&mut command) {
            cases.push((name, command));
        } else {
            println!("{name}: not measured, there is no {program} that answers");
        }
    }
    for (name, command) in &mut cases {
        assert!(works(command), "{name} failed");
    }
    // In turns, so that a busy moment hits all of them.
    let mut times = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, command), times) in cases.iter_mut().zip(&mut times) {
            let started = Instant::now();
            assert!(works(command));
            times.push(started.elapsed());
        }
    }
    let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
    let least = medians.first().expect("the minimal client").as_secs_f64();
    for ((name, _), median) in cases.iter().zip(&medians) {
        println!("{name:<22} {:>7.2} ms  {:>5.2} x", median.as_secs_f64() * 1e3, median.as_secs_f64() / least);
    }
}

fn works(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The least that a program can do to print the status.
fn minimal(socket: &str) {
    let mut stream = UnixStream::connect(socket).expect("connected");
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n").expect("asked");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("answered");
    print!("{answer}");
}
