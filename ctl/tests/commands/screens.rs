//! What a person sees of each command that shows something, at two widths: snapshots of the terminal's screen. What the daemon answers is
//! the golden lines of the protocol.

use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::Timestamp;
use portable_pty::CommandBuilder;
use serde_json::{Value, json};

use crate::support::{Daemon, Reply, error};
use crate::terminal::Terminal;

const GOLDEN: &str = include_str!("../../../protocol/tests/golden/results.ndjson");
/// Moments that are to come; all others have passed.
const AHEAD: [&str; 2] = ["retryAt", "expiresAt"];

/// The result of the golden line with this id, as if it were of two minutes ago and of this machine.
fn golden(id: u64) -> Value {
    let lines = GOLDEN.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut line = lines.into_iter().find(|line| line["id"] == id).expect("a golden line with this id");
    let mut result = line["result"].take();
    adapt("", &mut result);
    result
}

fn adapt(name: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| adapt(name, value)),
        // A user with a name on every machine.
        Value::Number(_) if name == "uid" => *value = 0.into(),
        Value::Array(values) => values.iter_mut().for_each(|value| adapt(name, value)),
        Value::String(text) if text.parse::<Timestamp>().is_ok() => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            // In the middle of a minute and of a day, so that a slow machine shows the same.
            let (past, ahead) = (Duration::from_secs(2 * 60 + 20), Duration::from_secs(3 * 24 * 3600 + 3600));
            let at = if AHEAD.contains(&name) { now + ahead } else { now - past };
            *text = Timestamp::from_millis(i64::try_from(at.as_millis()).expect("small")).to_string();
        }
        _ => {}
    }
}

fn status(patch: &Value) -> Value {
    let mut status = golden(3);
    for (name, value) in patch.as_object().expect("fields") {
        status[name] = value.clone();
    }
    status
}

/// A daemon with the golden answers, and this status.
fn daemon(status: Value) -> Daemon {
    let status = Arc::new(status);
    Daemon::new(move |method, _| {
        let id = match method {
            "status" => return Reply::Result(Value::clone(&status)),
            "push" => 10,
            "pull" => 12,
            "pullPending" => 14,
            "sync" => 15,
            "records.get" => 16,
            "records.list" => 17,
            "changes" => 18,
            "outbox.list" => 19,
            "outbox.get" => 22,
            "conflicts.list" => 23,
            "reconcile" => 25,
            "config.reload" => 32,
            "metrics" => 33,
            "clients" => 36,
            _ => return error("unsupported", &format!("{method} was not expected"), "fix the test"),
        };
        Reply::Result(golden(id))
    })
}

fn end(daemon: &Daemon, columns: u16, args: &[&str]) -> Terminal {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_aectl"));
    command.arg("--socket");
    command.arg(&daemon.path);
    command.args(args);
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    let mut terminal = Terminal::start(command, 40, columns);
    terminal.end();
    terminal
}

/// The screen once a command has ended and all that it wrote has come.
fn screen(daemon: &Daemon, columns: u16, args: &[&str]) -> String {
    let terminal = end(daemon, columns, args);
    terminal.settled();
    terminal.text()
}

#[test]
fn each_state_has_its_screen() {
    let none = json!([]);
    let idle =
        json!({"pending": 0, "sent": 0, "inDoubt": 0, "acked": 0, "quarantined": 0, "blocked": 0, "conflicts": 0, "bytes": 0});
    for (name, patch) in [
        ("synced", json!({"status": "synced", "reason": null, "retryAt": null, "attention": none, "outbox": idle})),
        ("syncing", json!({"status": "syncing", "reason": null, "retryAt": null, "attention": none})),
        ("pending_with_a_conflict", json!({"status": "pending", "reason": null, "retryAt": null})),
        ("offline", json!({})),
        ("signed_out", json!({"reason": "signedOut", "retryAt": null, "attention": none, "outbox": idle})),
        ("paused", json!({"reason": "paused", "paused": true, "retryAt": null, "attention": none})),
    ] {
        let daemon = daemon(status(&patch));
        let shown: Vec<String> = [80, 40]
            .into_iter()
            .map(|columns| format!("{columns} columns\n{}", screen(&daemon, columns, &["status"])))
            .chain(["waybar", "i3", "prompt"].map(|format| {
                // A prompt's own patience is shorter than a busy machine takes.
                let done = daemon.run(&["status", "--format", format, "--timeout", "10s"]);
                format!("--format {format}\n{}", done.stdout.replace('\u{1b}', "^"))
            }))
            .collect();
        insta::assert_snapshot!(format!("status_{name}"), shown.join("\n\n"));
    }
}

