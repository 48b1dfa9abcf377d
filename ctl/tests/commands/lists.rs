//! `aectl get`, `list`, `outbox` and `conflicts`

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{Daemon, Reply, aectl, error, finish};

#[test]
fn a_record_is_shown_field_by_field() {
    let result = json!({"record": {"id": "a", "title": "t"}, "pending": false, "seq": 7, "new": 1});
    let daemon = Daemon::with("records.get", result.clone());
    assert_eq!(daemon.run(&["get", "interactions", "a"]).ok(), "FIELD  VALUE\nid     a\ntitle  t\n");
    assert_eq!(daemon.run(&["get", "interactions", "a", "--json"]).json(), result);
    assert_eq!(daemon.requests()[0].1, json!({"entityType": "interactions", "id": "a"}));
}

#[test]
fn a_record_that_is_not_there_is_told_with_where_to_look() {
    let daemon = Daemon::new(|_, _| {
        let message = "there is no end_user with id \"nope\" in the replica";
        Reply::Error(json!({"code": -32000, "message": message, "data": {"code": "not_found", "retryable": false}}))
    });
    let done = daemon.run(&["get", "end_user", "nope"]);
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (
            1,
            "aectl: there is no end_user with id \"nope\" in the replica; see what is there with `aectl list end_user`, or ask the \
             server with `aectl pull end_user`\n"
        )
    );
}

/// 2,500 records in pages of the size that was asked for.
fn records() -> Daemon {
    Daemon::new(|_, params| {
        let after: u64 = params["after"].as_str().map_or(0, |after| after.parse().expect("a number"));
        let end = 2500.min(after + params["limit"].as_u64().expect("a limit"));
        let records: Vec<Value> =
            (after + 1..=end).map(|id| json!({"record": {"id": id.to_string()}, "pending": id == 2})).collect();
        let mut page = json!({"records": records, "seq": after});
        if end < 2500 {
            page["next"] = json!(end.to_string());
        }
        Reply::Result(page)
    })
}

#[test]
fn a_list_is_paged_through_to_the_end_as_one_document_with_the_first_pages_position() {
    let daemon = records();
    let document = daemon.run(&["list", "interactions", "--json"]).json();
    assert_eq!(document["records"].as_array().map(Vec::len), Some(2500));
    assert_eq!(document["records"][2499], json!({"record": {"id": "2500"}, "pending": false}));
    assert_eq!((&document["seq"], document.get("next")), (&json!(0), None));
    assert_eq!(daemon.requests().len(), 3);
    let text = daemon.run(&["list", "interactions"]).ok();
    assert_eq!(text.lines().count(), 2501);
    assert!(text.starts_with("ID\n1\n2     ▲\n"), "{}", &text[..60]);
}

#[test]
fn a_limited_list_says_where_the_next_page_starts() {
    let daemon = records();
    let document = daemon.run(&["list", "interactions", "--limit", "1001", "--json"]).json();
    assert_eq!((document["records"].as_array().map(Vec::len), &document["next"]), (Some(1001), &json!("1001")));
    let limits: Vec<_> = daemon.requests().iter().map(|(_, params)| params["limit"].clone()).collect();
    assert_eq!(limits, [1000, 1]);
}

#[test]
fn a_list_that_fails_writes_no_half_document() {
    let daemon = Daemon::new(|_, _| error("not_found", "there is no type x", "see `aectl status`"));
    let done = daemon.run(&["list", "x", "--json"]);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
}

#[test]
fn an_empty_list_says_so_and_is_a_document_as_json() {
    let daemon = Daemon::new(|method, _| {
        Reply::Result(if method == "records.list" { json!({"records": [], "seq": 7}) } else { json!({"entries": []}) })
    });
    assert_eq!(daemon.run(&["list", "x"]).ok(), "No records.\n");
    assert_eq!(daemon.run(&["list", "x", "--json"]).json(), json!({"records": [], "seq": 7}));
    assert_eq!(daemon.run(&["outbox"]).ok(), "Nothing waits.\n");
    assert_eq!(daemon.run(&["outbox", "list", "--json"]).json(), json!({"entries": []}));
}

