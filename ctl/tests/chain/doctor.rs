//! Each link of the chain broken once, with what the doctor advises.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::finish;
use crate::table::{Findings, Table, clean, program};

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// A table at which all is well.
fn signed_in() -> Option<Table> {
    let mut table = Table::set(&[])?;
    table.start(&[]);
    table.log_in();
    table.aectl(&["wait", "synced", "--timeout", "20s"]).ok();
    Some(table)
}

#[test]
fn a_chain_without_a_fault_is_told_link_by_link() {
    let Some(table) = signed_in() else { return };
    let found = table.examine();
    found.assert_ok(&[
        "socket",
        "service",
        "permissions",
        "configuration",
        "state",
        "disk",
        "store",
        "server",
        "link",
        "websocket",
        "clock",
        "sign-in",
    ]);
    found.assert("state", "ok", &table.state().display().to_string(), "");
    found.assert("server", "ok", &table.url, "");
    assert!(table.aectl(&["doctor"]).ok().ends_with("\nNothing is wrong.\n"));
}

#[test]
fn a_fresh_installation_is_told_to_sign_in_and_nothing_else() {
    let Some(mut table) = Table::set(&[]) else { return };
    table.start(&[]);
    let found = table.examine();
    found.assert_ok(&["socket", "service", "permissions", "configuration", "state", "disk", "store"]);
    found.assert("server", "skipped", "No server is named yet", "aectl login");
    found.assert("link", "broken", "Nobody is signed in", "aectl login");
    found.assert("sign-in", "broken", "There is no token", "aectl login");
    table.log_in();
    table.aectl(&["wait", "synced", "--timeout", "20s"]).ok();
    table.examine().assert_ok(&["server", "link", "sign-in"]);
}

#[test]
fn without_a_daemon_everything_else_is_still_looked_at() {
    let Some(mut table) = signed_in() else { return };
    table.stop_daemon();
    let found = table.examine();
    let start = format!("aesyncd --socket {}", table.socket().display());
    found.assert("socket", "broken", "No such file", &start);
    found.assert("service", "broken", "which --socket names", &start);
    found.assert_ok(&["configuration", "state", "disk", "websocket", "clock"]);
    // The server of the last sign-in, which stands in no file of the configuration.
    found.assert("server", "ok", &table.url, "");
    found.assert("sign-in", "skipped", "Only the running daemon", "start it");
}

#[test]
fn a_named_instance_is_advised_about_under_its_name() {
    if Table::set(&[]).is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = clean(Command::new(env!("CARGO_BIN_EXE_aectl")));
    command
        .args(["--instance", "chain-test", "doctor", "--json"])
        .env("XDG_RUNTIME_DIR", dir.path())
        .env("AESYNC_STATE__DIR", dir.path());
    command.env("AESYNC_SERVER__URL", "nonsense").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let found = Findings::of(&finish(command, ""));
    let (_, message, _) = found.first("socket");
    assert!(message.contains("chain-test.sock"), "{message}");
    let (start, log) = if is_root() || message.starts_with("/run/aesyncd/") {
        ("systemctl start aesyncd@chain-test", "journalctl -u aesyncd@chain-test -n 30")
    } else {
        ("aesyncd --instance chain-test", "what it writes to stderr")
    };
    found.assert("service", "broken", "aesyncd is not running", start);
    found.assert("service", "broken", "aesyncd is not running", log);
    found.assert("configuration", "broken", "server.url", "aesyncd --instance chain-test --check");
}

#[test]
fn a_file_in_the_place_of_the_socket_is_found() {
    let Some(table) = Table::set(&[]) else { return };
    std::fs::write(table.socket(), "").expect("written");
    table.examine().assert("socket", "broken", "is no socket", "move that file away");
}

