//! `aectl top` in a real terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::CommandBuilder;
use serde_json::{Value, json};

use crate::support::{Daemon, Reply, error, status};
use crate::terminal::Terminal;

fn entry() -> Value {
    json!({
        "entry": 4, "entityType": "end_user", "id": "0af1", "op": "update", "state": "conflict", "bytes": 90, "attempts": 1,
        "enqueuedAt": "2026-01-31T11:58:00.000Z", "data": {"id": "0af1", "name": "Local"}
    })
}

/// A daemon with a conflict, which can be paused.
fn daemon() -> Daemon {
    let paused = Arc::new(AtomicBool::new(false));
    Daemon::new(move |method, params| match method {
        "status" | "subscribe" => {
            let mut shown = status("pending");
            shown["paused"] = json!(paused.load(Ordering::Relaxed));
            if method == "status" {
                return Reply::Result(shown);
            }
            Reply::Follow(json!({"log": "l", "seq": 7}), vec![json!({"channel": "status", "status": shown})])
        }
        "outbox.list" => Reply::Result(json!({"entries": [entry()]})),
        "conflicts.list" => {
            let (sent, server) = (json!({"id": "0af1", "name": "Local"}), json!({"id": "0af1", "name": "Server"}));
            let at = "2026-01-31T11:59:00.000Z";
            Reply::Result(json!({"conflicts": [
                {"entry": 4, "entityType": "end_user", "id": "0af1", "sent": sent, "server": server, "at": at}
            ]}))
        }
        "pause" | "sync" | "conflicts.resolve" => {
            paused.store(method == "pause", Ordering::Relaxed);
            Reply::Result(if method == "sync" { json!({"pushed": 0, "types": {}, "seq": 7}) } else { json!({}) })
        }
        _ => error("unsupported", &format!("{method} {params} was not expected"), "fix the test"),
    })
}

fn top(daemon: &Daemon, rows: u16, cols: u16) -> Terminal {
    Terminal::start(command(daemon), rows, cols)
}

fn command(daemon: &Daemon) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_aectl"));
    command.arg("--socket");
    command.arg(&daemon.path);
    command.arg("top");
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    command
}

/// How many cells of the screen are in a colour.
fn coloured(terminal: &Terminal) -> usize {
    terminal.look(|screen| {
        let (rows, columns) = screen.size();
        let cells = (0..rows).flat_map(|row| (0..columns).filter_map(move |column| screen.cell(row, column)));
        cells.filter(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default).count()
    })
}

/// The ordinary screen is back, with its cursor, and nothing of `top` on it. The program has ended, but what it wrote last may still be on
/// its way.
#[track_caller]
fn is_left_clean(terminal: &Terminal) {
    terminal.wait_until("the terminal as it was", |screen| {
        !screen.alternate_screen() && !screen.hide_cursor() && screen.contents().trim().is_empty()
    });
}

#[test]
fn keys_ask_the_daemon_and_a_conflict_is_decided_side_by_side() {
    let daemon = daemon();
    let mut terminal = top(&daemon, 24, 80);
    terminal.wait_for("the outbox", |text| text.contains("conflict") && text.contains("0af1"));
    terminal.keys("c");
    let open = terminal.wait_for("the conflict", |text| text.contains("Local") && text.contains("Server"));
    assert!(open.lines().any(|line| line.contains("Local") && line.contains("Server")), "side by side:\n{open}");
    terminal.keys("1");
    let asked = |method: &str| daemon.requests().into_iter().any(|(asked, _)| asked == method);
    terminal.wait_for("the decision", |_| asked("conflicts.resolve"));
    let (_, params) = daemon.requests().into_iter().find(|(asked, _)| asked == "conflicts.resolve").expect("just seen");
    assert_eq!(params, json!({"entry": 4, "keep": "server"}));
    terminal.keys("s");
    terminal.wait_for("the sync", |_| asked("sync"));
    terminal.keys("p");
    terminal.wait_for("the pause", |_| asked("pause"));
    terminal.keys("q");
    assert!(terminal.end().success());
    is_left_clean(&terminal);
}