#[test]
fn each_table_fits_the_terminal() {
    let daemon = daemon(status(&json!({})));
    for (name, args) in [
        ("list", &["list", "interactions", "--limit", "1"][..]),
        ("get", &["get", "interactions", "0af0c1d2-aaaa-4bbb-8ccc-ddddeeeeffff"]),
        ("changes", &["changes", "--since", "0"]),
        ("outbox", &["outbox", "list", "--limit", "1"]),
        ("outbox_entry", &["outbox", "show", "7"]),
        ("conflicts", &["conflicts"]),
        ("clients", &["clients"]),
        ("metrics", &["metrics"]),
        ("pull", &["pull"]),
        ("pull_pending", &["pull-pending"]),
        ("sync", &["sync"]),
        ("reconcile", &["reconcile"]),
        ("reload", &["reload"]),
    ] {
        let shown = [80, 40].map(|columns| {
            let text = screen(&daemon, columns, args);
            // An id is never cut, so that it can be copied: on a narrow terminal it takes a second line.
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(columns < 80 || widest <= 80, "{name}:\n{text}");
            format!("{columns} columns\n{text}")
        });
        insta::assert_snapshot!(name, shown.join("\n\n"));
    }
}

/// Sentences and values as long as servers send them.
fn wordy() -> Daemon {
    let id = "0af0c1d2-aaaa-4bbb-8ccc-ddddeeeeffff";
    let sentence = "the server answered POST /v1/sync/push with 500: the row is locked by another transaction which went on \
                    for longer than the server allows, says the database";
    let refused = json!({"code": "server_error", "status": 500, "message": sentence, "at": "2020-01-31T11:58:00.000Z"});
    let status = status(&json!({
        "lastError": refused,
        "attention": [
            {"code": "quarantined", "message": format!("{sentence}: see `aectl outbox list --state quarantined`"), "count": 1},
            {"code": "conflicts", "message": "2 local changes were overruled by the server, which keeps its own", "count": 2},
        ],
    }));
    let record = json!({"id": id, "title": sentence, "note": "x".repeat(100), "list": [1, 2, 3]});
    let change = |seq| {
        json!({"seq": seq, "op": "upsert", "entityType": "interactions", "id": id, "record": record, "origin": "server",
            "pending": true, "at": "2020-01-31T11:58:00.000Z"})
    };
    let entry = json!({"entry": 7, "entityType": "interactions", "id": id, "op": "update", "state": "quarantined", "data": record,
        "bytes": 1020, "enqueuedAt": "2020-01-31T11:58:00.000Z", "attempts": 2, "sentAt": "2020-01-31T11:58:00.000Z",
        "lastError": refused});
    let mut waiting = entry.clone();
    waiting["entry"] = json!(8);
    waiting["state"] = json!("pending");
    waiting["lastError"].take();
    let notification = json!({"type": "data_available", "entityType": "interactions", "entityId": id, "message": sentence,
        "timestamp": "2020-01-31T11:58:00.000Z"});
    let mut conflict = json!({"entry": 7, "entityType": "interactions", "id": id, "sent": record, "server": record,
        "at": "2020-01-31T11:58:00.000Z"});
    conflict["server"]["title"] = json!(sentence.to_uppercase());
    let mut answers = json!({
        "status": status,
        "records.get": {"record": record, "pending": true, "base": conflict["server"], "seq": 7},
        "changes": {"log": "l", "changes": [change(9), change(12_345)], "next": 12_345, "lastSeq": 12_345},
        "outbox.list": {"entries": [entry, waiting]},
        "conflicts.list": {"conflicts": [conflict]},
        "events": [
            {"channel": "status", "status": status},
            {"channel": "notification", "notification": notification},
            {"channel": "change", "change": change(1_000_000)},
            {"channel": "outbox", "entry": entry},
        ],
    });
    adapt("", &mut answers);
    Daemon::new(move |method, _| match (method, answers.get(method)) {
        (_, Some(answer)) => Reply::Result(answer.clone()),
        ("subscribe", _) => Reply::Stream(json!({"log": "l", "seq": 7}), answers["events"].as_array().expect("events").clone()),
        _ => error("unsupported", sentence, "none"),
    })
}