#[test]
fn a_user_who_may_not_open_the_socket_is_told_how_to_get_in() {
    let Some(table) = signed_in() else { return };
    let found = if is_root() {
        // Root may open everything: a stranger tries, with a program that he can reach.
        let hall = tempfile::tempdir().expect("a directory");
        for dir in [hall.path(), table.dir.path()] {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("changed");
        }
        std::fs::set_permissions(table.socket(), std::fs::Permissions::from_mode(0o600)).expect("changed");
        let own = hall.path().join("aectl");
        std::fs::copy(env!("CARGO_BIN_EXE_aectl"), &own).expect("copied");
        let mut command = clean(Command::new("setpriv"));
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(own);
        command.arg("--socket").arg(table.socket()).args(["doctor", "--json"]);
        Findings::of(&finish(piped(command), ""))
    } else {
        std::fs::set_permissions(table.socket(), std::fs::Permissions::from_mode(0o000)).expect("changed");
        table.examine()
    };
    found.assert("permissions", "broken", "may not open", "administrator");
}

#[test]
fn a_configuration_that_can_not_be_used_is_found_without_a_daemon() {
    let Some(table) = Table::set(&[]) else { return };
    let mut command = table.command(&["doctor", "--json"]);
    command.env("AESYNC_SYNC__INTERVAL", "never");
    let found = Findings::of(&finish(command, ""));
    found.assert("configuration", "broken", "AESYNC_SYNC__INTERVAL", "aesyncd --check");
    found.assert("state", "skipped", "", "correct the configuration first");
}

#[test]
fn a_token_for_another_tenant_is_found_in_a_running_daemon() {
    let Some(mut table) = Table::set(&[]) else { return };
    let url = table.url.clone();
    table.start(&[("AESYNC_SERVER__URL", &url), ("AESYNC_SERVER__TENANT", "00000000-0000-4000-8000-000000000001")]);
    let token = table.sign_in_for(3600);
    let set = finish(table.command(&["token", "set", "-"]), &token);
    assert_ne!(set.code, 0, "{set:?}");
    let found = table.examine();
    found.assert("sign-in", "broken", "There is no token", "aectl login");
}

#[test]
fn a_server_that_is_gone_is_found_with_and_without_a_daemon() {
    let Some(mut table) = signed_in() else { return };
    table.stop_server();
    table.wait_for("the loss to be noticed", |table| table.status()["server"]["link"] == "backoff");
    let found = table.examine();
    found.assert("server", "broken", "does not answer: connecting failed", "check the address, the network and the server");
    found.assert("link", "broken", "waits before it tries again", "aectl status");
    found.assert("websocket", "skipped", "Without a server", "reach the server first");
    found.assert("clock", "skipped", "did not tell its time", "mend the link first");
    table.stop_daemon();
    table.examine().assert("server", "broken", "does not answer: connecting failed", "check the address");
}

#[test]
fn something_else_in_the_place_of_the_server_is_found() {
    for (fault, message) in [("captive_portal", "no AdminEngine"), ("bad_gateway", "answered with 502")] {
        let Some(table) = Table::set(&[fault]) else { return };
        let mut command = table.command(&["doctor", "--json"]);
        command.env("AESYNC_SERVER__URL", &table.url);
        let found = Findings::of(&finish(command, ""));
        found.assert("server", "broken", message, "check the address");
    }
}

#[test]
fn clocks_that_are_apart_are_found_with_and_without_a_daemon() {
    let Some(mut table) = signed_in() else { return };
    for (offset, message) in [(120_000, "behind the server's"), (-120_000, "ahead of the server's")] {
        table.control("settings", &json!({"clockOffsetMs": offset}));
        table.examine().assert("clock", "warning", message, "timedatectl");
    }
    table.stop_daemon();
    table.examine().assert("clock", "warning", "ahead of the server's", "timedatectl");
}

#[test]
fn a_token_that_ends_soon_or_has_ended_is_found() {
    let Some(mut table) = Table::set(&[]) else { return };
    let url = table.url.clone();
    table.start(&[("AESYNC_SERVER__URL", &url)]);
    for (seconds, state, level, message) in
        [(240, "expiring", "warning", "The token expires in "), (2, "expired", "broken", "The token has expired")]
    {
        finish(table.command(&["token", "set", "-"]), &table.sign_in_for(seconds));
        table.wait_for(state, |table| table.status()["auth"]["state"] == state);
        table.examine().assert("sign-in", level, message, "aectl login");
    }
}

#[test]
fn a_token_that_the_server_refuses_is_found() {
    let Some(table) = signed_in() else { return };
    table.control("faults", &json!({"fault": "reject_tokens"}));
    table.aectl(&["pull"]);
    table.wait_for("the refusal to be found", |table| {
        table.examine().first("sign-in") == ("broken", "The server refuses the token.", "aectl login")
    });
}

