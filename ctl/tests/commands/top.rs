//! `aectl top` in a real terminal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::CommandBuilder;
use serde_json::{Value, json};

use crate::support::{Daemon, Reply, error, status};
use crate::terminal::{Terminal, program};

const AT: &str = "2026-01-31T11:58:00.000Z";

fn entry() -> Value {
    json!({"entry": 4, "entityType": "interactions", "id": "0af1", "op": "update", "state": "conflict",
           "data": {"id": "0af1", "title": "mine"}, "bytes": 30, "enqueuedAt": AT, "attempts": 1})
}

fn conflict() -> Value {
    json!({"entry": 4, "entityType": "interactions", "id": "0af1", "at": AT,
           "sent": {"id": "0af1", "title": "mine"}, "server": {"id": "0af1", "title": "theirs"}})
}

/// A daemon with one conflict, until it is resolved.
fn daemon() -> Daemon {
    let resolved = Arc::new(AtomicBool::new(false));
    Daemon::new(move |method, _| match method {
        "subscribe" => Reply::Follow(
            json!({"log": "l", "seq": 7}),
            vec![
                json!({"channel": "status", "status": status(if resolved.load(Ordering::SeqCst) { "synced" } else { "pending" })}),
            ],
        ),
        "outbox.list" if resolved.load(Ordering::SeqCst) => Reply::Result(json!({"entries": []})),
        "outbox.list" => Reply::Result(json!({"entries": [entry()]})),
        "conflicts.list" if resolved.load(Ordering::SeqCst) => Reply::Result(json!({"conflicts": []})),
        "conflicts.list" => Reply::Result(json!({"conflicts": [conflict()]})),
        "conflicts.resolve" => {
            resolved.store(true, Ordering::SeqCst);
            Reply::Result(json!({}))
        }
        "sync" => Reply::Result(json!({"pushed": 2, "types": {}, "seq": 7})),
        "pause" => Reply::Result(json!({})),
        "outbox.retry" => Reply::Result(json!({"count": 1})),
        _ => error("unsupported", &format!("{method} was not expected"), "fix the test"),
    })
}

fn command(socket: &Path) -> CommandBuilder {
    let mut command = program(env!("CARGO_BIN_EXE_aectl"));
    command.args([Path::new("--socket"), socket, Path::new("top")]);
    command
}

/// The screen as it was before, with a cursor.
#[track_caller]
fn is_clean(terminal: &Terminal) {
    terminal.wait_until("the ordinary screen with a cursor", |screen| !screen.alternate_screen() && !screen.hide_cursor());
    assert_eq!(terminal.text().trim(), "");
}

#[test]
fn a_conflict_is_seen_opened_and_resolved_with_keys() {
    let daemon = daemon();
    let mut top = Terminal::start(command(&daemon.path), 80, 24);
    top.wait_for(&["▲ Pending", "conflict  update", "interactions", "? help"]);
    top.press("s");
    top.wait_for(&["Synced: 2 changes sent"]);
    top.press("p");
    top.wait_for(&["Paused: changes are queued"]);
    top.press("r");
    top.wait_for(&["1 entry is tried again"]);
    top.press("c");
    top.wait_for(&["CONFLICT  entry 4", "≠ title", "mine", "theirs", "1 the server's stays"]);
    top.press("2");
    top.wait_for(&["Entry 4: the local change is sent once more", "s sync"]);
    let asked = daemon.requests();
    assert!(asked.contains(&("conflicts.resolve".to_owned(), json!({"entry": 4, "keep": "local"}))), "{asked:?}");
    assert!(asked.contains(&("outbox.retry".to_owned(), json!({"entries": [4]}))), "{asked:?}");
    top.press("q");
    assert_eq!(top.end().exit_code(), 0);
    is_clean(&top);
}

#[test]
fn it_follows_the_terminals_size() {
    let daemon = daemon();
    let mut top = Terminal::start(command(&daemon.path), 80, 24);
    let keys_at = |row: u16| move |screen: &vt100::Screen| screen.contents_between(row, 0, row, 70).starts_with("s sync");
    top.wait_until("the keys in the last of 24 rows", keys_at(23));
    top.resize(120, 40);
    top.wait_until("the keys in the last of 40 rows", keys_at(39));
    top.resize(40, 12);
    top.wait_until("the keys in the last of 12 rows", |screen| screen.contents_between(11, 0, 11, 30).starts_with("s sync"));
    // Smaller than anything fits in is no reason to fail.
    top.resize(3, 1);
    top.resize(80, 24);
    top.wait_until("the keys in the last of 24 rows again", keys_at(23));
    top.press("q");
    assert_eq!(top.end().exit_code(), 0);
}

#[test]
fn every_exit_leaves_the_terminal_clean() {
    let daemon = daemon();
    for exit in ["q", "\u{1b}", "\u{3}", "TERM", "HUP"] {
        let mut top = Terminal::start(command(&daemon.path), 80, 24);
        top.wait_for(&["▲ Pending"]);
        assert!(top.screen(vt100::Screen::alternate_screen), "what was on the screen is kept below");
        match exit {
            "TERM" => kill(Pid::from_raw(top.process_id()), Signal::SIGTERM).expect("sent"),
            "HUP" => kill(Pid::from_raw(top.process_id()), Signal::SIGHUP).expect("sent"),
            key => top.press(key),
        }
        assert_eq!(top.end().exit_code(), 0, "{exit:?}");
        is_clean(&top);
    }
}

#[test]
fn without_colour_nothing_is_coloured_and_with_it_the_indicator_is() {
    let daemon = daemon();
    for (no_color, coloured) in [("", true), ("1", false)] {
        let mut command = command(&daemon.path);
        command.env("NO_COLOR", no_color);
        let top = Terminal::start(command, 80, 24);
        top.wait_for(&["▲ Pending", "conflict  update"]);
        let colours = top.screen(|screen| {
            let cells = (0..24).flat_map(|row| (0..80).filter_map(move |column| screen.cell(row, column)));
            cells.filter(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default).count()
        });
        assert_eq!(colours > 0, coloured, "NO_COLOR={no_color:?}");
    }
}

#[test]
fn without_a_daemon_it_says_so_and_can_be_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut top = Terminal::start(command(&directory.path().join("s")), 80, 24);
    top.wait_for(&["✕ no daemon: looking for it every second"]);
    top.press("q");
    assert_eq!(top.end().exit_code(), 0);
    is_clean(&top);
}
