//! Completion, with the Tab key of real shells.

use std::path::Path;

use serde_json::json;

use crate::support::{Daemon, Reply, error, status};
use crate::terminal::{Terminal, program};

/// A daemon with types, records and an outbox to complete.
fn daemon() -> Daemon {
    Daemon::new(|method, params| match method {
        "status" => Reply::Result(status("synced")),
        "records.list" if params["entityType"] == "interactions" => Reply::Result(json!({"records": [
            {"record": {"id": "3f00-only", "name": "one"}, "pending": false},
        ], "seq": 7})),
        "outbox.list" => Reply::Result(json!({"entries": [
            {"entry": 4711, "entityType": "interactions", "id": "0af", "op": "update", "state": "pending", "data": {}, "bytes": 2,
             "enqueuedAt": "2026-01-31T11:58:00.000Z", "attempts": 0},
        ]})),
        _ => error("unsupported", &format!("{method} was not expected"), "fix the test"),
    })
}

/// Whether the shell is there. Without it the test says nothing, except in CI, where it has to be.
fn is_there(shell: &str) -> bool {
    let paths = std::env::var_os("PATH").expect("PATH");
    let found = std::env::split_paths(&paths).any(|directory| directory.join(shell).is_file());
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI needs {shell}: install it");
    if !found {
        eprintln!("NOTE: completion in {shell} was not tested: it is not installed");
    }
    found
}

/// Presses Tab in a shell that has read the script, and waits for what it makes of the words.
fn completes(shell: &str, options: &[&str], prepare: &str) {
    if !is_there(shell) {
        return;
    }
    let daemon = daemon();
    let home = tempfile::tempdir().expect("a directory");
    let script = home.path().join("script");
    std::fs::write(&script, daemon.run(&["completions", shell]).ok()).expect("written");
    let bin = Path::new(env!("CARGO_BIN_EXE_aectl")).parent().expect("a directory");
    let mut command = program(shell);
    command.args(options);
    command.cwd(home.path());
    command.env("HOME", home.path());
    command.env("AESYNC_SOCKET", &daemon.path);
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH")));
    let mut terminal = Terminal::start(command, 100, 30);
    // The quotes keep the shell's echo of the command from being taken for its output.
    terminal.press(&format!("{prepare} && source {} && echo rea''dy\n", script.display()));
    terminal.wait_for(&["\nready"]);
    for (typed, completed) in [
        ("aectl socket-p\t", "aectl socket-path"),
        ("aectl status --exit\t", "aectl status --exit-code"),
        ("aectl get inter\t", "aectl get interactions"),
        ("aectl get interactions 3f\t", "aectl get interactions 3f00-only"),
        ("aectl outbox show 47\t", "aectl outbox show 4711"),
    ] {
        // A clear line: Ctrl-U takes back what the last one left, and Ctrl-L what is above.
        terminal.press(&format!("\u{15}\u{c}{typed}"));
        terminal.wait_for(&[completed]);
    }
}

#[test]
fn bash_completes_commands_options_types_ids_and_entries() {
    completes("bash", &["--norc", "--noprofile", "-i"], "true");
}

#[test]
fn zsh_completes_commands_options_types_ids_and_entries() {
    completes("zsh", &["-f", "-i"], "autoload -U compinit && compinit -u -D");
}

#[test]
fn fish_completes_commands_options_types_ids_and_entries() {
    completes("fish", &["--private", "--interactive"], "set -g fish_greeting; set -g fish_autosuggestion_enabled 0");
}
