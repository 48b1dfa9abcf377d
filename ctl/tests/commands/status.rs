//! `aectl status`

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Daemon, Reply, aectl, finish, status};

#[test]
fn the_indicator_comes_first_and_the_rest_below() {
    let daemon = Daemon::with("status", status("pending"));
    let stdout = daemon.run(&["status"]).ok();
    assert!(stdout.starts_with("▲ Pending\n  3 changes wait to be sent (1.2 KiB).\n"), "{stdout}");
    assert!(stdout.contains("  server      https://ae.example, tenant 7f3a\n"), "{stdout}");
    assert!(stdout.ends_with("  interactions       88  never\n"), "{stdout}");
}

#[test]
fn json_is_the_daemons_result_itself_with_fields_this_client_does_not_know() {
    let daemon = Daemon::with("status", status("synced"));
    assert_eq!(daemon.run(&["status", "--json"]).json(), status("synced"));
}

#[test]
fn the_exit_code_tells_the_indicator_when_asked_to() {
    for (word, code) in [("synced", 0), ("syncing", 10), ("pending", 11), ("offline", 12)] {
        let daemon = Daemon::with("status", status(word));
        assert_eq!(daemon.run(&["status", "--exit-code"]).code, code, "{word}");
        assert_eq!(daemon.run(&["status", "--exit-code", "--json"]).code, code, "{word}");
        assert_eq!(daemon.run(&["status"]).code, 0, "{word}");
    }
}

#[test]
fn colour_is_only_there_when_wanted() {
    let daemon = Daemon::with("status", status("synced"));
    assert!(daemon.run(&["status", "--color", "always"]).ok().starts_with("\u{1b}[32m● Synced\u{1b}[0m\n"));
    for args in [&["status"][..], &["status", "--color", "auto"], &["status", "--color", "never"]] {
        assert!(!daemon.run(args).ok().contains('\u{1b}'), "{args:?}");
    }
}

#[test]
fn bars_and_prompts_get_one_line() {
    let daemon = Daemon::with("status", status("pending"));
    let waybar: Value = serde_json::from_str(&daemon.run(&["status", "--format", "waybar"]).ok()).expect("JSON");
    assert_eq!((&waybar["text"], &waybar["class"]), (&json!("▲ 3"), &json!("pending")));
    let i3: Value = serde_json::from_str(&daemon.run(&["status", "--format", "i3"]).ok()).expect("JSON");
    assert_eq!(i3, json!({"full_text": "▲ Pending 3", "short_text": "▲ 3", "color": "#FF9800"}));
    assert_eq!(daemon.run(&["status", "--format", "prompt", "--timeout", "10s"]).ok(), "▲3\n");
}

#[test]
fn a_prompt_says_nothing_when_there_is_no_answer() {
    let absent = tempfile::tempdir().expect("a directory");
    let done = finish(aectl(&absent.path().join("s"), &["status", "--format", "prompt"]), "");
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (3, "", ""));
    let silent = Daemon::new(|_, _| Reply::Silence);
    let done = silent.run(&["status", "--format", "prompt"]);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (5, "", ""));
}

#[test]
fn a_bar_shows_that_the_daemon_is_missing() {
    let absent = tempfile::tempdir().expect("a directory");
    let done = finish(aectl(&absent.path().join("s"), &["status", "--format", "waybar"]), "");
    assert!(done.ok().contains("aesyncd is not running"));
    let done = finish(aectl(&absent.path().join("s"), &["status", "--format", "waybar", "--exit-code"]), "");
    assert_eq!(done.code, 3);
}

#[test]
fn watching_prints_a_line_for_each_change_and_outlives_a_restart_of_the_daemon() {
    let connections = AtomicUsize::new(0);
    let daemon = Daemon::new(move |_, _| {
        let words: &[&str] =
            if connections.fetch_add(1, Ordering::Relaxed) == 0 { &["synced", "pending", "pending"] } else { &["syncing"] };
        let events = words.iter().map(|word| json!({"channel": "status", "status": status(word)})).collect();
        Reply::Stream(json!({"log": "l", "seq": 7}), events)
    });
    let mut watching = daemon.start(&["status", "--watch"]);
    for expected in
        ["● Synced: 3 changes", "▲ Pending: 3 changes", "✕ aesyncd is not running: aectl doctor", "⟳ Syncing…: 3 changes"]
    {
        let line = watching.line();
        assert!(line.contains(&format!("Z  {expected}")), "{expected}: {line}");
    }
    assert_eq!(daemon.requests()[0].1, json!({"channels": ["status"]}));
}

#[test]
fn watching_as_json_prints_one_status_a_line() {
    let daemon = Daemon::new(|_, _| {
        Reply::Stream(json!({"log": "l", "seq": 7}), vec![json!({"channel": "status", "status": status("synced")})])
    });
    let mut watching = daemon.start(&["status", "--watch", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&watching.line()).expect("JSON"), status("synced"));
}