#[test]
fn it_follows_the_size_of_the_terminal() {
    let daemon = daemon();
    let mut terminal = top(&daemon, 24, 80);
    let help = |text: &str| text.lines().last().is_some_and(|line| line.contains("q quit"));
    terminal.wait_for("the first size", |text| text.lines().count() == 24 && help(text));
    terminal.resize(40, 120);
    terminal.wait_for("a larger size", |text| text.lines().count() == 40 && help(text));
    terminal.resize(10, 40);
    terminal.wait_for("a small size", |text| text.lines().count() == 10 && text.contains("Pending"));
    terminal.keys("q");
    assert!(terminal.end().success());
}

#[test]
fn a_terminal_of_three_cells_is_survived() {
    let daemon = daemon();
    let mut terminal = top(&daemon, 24, 80);
    terminal.wait_for("the outbox", |text| text.contains("0af1"));
    terminal.resize(1, 3);
    terminal.keys("s");
    terminal.wait_for("the sync", |_| daemon.requests().into_iter().any(|(asked, _)| asked == "sync"));
    terminal.resize(24, 80);
    terminal.wait_for("the outbox again", |text| text.contains("0af1") && text.contains("q quit"));
    terminal.keys("q");
    assert!(terminal.end().success());
}

#[test]
fn there_is_colour_unless_the_environment_forbids_it() {
    for (forbidden, is_so) in [(false, true), (true, false)] {
        let daemon = daemon();
        let mut command = command(&daemon);
        if forbidden {
            command.env("NO_COLOR", "1");
        }
        let mut terminal = Terminal::start(command, 24, 80);
        terminal.wait_for("the outbox", |text| text.contains("0af1") && text.contains("q quit"));
        assert_eq!(coloured(&terminal) > 0, is_so, "NO_COLOR {forbidden}");
        terminal.keys("q");
        assert!(terminal.end().success());
    }
}

#[test]
fn no_key_is_lost_while_the_size_changes() {
    let daemon = daemon();
    let mut terminal = top(&daemon, 24, 80);
    terminal.wait_for("the outbox", |text| text.contains("0af1"));
    let asked = || daemon.requests().into_iter().filter(|(asked, _)| asked == "sync").count();
    for round in 1..=100 {
        terminal.resize(24 - round % 2, 80);
        terminal.keys("s");
        let round = usize::from(round);
        terminal.wait_for(&format!("sync {round}"), |_| asked() == round);
    }
    terminal.keys("q");
    assert!(terminal.end().success());
}

#[test]
fn every_way_out_leaves_the_terminal_as_it_was() {
    for way in ["q", "\u{1b}", "\u{3}", "SIGTERM", "SIGHUP"] {
        let daemon = daemon();
        let mut terminal = top(&daemon, 24, 80);
        terminal.wait_for("the outbox", |text| text.contains("0af1"));
        let signal = match way {
            "SIGTERM" => Some(Signal::SIGTERM),
            "SIGHUP" => Some(Signal::SIGHUP),
            _ => None,
        };
        match signal {
            Some(signal) => kill(Pid::from_raw(terminal.process_id()), signal).expect("it runs"),
            None => terminal.keys(way),
        }
        assert!(terminal.end().success(), "{way:?}");
        is_left_clean(&terminal);
    }
}

#[test]
fn a_daemon_that_is_not_there_is_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_aectl"));
    command.arg("--socket");
    command.arg(dir.path().join("s"));
    command.arg("top");
    command.env("TERM", "xterm-256color");
    let mut terminal = Terminal::start(command, 24, 80);
    terminal.wait_for("the reason", |text| text.contains("not running"));
    terminal.keys("q");
    assert!(terminal.end().success());
}