fn entry(number: u64) -> Value {
    json!({"entry": number, "entityType": "interactions", "id": "0af", "op": "create", "state": "quarantined",
           "data": {"id": "0af", "title": "t"}, "bytes": 120, "enqueuedAt": "2020-01-31T11:58:00.000Z", "attempts": 2, "sentAt": "2020-01-31T11:58:00.000Z",
           "lastError": {"status": 400, "message": "no such column", "at": "2020-01-31T11:58:00.000Z"}})
}

fn outbox() -> Daemon {
    Daemon::new(|method, params| match method {
        "outbox.list" => Reply::Result(
            json!({"entries": [entry(params["after"].as_u64().map_or(7, |after| if after < 7 { 7 } else { after + 2 }))]}),
        ),
        "outbox.retry" | "outbox.discard" => Reply::Result(json!({"count": 2})),
        "outbox.edit" => {
            let mut edited = entry(7);
            edited["data"] = params["data"].clone();
            edited["state"] = json!("pending");
            Reply::Result(edited)
        }
        _ => error("unsupported", "no", "no"),
    })
}

#[test]
fn the_outbox_is_listed_with_its_filters() {
    let daemon = outbox();
    for args in [&["outbox"][..], &["outbox", "list"]] {
        let text = daemon.run(args).ok();
        assert!(text.contains("    7  quarantined  create  interactions  0af  120 B  "), "{text}");
        assert!(text.contains("no such column"), "{text}");
    }
    daemon.run(&["outbox", "list", "--state", "in-doubt", "--type", "interactions", "--limit", "5"]).ok();
    assert_eq!(daemon.requests()[2].1, json!({"state": "inDoubt", "entityType": "interactions", "limit": 5}));
}

#[test]
fn one_entry_is_shown_whole_and_a_missing_one_is_told() {
    let daemon = outbox();
    let text = daemon.run(&["outbox", "show", "7"]).ok();
    assert!(
        text.starts_with("entry    7, quarantined\nchange   create interactions 0af\n")
            && text.contains("no such column (HTTP 400, "),
        "{text}"
    );
    assert_eq!(daemon.run(&["outbox", "show", "7", "--json"]).json(), entry(7));
    let done = daemon.run(&["outbox", "show", "8"]);
    assert_eq!((done.code, done.stdout.as_str()), (1, ""));
    assert!(done.stderr.contains("no entry 8"), "{}", done.stderr);
}

#[test]
fn entries_are_retried_by_number_or_all_of_them() {
    let daemon = outbox();
    assert_eq!(daemon.run(&["outbox", "retry", "7", "8"]).ok(), "2 entries are sent again.\n");
    daemon.run(&["outbox", "retry", "--all"]).ok();
    let params: Vec<_> = daemon.requests().into_iter().map(|(_, params)| params).collect();
    assert_eq!(params, [json!({"entries": [7, 8]}), json!({"all": true})]);
    for args in [&["outbox", "retry"][..], &["outbox", "retry", "7", "--all"]] {
        assert_eq!(daemon.run(args).code, 2, "{args:?}");
    }
}

#[test]
fn nothing_is_given_up_without_a_yes() {
    let daemon = outbox();
    let done = daemon.run_with(&["outbox", "discard", "7"], "y\n");
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("--yes"), "{}", done.stderr);
    assert_eq!(daemon.requests(), []);
    assert_eq!(daemon.run(&["outbox", "discard", "--all", "--yes"]).ok(), "2 entries were given up.\n");
    assert_eq!(daemon.requests()[0].1, json!({"all": true}));
}

