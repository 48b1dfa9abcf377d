//! The followers by the Python and the Node client: processes that say how far they are, and at the end what they have folded.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fold::Follower;
use crate::stage::{PATIENCE, Stage};

const PYTHON: &str = "Python";
const NODE: &str = "Node";

/// Those whose language is there.
///
/// # Panics
/// Under `CI=true` when one is not.
pub(crate) fn available() -> impl Iterator<Item = &'static &'static str> {
    [(&PYTHON, "python3"), (&NODE, "node")].into_iter().filter_map(|(name, program)| {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
        if !found {
            assert!(env::var("CI").as_deref() != Ok("true"), "CI=true needs {program} for the follower by the {name} client");
            println!("NOTE: the follower by the {name} client is left out: {program} is missing");
        }
        found.then_some(name)
    })
}

/// A process that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Follows until the play is over, which the process learns from the end of its input.
pub(crate) fn follow(follower: &Follower, stage: &Stage) -> Result<(), String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = if follower.name == PYTHON {
        let mut command = Command::new("python3");
        command.arg(here.join("tests/crash/followers/follow.py"));
        command.env("PYTHONPATH", here.join("../protocol/clients/python")).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    } else {
        let mut command = Command::new("node");
        command.arg(here.join("tests/crash/followers/follow.mjs"));
        command
    };
    command.arg(&stage.socket).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().map_err(|error| format!("it does not start: {error}"))?);
    let output = running.0.stdout.take().ok_or("it has no output")?;
    let mut input = running.0.stdin.take();
    thread::scope(|threads| {
        let reader = threads.spawn(|| read(follower, BufReader::new(output)));
        while !reader.is_finished() && !stage.is_stopped() {
            thread::sleep(Duration::from_millis(20));
        }
        drop(input.take());
        let deadline = Instant::now() + PATIENCE;
        while !reader.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        // The end of its output, if it would not end by itself.
        let ended = running.0.try_wait().map_err(|error| error.to_string());
        drop(running);
        let read = reader.join().map_err(|_| "its reader failed".to_owned())?;
        match ended? {
            Some(status) if !status.success() => Err(format!("it failed with {status}; it says above why")),
            _ => read,
        }
    })
}

/// A line is `connected`, the position of a change, or at the end the whole fold.
fn read(follower: &Follower, output: impl BufRead) -> Result<(), String> {
    for line in output.lines() {
        let line = line.map_err(|error| error.to_string())?;
        let mut fold = follower.fold();
        if line == "connected" {
            fold.connections += 1;
        } else if let Ok(seq) = line.parse() {
            fold.move_to(seq)?;
        } else {
            let told: Value = serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
            for row in told.as_array().ok_or("the fold is no array")? {
                let [Some(entity_type), Some(id)] = [row[0].as_str(), row[1].as_str()] else { return Err(format!("{row}")) };
                let record = serde_json::from_value(row[2].clone()).map_err(|error| format!("{row}: {error}"))?;
                fold.records.insert((entity_type.to_owned(), id.to_owned()), record);
            }
            return Ok(());
        }
    }
    Err("it ended without its fold".to_owned())
}
