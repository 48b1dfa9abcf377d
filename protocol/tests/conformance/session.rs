//! The session that the reference begins with, typed into `nc`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::house::{PATIENCE, left_out, own};

const README: &str = include_str!("../../README.md");

/// Where the reference says that a system's daemon is.
const ITS_PATH: &str = "/run/aesyncd/aesyncd.sock";

/// What differs from one machine and moment to the next.
const OWN: [&str; 7] = ["time", "at", "id", "log", "entry", "seq", "lastSeq"];

/// The same with what differs taken out.
fn shape(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    match value {
                        Value::String(_) if OWN.contains(&name.as_str()) => *value = json!("..."),
                        Value::Number(_) if OWN.contains(&name.as_str()) => *value = json!(0),
                        _ => walk(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

struct Netcat {
    child: Child,
    lines: Receiver<String>,
}

impl Netcat {
    fn start(path: &std::path::Path) -> Option<Self> {
        let mut command = Command::new("nc");
        let mut child = command.arg("-U").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let said = BufReader::new(child.stdout.take()?);
        let (sender, lines) = channel();
        std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Some(Self { child, lines })
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("stdin"), "{line}").expect("typed");
    }

    fn line(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).expect("a line")).expect("JSON")
    }
}

impl Drop for Netcat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_session_of_the_reference_goes_as_it_is_written_there() {
    let Some(house) = own(&[]) else { return };
    house.connect_synced();
    let (_, session) = README.split_once(&format!("```console\n$ nc -U {ITS_PATH}\n")).expect("a session");
    let session: Vec<Value> = session
        .lines()
        .take_while(|line| !line.starts_with("```"))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let Some(mut netcat) = Netcat::start(&house.socket()) else { return left_out("there is no nc, or it can't be started") };
    let is_request = |line: &Value| line.get("id").is_some() && line.get("method").is_some();
    assert!(session.iter().filter(|line| is_request(line)).count() >= 4, "{session:?}");
    for line in &session {
        if is_request(line) {
            netcat.type_line(&line.to_string());
            continue;
        }
        // What else the daemon has to tell in between depends on when the server answers.
        let expected = shape(line.clone());
        let mut found = shape(netcat.line());
        while found != expected && found["method"] == "event" {
            found = shape(netcat.line());
        }
        assert_eq!(found, expected);
    }
}
