//! `aectl push`, `pull`, `pull-pending`, `sync` and `reconcile`

use serde_json::{Value, json};

use crate::support::{Daemon, Reply, error};

/// Answers a push with one entry for each entity.
fn queued(params: &Value, state: &str) -> Reply {
    let changes = params["changes"].as_object().expect("changes");
    let entries: Vec<Value> = changes
        .iter()
        .flat_map(|(name, entities)| entities.as_array().expect("entities").iter().map(move |entity| (name, entity)))
        .enumerate()
        .map(|(index, (name, entity))| json!({"entry": index, "entityType": name, "id": entity["id"], "state": state}))
        .collect();
    Reply::Result(json!({"entries": entries}))
}

#[test]
fn each_form_of_input_is_pushed_as_it_was_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("changes.json");
    std::fs::write(&file, "{\n  \"interactions\": [\n    {\"id\": \"a\",\r\n \"n\": 1.50}\n  ]\n}\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let expected = json!({"changes": {"interactions": [{"id": "a", "n": 1.50}]}});
    for (args, stdin) in [
        (vec!["push", file], ""),
        (vec!["push", "-"], "{\"interactions\":[{\"id\":\"a\",\"n\":1.50}]}"),
        (vec!["push", "-", "--type", "interactions"], "[{\"id\":\"a\",\"n\":1.50}]"),
        (vec!["push", "-", "--type", "interactions"], "{\"id\":\"a\",\"n\":1.50}\n"),
        // As editors on Windows begin a file.
        (vec!["push", "-"], "\u{feff}{\"interactions\":[{\"id\":\"a\",\"n\":1.50}]}"),
        (vec!["push", "-", "--type", "interactions"], "\u{feff}{\"id\":\"a\",\"n\":1.50}\r\n"),
    ] {
        let daemon = Daemon::new(|_, params| queued(params, "pending"));
        let stdout = daemon.run_with(&args, stdin).ok();
        assert_eq!(stdout, "ENTRY  STATE   TYPE          ID\n    0  queued  interactions  a\n", "{args:?}");
        assert_eq!(daemon.requests(), [("push".to_owned(), expected.clone())], "{args:?}");
    }
}

#[test]
fn options_of_a_push_are_passed_on() {
    let daemon = Daemon::new(|_, params| queued(params, "confirmed"));
    let args = ["push", "-", "--wait", "confirmed", "--request-id", "r", "--timeout", "3s", "--json"];
    let document = daemon.run_with(&args, "{\"a\":[{\"id\":\"x\"}]}").json();
    assert_eq!(document, json!({"entries": [{"entry": 0, "entityType": "a", "id": "x", "state": "confirmed"}]}));
    let expected = json!({"changes": {"a": [{"id": "x"}]}, "requestId": "r", "wait": "confirmed", "timeoutMs": 3000});
    assert_eq!(daemon.requests()[0].1, expected);
}

#[test]
fn a_push_that_waits_tells_by_its_exit_code_how_far_it_came() {
    for (wait, state, code) in [
        ("acked", "acked", 0),
        ("acked", "confirmed", 0),
        ("acked", "pending", 5),
        ("acked", "inDoubt", 5),
        ("acked", "quarantined", 1),
        ("acked", "conflict", 1),
        ("confirmed", "acked", 5),
        ("confirmed", "confirmed", 0),
        ("queued", "pending", 0),
    ] {
        let daemon = Daemon::new(move |_, params| queued(params, state));
        let done = daemon.run_with(&["push", "-", "--wait", wait], "{\"a\":[{\"id\":\"x\"}]}");
        assert_eq!(done.code, code, "{wait} {state}: {done:?}");
        assert_eq!(done.stderr.is_empty(), code == 0, "{wait} {state}: {done:?}");
        assert!(done.stdout.contains("ENTRY"));
        if code == 5 {
            assert!(done.stderr.starts_with("aectl: 1 entity is still on the way after 1m; it stays queued: "), "{done:?}");
        }
    }
}

/// 12 MB in 12,000 entities.
fn big_input() -> String {
    let padding = "x".repeat(1000);
    (0..12_000).map(|id| format!("{{\"id\":\"{id}\",\"x\":\"{padding}\"}}\n")).collect()
}

