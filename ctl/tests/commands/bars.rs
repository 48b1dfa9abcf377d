//! Progress bars in a real terminal: there while it runs, gone when it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portable_pty::CommandBuilder;
use serde_json::json;

use crate::support::{Daemon, Reply};
use crate::terminal::Terminal;

/// A daemon that says how far it is, and goes on once `released`.
fn daemon(released: &Arc<AtomicBool>) -> Daemon {
    let released = Arc::clone(released);
    Daemon::new(move |method, _| {
        if method == "subscribe" {
            let event = |entity_type: &str, done: u64, total: Option<u64>| json!({"channel": "progress", "op": "pull", "entityType": entity_type, "done": done, "total": total});
            let events = vec![event("end_user", 1200, Some(5000)), event("interactions", 88, None)];
            return Reply::Follow(json!({"log": "l", "seq": 7}), events);
        }
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let types = json!({"end_user": {"received": 5000, "changed": 5000, "deleted": 0}});
        Reply::Result(json!({"types": types, "seq": 9, "pushed": 0, "syncTimestamp": "2026-01-31T12:00:00.000Z"}))
    })
}

#[test]
fn how_far_it_is_is_shown_on_a_terminal_and_goes_when_it_is_done() {
    for command in ["pull", "sync"] {
        let released = Arc::new(AtomicBool::new(false));
        let daemon = daemon(&released);
        let mut line = CommandBuilder::new(env!("CARGO_BIN_EXE_aectl"));
        line.arg("--socket");
        line.arg(&daemon.path);
        line.arg(command);
        line.env("TERM", "xterm-256color");
        let mut terminal = Terminal::start(line, 24, 80);
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
    let daemon = daemon(&Arc::new(AtomicBool::new(true)));
    let done = daemon.run(&["pull"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(daemon.requests().iter().all(|(method, _)| method != "subscribe"), "nobody would see the events");
}

#[test]
fn who_waits_for_a_push_sees_how_far_it_is() {
    let released = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&released);
    let daemon = Daemon::new(move |method, _| {
        if method == "subscribe" {
            let event = json!({"channel": "progress", "op": "push", "done": 1100, "total": 4000});
            return Reply::Follow(json!({"log": "l", "seq": 7}), vec![event]);
        }
        while !gate.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let entry = json!({"entry": 1, "entityType": "user", "id": "a", "state": "confirmed"});
        Reply::Result(json!({"entries": [entry]}))
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), r#"{"user": [{"id": "a"}]}"#).expect("written");
    let mut line = CommandBuilder::new(env!("CARGO_BIN_EXE_aectl"));
    line.arg("--socket");
    line.arg(&daemon.path);
    line.args(["push", "--wait", "confirmed"]);
    line.arg(file.path());
    line.env("TERM", "xterm-256color");
    let mut terminal = Terminal::start(line, 24, 80);
    let shown = terminal.wait_for("a bar", |text| text.contains("1,100/4,000"));
    assert!(shown.contains("push") && shown.contains('━'), "{shown}");
    released.store(true, Ordering::Relaxed);
    assert!(terminal.end().success());
    terminal.settled();
    let text = terminal.text();
    assert!(text.contains("confirmed") && !text.contains("1,100/4,000"), "{text}");
}
