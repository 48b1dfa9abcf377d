//! The commands that take nothing and answer little.

use serde_json::json;

use crate::support::{Daemon, Reply, aectl, finish};

#[test]
fn each_plain_verb_calls_its_method_and_says_what_it_did() {
    for (verb, method, result, expected) in [
        ("pause", "pause", json!({}), "Paused. Changes are queued until `aectl resume`.\n"),
        ("resume", "resume", json!({}), "Resumed.\n"),
        ("shutdown", "shutdown", json!({}), "aesyncd is stopping. What is queued stays queued.\n"),
        ("reload", "config.reload", json!({"changed": ["log.filter"], "restartNeeded": []}), "Now in force: log.filter\n"),
        ("metrics", "metrics", json!({"text": "# HELP a b\na{x=\"\u{1b}\"} 1\n"}), "# HELP a b\na{x=\"\\u{1b}\"} 1\n"),
    ] {
        let daemon = Daemon::with(method, result.clone());
        assert_eq!(daemon.run(&[verb]).ok(), expected, "{verb}");
        assert_eq!(daemon.requests(), [(method.to_owned(), json!({}))]);
        assert_eq!(daemon.run(&[verb, "--json"]).json(), result, "{verb}");
    }
}

#[test]
fn what_is_known_is_acknowledged_by_code_or_altogether() {
    let daemon = Daemon::with("attention.acknowledge", json!({"count": 2}));
    assert_eq!(daemon.run(&["acknowledge"]).ok(), "Acknowledged: 2 things.\n");
    assert_eq!(daemon.run(&["acknowledge", "store_damaged", "outbox_restored", "--json"]).json(), json!({"count": 2}));
    let method = || "attention.acknowledge".to_owned();
    let codes = json!({"codes": ["store_damaged", "outbox_restored"]});
    assert_eq!(daemon.requests(), [(method(), json!({})), (method(), codes)]);
    let daemon = Daemon::with("attention.acknowledge", json!({"count": 0}));
    assert_eq!(daemon.run(&["acknowledge", "unheard_of"]).ok(), "There was nothing to acknowledge.\n");
}

#[test]
fn a_ping_tells_how_long_it_took() {
    let daemon = Daemon::with("ping", json!({"time": "2026-01-31T11:58:00.000Z"}));
    let stdout = daemon.run(&["ping"]).ok();
    assert!(stdout.starts_with("aesyncd answered in ") && stdout.ends_with(" ms\n"), "{stdout}");
    assert_eq!(daemon.run(&["ping", "--json"]).json(), json!({"time": "2026-01-31T11:58:00.000Z"}));
}

#[test]
fn the_socket_path_needs_no_daemon() {
    let path = std::path::Path::new("/some/where");
    assert_eq!(finish(aectl(path, &["socket-path"]), "").ok(), "/some/where\n");
    assert_eq!(finish(aectl(path, &["socket-path", "--json"]), "").json(), json!({"path": "/some/where"}));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_aectl"));
    command.arg("socket-path").env("AESYNC_SOCKET", "/from/the/environment");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    assert_eq!(finish(command, "").ok(), "/from/the/environment\n");
}

#[test]
fn completions_are_written_for_each_shell() {
    let daemon = Daemon::new(|_, _| Reply::HangUp);
    for (shell, expected) in [("bash", "_clap_complete_aectl aectl"), ("zsh", "#compdef aectl"), ("fish", "--command aectl")] {
        assert!(daemon.run(&["completions", shell]).ok().contains(expected), "{shell}");
    }
    assert_eq!(daemon.requests(), []);
}

#[test]
fn json_cannot_steer_the_terminal_and_means_the_same() {
    let result = json!({"text": "\u{9b}31m \u{7f} \u{202e} \u{1b}"});
    let daemon = Daemon::with("metrics", result.clone());
    let stdout = daemon.run(&["metrics", "--json"]).ok();
    assert_eq!(stdout.trim_end().chars().find(|char| char.is_control() || *char == '\u{202e}'), None, "{stdout:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout).expect("JSON"), result);
}