#[test]
fn a_network_that_blocks_websockets_is_found_with_and_without_a_daemon() {
    let Some(mut table) = Table::set(&[r#"{"fault":"refuse_upgrade","status":403}"#]) else { return };
    table.start(&[]);
    table.log_in();
    table.wait_for("the link", |table| table.status()["server"]["link"] == "online");
    table.examine().assert("websocket", "warning", "the upgrade was answered with 403", "Upgrade: websocket");
    table.stop_daemon();
    table.examine().assert("websocket", "warning", "the upgrade was answered with 403", "Upgrade: websocket");
}

#[test]
fn a_state_directory_that_others_may_enter_is_found_with_and_without_a_daemon() {
    let Some(mut table) = signed_in() else { return };
    std::fs::set_permissions(table.state(), std::fs::Permissions::from_mode(0o755)).expect("changed");
    let advice = format!("chmod 700 {}", table.state().display());
    table.examine().assert("state", "warning", "mode 0755", &advice);
    table.stop_daemon();
    table.examine().assert("state", "warning", "mode 0755", &advice);
}

#[test]
fn a_state_directory_that_is_no_directory_or_not_there_is_found() {
    let Some(table) = Table::set(&[]) else { return };
    table.examine().assert("state", "warning", "is not there", "if the daemon never ran");
    table.examine().assert_ok(&["disk"]);
    std::fs::write(table.state(), "").expect("written");
    table.examine().assert("state", "broken", "is no directory", "state.dir");
}

#[test]
fn a_disk_that_is_nearly_full_is_found() {
    let Some(table) = Table::set(&[]) else { return };
    std::fs::create_dir(table.state()).expect("made");
    std::fs::set_permissions(table.state(), std::fs::Permissions::from_mode(0o700)).expect("changed");
    for (size, level, message) in [("16m", "broken", "16.0 MiB are free"), ("64m", "warning", "64.0 MiB are free")] {
        let Some(found) = on_a_disk_of(size, &table) else { return };
        found.assert("disk", level, message, "make room");
    }
}

/// Examines with the state on a disk of that size; `None` where this user may not mount one.
fn on_a_disk_of(size: &str, table: &Table) -> Option<Findings> {
    let namespace: &[&str] = if is_root() { &["--mount"] } else { &["--map-root-user", "--mount"] };
    let able =
        Command::new("unshare").args(namespace).arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !able {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "unshare {namespace:?} does not work");
        println!("left out: a disk of its own needs unshare and the right to mount");
        return None;
    }
    let script =
        "mount -t tmpfs -o size=\"$1\",mode=700 tmpfs \"$AESYNC_STATE__DIR\" && exec \"$2\" --socket \"$3\" doctor --json";
    let mut command = clean(Command::new("unshare"));
    command.args(namespace).args(["sh", "-c", script, "sh", size, env!("CARGO_BIN_EXE_aectl")]).arg(table.socket());
    command.env("AESYNC_STATE__DIR", table.state());
    Some(Findings::of(&finish(piped(command), "")))
}

fn piped(mut command: Command) -> Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_configuration_file_is_held_to_its_reader_and_its_writers() {
    // Whose daemon runs as root reads the system's file, which a test leaves alone.
    if is_root() || !Path::new(&program("aesyncd")).is_file() {
        return println!("left out: only for a user's own daemon");
    }
    let Some(table) = Table::set(&[]) else { return };
    let dir = table.dir.path().join("aesyncd");
    std::fs::create_dir(&dir).expect("made");
    let file = dir.join("aesyncd.toml");
    std::fs::write(&file, "[sync]\nintervall = '5m'\n").expect("written");
    let examine = || {
        let mut command = table.command(&["doctor", "--json"]);
        command.env("XDG_CONFIG_HOME", table.dir.path());
        Findings::of(&finish(command, ""))
    };
    examine().assert("configuration", "broken", "intervall", "aesyncd --check");
    std::fs::write(&file, "").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("changed");
    examine().assert("configuration", "warning", "Others may write", "chmod go-w");
}