#[test]
fn a_big_push_goes_in_several_calls_with_ids_of_their_own_and_is_one_document() {
    let daemon = Daemon::new(|_, params| queued(params, "pending"));
    let done = daemon.run_with(&["push", "-", "--type", "a", "--request-id", "r", "--json"], &big_input());
    let document = done.json();
    let ids: Vec<&str> =
        document["entries"].as_array().expect("entries").iter().map(|entry| entry["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), 12_000);
    assert!(ids.iter().enumerate().all(|(index, id)| id.parse() == Ok(index)));
    let request_ids: Vec<_> = daemon.requests().iter().map(|(_, params)| params["requestId"].clone()).collect();
    assert_eq!(request_ids, ["r.1", "r.2"]);
    let stdout = daemon.run_with(&["push", "-", "--type", "a"], &big_input()).ok();
    assert_eq!(stdout, "12,000 entities: 12,000 queued\n");
}

#[test]
fn a_big_push_that_fails_halfway_says_how_far_it_came() {
    let daemon = Daemon::new(|_, params| {
        if params["changes"]["a"][0]["id"] == "0" {
            queued(params, "pending")
        } else {
            error("storage_full", "the outbox is full", "aectl outbox")
        }
    });
    let done = daemon.run_with(&["push", "-", "--type", "a"], &big_input());
    assert_eq!(done.code, 1);
    let first = daemon.requests()[0].1["changes"]["a"].as_array().expect("entities").len();
    let (thousands, rest) = (first / 1000, first % 1000);
    assert!(
        done.stderr
            .starts_with(&format!("aectl: {thousands},{rest:03} of 12,000 entities are queued (push the rest from entity ")),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains(&format!("index {first} of a: the outbox is full; aectl outbox")), "{}", done.stderr);
}

/// A daemon that takes lines of so many bytes.
fn narrow(limit: usize) -> Daemon {
    Daemon::new(move |_, params| {
        if params.to_string().len() <= limit {
            return queued(params, "pending");
        }
        let message = format!("the message is longer than {limit} bytes; send it in several smaller ones");
        Reply::TurnAway(json!({"code": -32000, "message": message, "data": {"code": "too_large", "retryable": false}}))
    })
}

/// What was taken: the request id and the entities of each push.
fn taken(daemon: &Daemon, limit: usize) -> Vec<(String, Vec<String>)> {
    let pushes = daemon.requests().into_iter().map(|(_, params)| params).filter(|params| params.to_string().len() <= limit);
    pushes
        .map(|params| {
            let entities = params["changes"]["a"].as_array().expect("entities").iter();
            (
                params["requestId"].as_str().unwrap_or_default().to_owned(),
                entities.map(|entity| entity["id"].as_str().expect("an id").to_owned()).collect(),
            )
        })
        .collect()
}

#[test]
fn a_daemon_that_takes_shorter_messages_gets_smaller_parts_each_entity_once_and_in_order() {
    let padding = "x".repeat(1000);
    let input: String = (0..130).map(|id| format!("{{\"id\":\"{id}\",\"x\":\"{padding}\"}}\n")).collect();
    let limit = 64 * 1024;
    let daemon = narrow(limit);
    let stdout = daemon.run_with(&["push", "-", "--type", "a"], &input).ok();
    assert_eq!(stdout, "130 entities: 130 queued\n");
    let pushed: Vec<String> = taken(&daemon, limit).into_iter().flat_map(|(_, entities)| entities).collect();
    assert_eq!(pushed, (0..130).map(|id| id.to_string()).collect::<Vec<_>>());
    assert!(daemon.requests().len() <= 8, "what was found out about the limit holds for the rest: {}", daemon.requests().len());
}

#[test]
fn a_repetition_of_a_push_in_smaller_parts_has_the_same_ids_for_the_same_entities() {
    let input: String = (0..9).map(|id| format!("{{\"id\":\"{id}\",\"x\":\"{}\"}}\n", "x".repeat(300))).collect();
    let limit = 1000;
    let (first, again) = (narrow(limit), narrow(limit));
    for daemon in [&first, &again] {
        daemon.run_with(&["push", "-", "--type", "a", "--request-id", "r"], &input).ok();
    }
    let parts = taken(&first, limit);
    assert_eq!(parts, taken(&again, limit));
    let ids: Vec<&str> = parts.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, (1..=parts.len()).map(|number| format!("r.{number}")).collect::<Vec<_>>());
    assert!(parts.len() > 1);
}

#[test]
fn an_entity_that_does_not_go_through_alone_is_named() {
    let input = format!("{{\"id\":\"0\"}}\n{{\"id\":\"1\",\"x\":\"{}\"}}\n{{\"id\":\"2\"}}\n", "x".repeat(2000));
    let done = narrow(1000).run_with(&["push", "-", "--type", "a"], &input);
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (
            1,
            "aectl: entity 1 of a takes 1.9 KiB, which is more than the daemon takes in one message; make it smaller, or raise \
             ipc.max_message (1 of 3 entities is queued; then push the rest from entity 2 on)\n"
        )
    );
}