#[test]
fn long_sentences_and_values_fit_the_terminal_and_ids_stay_whole() {
    let daemon = wordy();
    for (name, args) in [
        ("status", &["status"][..]),
        ("outbox", &["outbox"]),
        ("outbox_entry", &["outbox", "show", "7"]),
        ("conflicts", &["conflicts"]),
        ("get", &["get", "interactions", "x"]),
        ("changes", &["changes", "--since", "0"]),
        ("watch", &["watch"]),
        ("doctor", &["doctor"]),
    ] {
        let text = screen(&daemon, 80, args);
        let stdout: Vec<&str> = text.lines().filter(|line| !line.starts_with("aectl: ")).collect();
        let widest = stdout.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= 80, "{name}:\n{text}");
        match name {
            // What it finds is of this machine.
            "doctor" => {}
            // The time of an event is now.
            "watch" => {
                let lines = stdout.iter().map(|line| match line.split_once("Z  ") {
                    Some((_, event)) => format!("hh:mm:ssZ  {event}"),
                    None => (*line).to_owned(),
                });
                insta::assert_snapshot!("long_watch", lines.collect::<Vec<_>>().join("\n"));
            }
            _ => insta::assert_snapshot!(format!("long_{name}"), text),
        }
    }
}

#[test]
fn what_goes_elsewhere_is_neither_cut_nor_broken() {
    let daemon = wordy();
    for (args, lines) in [
        (&["outbox"][..], 3),
        (&["outbox", "show", "7"], 11),
        (&["changes", "--since", "0"], 2),
        (&["watch"], 4),
        (&["conflicts"], 5),
    ] {
        let stdout = daemon.run(args).stdout;
        assert_eq!(stdout.lines().count(), lines, "{args:?}: {stdout}");
        assert!(!stdout.contains('…'), "{args:?}: {stdout}");
    }
}

#[test]
fn colours_are_those_of_the_indicator_and_of_nothing_that_is_well() {
    let daemon = daemon(status(&json!({})));
    let terminal = end(&daemon, 80, &["status"]);
    terminal.settled();
    let shown = terminal.look(|screen| String::from_utf8_lossy(&screen.contents_formatted()).replace('\u{1b}', "^"));
    insta::assert_snapshot!(shown.replace("\r\n", "\n"));
}

#[test]
fn errors_are_one_sentence_and_one_next_step() {
    let shown = [
        ("conflict", error("conflict", "the entry changed meanwhile", "list the conflicts again")),
        ("auth_required", error("auth_required", "the token expired", "aectl login")),
        ("permission_denied", error("permission_denied", "only operators may push", "ask an administrator for the group aesync")),
        ("storage_full", error("storage_full", "the disk is full: nothing was enqueued", "free some space, then push again")),
        ("timeout", error("timeout", "the server did not answer within 60 s", "try again later")),
    ]
    .map(|(name, reply)| {
        let Reply::Error(answer) = reply else { panic!("an error") };
        let daemon = Daemon::new(move |_, _| Reply::Error(answer.clone()));
        let done = daemon.run(&["sync"]);
        format!("{name}: exit {}\n{}", done.code, done.stderr)
    });
    insta::assert_snapshot!(shown.join("\n"));
}