#[test]
fn an_entry_is_edited_from_stdin_or_in_the_editor() {
    let daemon = outbox();
    assert_eq!(daemon.run_with(&["outbox", "edit", "7", "-"], "{\"id\":\"0af\"}").ok(), "Entry 7 is pending again.\n");
    assert_eq!(daemon.requests()[0].1, json!({"entry": 7, "data": {"id": "0af"}}));
    let dir = tempfile::tempdir().expect("a directory");
    let editor = dir.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed 's/\"t\"/\"corrected\"/' \"$2\" > \"$2.new\" && mv \"$2.new\" \"$2\"\n")
        .expect("written");
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700)).expect("changed");
    let mut command = aectl(&daemon.path, &["outbox", "edit", "7"]);
    command.env("EDITOR", format!("{} --wait", editor.display()));
    assert_eq!(finish(command, "").ok(), "Entry 7 is pending again.\n");
    assert_eq!(daemon.requests().last().expect("a request").1, json!({"entry": 7, "data": {"id": "0af", "title": "corrected"}}));
}

#[test]
fn an_entry_that_the_editor_left_alone_is_not_sent() {
    let daemon = outbox();
    let mut command = aectl(&daemon.path, &["outbox", "edit", "7"]);
    command.env("EDITOR", "true");
    let done = finish(command, "");
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("was not changed"), "{}", done.stderr);
    assert_eq!(daemon.requests().len(), 1);
}

#[test]
fn conflicts_are_shown_and_resolved() {
    let result = json!({"conflicts": [{"entry": 7, "entityType": "interactions", "id": "0af", "sent": {"title": "mine"}, "server": {"title": "theirs"}, "at": "2020-01-31T11:58:00.000Z"}]});
    let daemon = Daemon::new(move |method, _| Reply::Result(if method == "conflicts.list" { result.clone() } else { json!({}) }));
    for args in [&["conflicts"][..], &["conflicts", "list"]] {
        assert!(daemon.run(args).ok().contains("  title  mine  theirs\n"), "{args:?}");
    }
    assert_eq!(
        daemon.run(&["conflicts", "resolve", "7", "--keep", "local"]).ok(),
        "The local change is sent once more (entry 7).\n"
    );
    assert_eq!(daemon.requests()[2], ("conflicts.resolve".to_owned(), json!({"entry": 7, "keep": "local"})));
    assert_eq!(daemon.run(&["conflicts", "resolve", "7"]).code, 2);
}

#[test]
fn who_is_connected_is_a_table_and_the_document_itself() {
    let result = json!({"clients": [
        {"connection": 3, "client": {"name": "no\u{1b}tes", "version": "1.2"}, "uid": 0, "gid": 0, "pid": 4711, "role": "operator",
            "connectedAt": "2026-01-31T11:58:00.250Z", "requests": 1200, "inFlight": 1, "stalledSince": "2026-01-31T12:00:00.000Z",
            "subscription": {"channels": ["status", "change"], "entityTypes": ["end_user"], "seq": 1290, "behind": 2}},
        {"connection": 9, "uid": 4_000_000_000_u32, "role": "admin", "connectedAt": "2026-01-31T12:00:00.000Z", "requests": 1, "inFlight": 0},
    ]});
    let daemon = Daemon::with("clients", result.clone());
    let text = daemon.run(&["clients"]).ok();
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    let heads = ["NO", "CLIENT", "USER", "PID", "ROLE", "CONNECTED", "BEHIND", "SUBSCRIBED TO"];
    assert_eq!(lines[0], heads, "{text}");
    let first = &lines[1];
    assert_eq!(
        (first[0], first[1], first[2], first[3], first[4]),
        ("3", "no\\u{1b}tes 1.2", "root", "4711", "operator"),
        "{text}"
    );
    assert!(first[6].starts_with("2, stalled "), "{text}");
    assert_eq!(first[7], "status, change (end_user)", "{text}");
    assert_eq!((lines[2][0], lines[2][1], lines[2][2]), ("9", "4000000000", "admin"), "{text}");
    assert_eq!(daemon.run(&["clients", "--json"]).json(), result);
}
