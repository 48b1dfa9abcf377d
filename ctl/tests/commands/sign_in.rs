//! `aectl login`, `token` and `logout`

use serde_json::json;

use crate::support::{Daemon, Reply};

fn daemon() -> Daemon {
    Daemon::new(|_, _| Reply::Result(json!({"tenantId": "7f3a"})))
}

#[test]
fn the_password_comes_from_stdin_when_that_is_no_terminal() {
    let daemon = daemon();
    assert_eq!(daemon.run_with(&["login", "--email", "me@example.com"], "hunter 2 \r\nrest").ok(), "Signed in to tenant 7f3a.\n");
    assert_eq!(daemon.requests(), [("auth.login".to_owned(), json!({"email": "me@example.com", "password": "hunter 2 "}))]);
}

#[test]
fn a_server_that_is_named_goes_along() {
    let daemon = daemon();
    let args = ["login", "--server", "https://ae.example.com", "--email", "me@example.com"];
    assert_eq!(daemon.run_with(&args, "hunter2\n").ok(), "Signed in to tenant 7f3a.\n");
    let params = json!({"email": "me@example.com", "password": "hunter2", "server": "https://ae.example.com"});
    assert_eq!(daemon.requests(), [("auth.login".to_owned(), params)]);
}

#[test]
fn a_login_needs_an_address_and_a_password() {
    let daemon = daemon();
    for (args, stdin) in
        [(&["login"][..], "hunter2\n"), (&["login", "--email", "me@example.com"], ""), (&["login", "--password", "x"], "")]
    {
        assert_eq!(daemon.run_with(args, stdin).code, 2, "{args:?}");
    }
    assert_eq!(daemon.requests(), []);
}

#[test]
fn a_token_comes_from_stdin_and_never_from_an_argument() {
    let daemon = daemon();
    assert_eq!(daemon.run_with(&["token", "set", "-", "--tenant", "7F3A"], " eyJ.x.y\n").ok(), "Signed in to tenant 7f3a.\n");
    assert_eq!(daemon.requests(), [("auth.setToken".to_owned(), json!({"token": "eyJ.x.y", "tenantId": "7F3A"}))]);
    let done = daemon.run_with(&["token", "set", "eyJ.secret"], "");
    assert_eq!(done.code, 2);
    assert!(!done.stderr.contains("secret"), "{}", done.stderr);
    assert_eq!(daemon.requests().len(), 1);
}

#[test]
fn a_logout_is_asked_for_and_confirmed() {
    let daemon = Daemon::with("auth.logout", json!({}));
    assert_eq!(daemon.run(&["logout"]).ok(), "Signed out. What was not sent yet is kept.\n");
    assert_eq!(daemon.run(&["logout", "--json"]).json(), json!({}));
}
