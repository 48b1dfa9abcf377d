//! Exit codes, and the one sentence on stderr.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::{Daemon, Reply, aectl, error, finish};

#[test]
fn each_error_of_the_daemon_has_its_exit_code_and_one_sentence() {
    for (code, expected) in [
        ("auth_required", 4),
        ("permission_denied", 6),
        ("timeout", 5),
        ("offline", 1),
        ("misconfigured", 1),
        ("invalid_entity", 1),
        ("storage_full", 1),
        ("busy", 1),
        ("from_the_future", 1),
    ] {
        let daemon = Daemon::new(move |_, _| error(code, "That did not work.", "do this\u{1b}[2J"));
        let done = daemon.run(&["sync"]);
        assert_eq!((done.code, done.stdout.as_str()), (expected, ""), "{code}");
        assert_eq!(done.stderr, "aectl: That did not work; do this\\u{1b}[2J\n", "{code}");
    }
}

#[test]
fn an_error_of_the_protocol_is_passed_on() {
    let daemon = Daemon::new(|_, _| Reply::Error(json!({"code": -32601, "message": "there is no method sync"})));
    let done = daemon.run(&["sync"]);
    assert_eq!((done.code, done.stderr.as_str()), (1, "aectl: there is no method sync\n"));
}

#[test]
fn no_daemon_is_told_with_the_path_and_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let done = finish(aectl(&path, &["status"]), "");
    assert_eq!((done.code, done.stdout.as_str()), (3, ""));
    assert!(done.stderr.contains(&path.display().to_string()) && done.stderr.contains("which --socket names"), "{}", done.stderr);
    let examined = finish(aectl(&path, &["doctor"]), "").stdout;
    assert!(examined.contains(&format!("No daemon listens on {}, which --socket names.", path.display())), "{examined}");
}

#[test]
fn a_daemon_that_is_silent_is_given_up() {
    let daemon = Daemon::new(|_, _| Reply::Silence);
    let done = daemon.run(&["status", "--timeout", "50ms"]);
    assert_eq!((done.code, done.stdout.as_str()), (5, ""));
    assert!(done.stderr.contains("within 50 ms") && done.stderr.contains("--timeout"), "{}", done.stderr);
}

#[test]
fn a_daemon_that_hangs_up_or_talks_nonsense_is_told() {
    let daemon = Daemon::new(|_, _| Reply::HangUp);
    assert_eq!(daemon.run(&["status"]).code, 3);
    for line in ["HTTP/1.1 400 Bad Request", r#"{"jsonrpc":"2.0","id":1,"result":{"status":"unheard-of"}}"#] {
        let daemon = Daemon::new(move |_, _| Reply::Line(line.to_owned()));
        let done = daemon.run(&["status"]);
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.lines().count()), (1, "", 1), "{done:?}");
    }
}

#[test]
fn wrong_usage_is_2() {
    let daemon = Daemon::new(|_, _| Reply::HangUp);
    for args in [
        &[][..],
        &["stauts"],
        &["status", "--format", "html"],
        &["status", "--json", "--format", "i3"],
        &["get", "interactions"],
        &["wait", "forever"],
        &["status", "--timeout", "5"],
        &["list", "interactions", "--limit", "0"],
        &["changes"],
    ] {
        assert_eq!(daemon.run(args).code, 2, "{args:?}");
    }
    let misspelt = daemon.run(&["stauts"]);
    assert!(misspelt.stderr.contains("'status'"), "{}", misspelt.stderr);
    let long = finish(aectl(std::path::Path::new(&"x".repeat(200)), &["ping"]), "");
    assert_eq!(long.code, 2);
    assert!(long.stderr.contains("200 bytes"), "{}", long.stderr);
    assert_eq!(daemon.requests(), []);
}

#[test]
fn a_door_that_is_closed_to_this_user_is_6() {
    let daemon = Daemon::new(|_, _| Reply::HangUp);
    std::fs::set_permissions(&daemon.path, std::fs::Permissions::from_mode(0o000)).expect("changed");
    let done = daemon.run(&["status"]);
    // Root may open everything, and is hung up on.
    assert!(
        done.code == 6 && done.stderr.contains("may not open") || done.code == 3 && done.stderr.contains("closed the connection"),
        "{done:?}"
    );
}
