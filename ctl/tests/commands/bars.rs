//! Progress bars in a real terminal: there while it runs, gone when it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portable_pty::CommandBuilder;
use serde_json::{Value, json};

use crate::support::{Daemon, Reply};
use crate::terminal::Terminal;

/// A daemon that says how far it is, and answers once `released`.
fn daemon(released: &Arc<AtomicBool>, events: Vec<Value>, answer: Value) -> Daemon {
    let released = Arc::clone(released);
    Daemon::new(move |method, _| {
        if method == "subscribe" {
            return Reply::Follow(json!({"log": "l", "seq": 7}), events.clone());
        }
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Reply::Result(answer.clone())
    })
}

fn pulling(released: &Arc<AtomicBool>) -> Daemon {
    let event = |entity_type: &str, done: u64, total: Option<u64>| json!({"channel": "progress", "op": "pull", "entityType": entity_type, "done": done, "total": total});
    let types = json!({"end_user": {"received": 5000, "changed": 5000, "deleted": 0}});
    let answer = json!({"types": types, "seq": 9, "pushed": 0, "syncTimestamp": "2026-01-31T12:00:00.000Z"});
    daemon(released, vec![event("end_user", 1200, Some(5000)), event("interactions", 88, None)], answer)
}

fn aectl(daemon: &Daemon, args: &[&str]) -> Terminal {
    let mut line = CommandBuilder::new(env!("CARGO_BIN_EXE_aectl"));
    line.arg("--socket");
    line.arg(&daemon.path);
    line.args(args);
    line.env("TERM", "xterm-256color");
    Terminal::start(line, 24, 80)
}

#[test]
fn how_far_it_is_is_shown_on_a_terminal_and_goes_when_it_is_done() {
    for command in ["pull", "sync"] {
        let released = Arc::new(AtomicBool::new(false));
        let daemon = pulling(&released);
        let mut terminal = aectl(&daemon, &[command]);
        let shown = terminal.wait_for("both bars", |text| text.contains("1,200/5,000") && text.contains("pull interactions"));
        assert!(shown.contains('━') && shown.contains("/s"), "{shown}");
        released.store(true, Ordering::Relaxed);
        assert!(terminal.end().success(), "{command}");
        terminal.settled();
        let text = terminal.text();
        assert!(text.contains("5,000") && !text.contains("1,200/5,000") && !text.contains("pull interactions"), "{text}");
    }
}

#[test]
fn in_a_pipe_there_is_no_bar() {
    let daemon = pulling(&Arc::new(AtomicBool::new(true)));
    let done = daemon.run(&["pull"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(daemon.requests().iter().all(|(method, _)| method != "subscribe"), "nobody would see the events");
}

#[test]
fn who_waits_for_a_push_sees_how_far_it_is() {
    let released = Arc::new(AtomicBool::new(false));
    let event = json!({"channel": "progress", "op": "push", "done": 1100, "total": 4000});
    let entry = json!({"entry": 1, "entityType": "user", "id": "a", "state": "confirmed"});
    let daemon = daemon(&released, vec![event], json!({"entries": [entry]}));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), r#"{"user": [{"id": "a"}]}"#).expect("written");
    let mut terminal = aectl(&daemon, &["push", "--wait", "confirmed", file.path().to_str().expect("text")]);
    let shown = terminal.wait_for("a bar", |text| text.contains("1,100/4,000"));
    assert!(shown.contains("push") && shown.contains('━'), "{shown}");
    released.store(true, Ordering::Relaxed);
    assert!(terminal.end().success());
    terminal.settled();
    let text = terminal.text();
    assert!(text.contains("confirmed") && !text.contains("1,100/4,000"), "{text}");
}