#[test]
fn an_entity_that_is_too_large_for_the_server_is_not_tried_again() {
    let daemon = Daemon::new(|_, _| {
        Reply::Error(json!({"code": -32000, "message": "a[1] is 9 bytes, and the server takes 8 at most; nothing was enqueued",
            "data": {"code": "too_large", "retryable": false, "index": 1, "hint": "shorten it"}}))
    });
    let done = daemon.run_with(&["push", "-", "--type", "a"], "{\"id\":0}\n{\"id\":1}\n");
    assert_eq!((done.code, daemon.requests().len()), (1, 1), "{done:?}");
}

#[test]
fn input_that_is_wrong_is_refused_before_the_daemon_is_asked() {
    let daemon = Daemon::new(|_, _| Reply::HangUp);
    for (args, stdin) in [
        (&["push", "-"][..], "[{}]"),
        (&["push", "-"], ""),
        (&["push", "-", "--type", "a"], "{\"a\":1}\n{\"a\":"),
        (&["push", "-", "--type", "a"], ""),
    ] {
        let done = daemon.run_with(args, stdin);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{args:?}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    }
    let done = daemon.run(&["push", "/no/such/file"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.starts_with("aectl: reading /no/such/file failed: "), "{done:?}");
    assert_eq!(daemon.requests(), []);
}

#[test]
fn a_pull_tells_what_each_type_brought() {
    let result = json!({"types": {"interactions": {"received": 1000, "changed": 7, "deleted": 1}}, "seq": 9, "syncTimestamp": "2026-01-31T11:58:00.000Z"});
    let daemon = Daemon::with("pull", result.clone());
    let expected = "TYPE          RECEIVED  CHANGED  DELETED\ninteractions     1,000        7        1\n";
    assert_eq!(daemon.run(&["pull", "interactions", "--full"]).ok(), expected);
    assert_eq!(daemon.requests()[0].1, json!({"entityTypes": ["interactions"], "full": true}));
    assert_eq!(daemon.run(&["pull", "--json"]).json(), result);
    assert_eq!(daemon.requests()[1].1, json!({}));
}

#[test]
fn a_sync_tells_both_directions() {
    let result = json!({"pushed": 2, "types": {"interactions": {"received": 0, "changed": 0, "deleted": 0}}, "seq": 9});
    let daemon =
        Daemon::new(move |_, _| Reply::Events(vec![json!({"channel": "progress", "op": "pull", "done": 1})], result.clone()));
    assert_eq!(daemon.run(&["sync"]).ok(), "2 changes sent.\nNothing new.\n");
    assert_eq!(daemon.run(&["sync", "--json"]).json()["pushed"], 2);
}

#[test]
fn pending_rows_are_listed_by_type() {
    let result = json!({"data": {"end_user": [], "interactions": [{"id": "a", "title": "t"}]}, "syncTimestamp": "2026-01-31T11:58:00.000Z"});
    let daemon = Daemon::with("pullPending", result.clone());
    assert_eq!(daemon.run(&["pull-pending"]).ok(), "interactions  1 row\n  ID  RECORD\n  a   title=t\n");
    assert_eq!(daemon.run(&["pull-pending", "--json"]).json(), result);
}

#[test]
fn held_deletions_come_with_the_command_for_them() {
    let daemon =
        Daemon::with("reconcile", json!({"types": {"interactions": {"listed": 88, "added": 0, "deleted": 0, "held": 40}}}));
    assert!(daemon.run(&["reconcile"]).ok().ends_with("aectl reconcile --accept\n"));
    daemon.run(&["reconcile", "interactions", "--accept"]).ok();
    assert_eq!(daemon.requests()[1].1, json!({"entityTypes": ["interactions"], "accept": true}));
}
