//! Completion, in the shells themselves.

use std::path::Path;
use std::process::Command;

use portable_pty::CommandBuilder;
use serde_json::{Value, json};

use crate::support::{Daemon, Reply, error, status};
use crate::terminal::Terminal;

/// A daemon with one interaction and one entry that waits.
fn daemon() -> Daemon {
    Daemon::new(|method, params| match method {
        "status" => Reply::Result(status("pending")),
        "records.list" if params["entityType"] == "interactions" => {
            let record = json!({"id": "3f9a", "title": "Call"});
            Reply::Result(json!({"records": [{"record": record, "pending": false}], "seq": 7}))
        }
        "outbox.list" => Reply::Result(json!({"entries": [entry()]})),
        _ => error("unsupported", &format!("{method} was not expected"), "fix the test"),
    })
}

fn entry() -> Value {
    json!({
        "entry": 41, "entityType": "interactions", "id": "3f9a", "op": "create", "state": "quarantined", "bytes": 10, "attempts": 3,
        "data": {"id": "3f9a"}, "enqueuedAt": "2026-01-31T11:58:00.000Z"
    })
}

/// What is typed, and a word that must be offered.
const OFFERED: [(&str, &str); 5] = [
    ("aectl sta", "status"),
    ("aectl list inter", "interactions"),
    ("aectl get interactions 3", "3f9a"),
    ("aectl outbox show 4", "41"),
    ("aectl status --form", "--format"),
];

/// The directory of `aectl`, in front of the ordinary path.
fn path() -> String {
    let dir = Path::new(env!("CARGO_BIN_EXE_aectl")).parent().expect("a directory").display();
    format!("{dir}:/usr/local/bin:/usr/bin:/bin")
}

/// Whether a shell is there; where everything has to be, a missing one is a failure.
fn is_there(shell: &str) -> bool {
    let there = Command::new(shell).arg("-c").arg("true").status().is_ok_and(|status| status.success());
    assert!(there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{shell} is not installed");
    if !there {
        eprintln!("completion was not tried in {shell}: it is not installed");
    }
    there
}

fn run(shell: &str, args: &[&str], socket: &Path) -> String {
    let mut command = Command::new(shell);
    command
        .args(args)
        .env_clear()
        .env("PATH", path())
        .env("AESYNC_SOCKET", socket)
        .env("HOME", socket.parent().expect("a directory"));
    let output = command.output().expect("it runs");
    assert!(output.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn bash_completes_commands_types_ids_and_entries() {
    if !is_there("bash") {
        return;
    }
    let daemon = daemon();
    let script = r#"
        source <(aectl completions bash)
        COMP_WORDS=($1) COMP_TYPE=9
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _clap_complete_aectl aectl "${COMP_WORDS[COMP_CWORD]}" ""
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    for (typed, offered) in OFFERED {
        let found = run("bash", &["--norc", "-c", script, "bash", typed], &daemon.path);
        assert!(found.lines().any(|line| line.trim() == offered), "{typed}: {found:?}");
    }
}

#[test]
fn fish_completes_commands_types_ids_and_entries() {
    if !is_there("fish") {
        return;
    }
    let daemon = daemon();
    for (typed, offered) in OFFERED {
        let script = format!("aectl completions fish | source; complete --do-complete '{typed}'");
        let found = run("fish", &["--no-config", "-c", &script], &daemon.path);
        assert!(found.lines().any(|line| line.split('\t').next() == Some(offered)), "{typed}: {found:?}");
    }
}

#[test]
fn zsh_completes_commands_types_ids_and_entries() {
    if !is_there("zsh") {
        return;
    }
    let daemon = daemon();
    let home = daemon.path.parent().expect("a directory");
    for (typed, offered) in OFFERED {
        let mut command = CommandBuilder::new("zsh");
        command.args(["-f", "-i"]);
        command.env_clear();
        for (name, value) in [("PATH", path().as_str()), ("TERM", "xterm"), ("PS1", "ready> ")] {
            command.env(name, value);
        }
        command.env("AESYNC_SOCKET", &daemon.path);
        command.env("HOME", home);
        command.cwd(home);
        let mut terminal = Terminal::start(command, 40, 100);
        terminal.wait_for("zsh", |text| text.contains("ready>"));
        terminal.keys("autoload -Uz compinit; compinit -u -D; source <(aectl completions zsh); clear; PS1='done> '\r");
        terminal.wait_for("the script", |text| text.trim_start().starts_with("done>"));
        terminal.keys(&format!("{typed}\t"));
        let (line, _) = typed.rsplit_once(' ').expect("two words");
        terminal.wait_for(typed, |text| text.contains(&format!("{line} {offered}")));
    }
}

#[test]
fn without_a_daemon_nothing_is_offered_and_nothing_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "source <(aectl completions bash)
        COMP_WORDS=(aectl list e) COMP_TYPE=9 COMP_CWORD=2
        _clap_complete_aectl aectl e ''
        printf '%s' \"${COMPREPLY[@]}\"";
    if is_there("bash") {
        assert_eq!(run("bash", &["--norc", "-c", script], &dir.path().join("s")), "");
    }
}
