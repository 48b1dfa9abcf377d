//! `aectl watch`, `aectl changes` and `aectl wait`

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Daemon, Reply, error, status};

fn change(seq: u64) -> Value {
    json!({"seq": seq, "op": "upsert", "entityType": "interactions", "id": "0af", "record": {"id": "0af", "title": "t"},
           "origin": "local", "pending": true, "at": "2026-01-31T11:58:00.000Z", "new": 1})
}

#[test]
fn each_event_is_a_line() {
    let daemon = Daemon::new(|_, _| {
        let entry = json!({"entry": 3, "entityType": "interactions", "id": "0af", "op": "update", "state": "quarantined", "data": {},
            "bytes": 2, "enqueuedAt": "2026-01-31T11:58:00.000Z", "attempts": 1,
            "lastError": {"message": "no such column\u{1b}[2J", "at": "2026-01-31T11:58:00.000Z"}});
        Reply::Stream(
            json!({"log": "l", "seq": 7}),
            vec![
                json!({"channel": "status", "status": status("synced")}),
                json!({"channel": "notification", "notification": {"type": "data_available", "entityType": "interactions", "message": "new", "timestamp": "2026-01-31T11:58:00.000Z"}}),
                json!({"channel": "change", "change": change(8)}),
                json!({"channel": "outbox", "entry": entry}),
                json!({"channel": "progress", "op": "pull", "entityType": "interactions", "done": 1200, "total": 5000}),
                json!({"channel": "weather"}),
                json!({"channel": "checkpoint", "seq": 9}),
                json!({"channel": "lagged", "dropped": 2}),
            ],
        )
    });
    let done = daemon.run(&["watch"]);
    assert_eq!(done.code, 3, "the connection was lost: {done:?}");
    assert!(done.stderr.contains("closed the connection"), "{}", done.stderr);
    let lines: Vec<&str> = done.stdout.lines().map(|line| line.split_once("Z  ").expect("a time").1).collect();
    assert_eq!(
        lines,
        [
            "status        ● Synced: 3 changes wait to be sent (1.2 KiB).",
            "notification  data_available  interactions  new",
            "change        8  upsert  local  ▲  interactions  0af  title=t",
            "outbox        3  quarantined  interactions  0af  no such column\\u{1b}[2J",
            "progress      pull interactions  1,200 of 5,000",
            "checkpoint    the position is now 9",
            "lagged        2 events were missed",
        ]
    );
    assert_eq!(daemon.requests()[0].1, json!({"channels": ["status", "notification", "change", "outbox", "progress"]}));
    assert_eq!(daemon.names(), ["aectl"], "so that `aectl clients` can tell who follows");
}

#[test]
fn a_filter_by_a_type_that_is_not_there_is_a_mistake() {
    let daemon = Daemon::with("status", status("synced"));
    for command in [&["watch", "--type", "interaction"][..], &["changes", "--since", "0", "--type", "interaction"]] {
        let done = daemon.run(command);
        assert_eq!(done.code, 1, "{done:?}");
        assert_eq!(
            done.stderr,
            "aectl: the daemon syncs no entity type \"interaction\"; did you mean interactions? It syncs: interactions\n"
        );
    }
}

#[test]
fn as_json_each_event_is_the_daemons_own_and_channels_and_positions_are_passed_on() {
    let daemon = Daemon::new(|method, _| {
        if method == "status" {
            return Reply::Result(status("synced"));
        }
        Reply::Stream(
            json!({"log": "l", "seq": 7}),
            vec![json!({"channel": "change", "change": change(8)}), json!({"channel": "weather", "sunny": true})],
        )
    });
    let done = daemon.run(&["watch", "change", "--since", "7", "--log", "l", "--type", "interactions", "--json"]);
    let lines: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, [json!({"channel": "change", "change": change(8)}), json!({"channel": "weather", "sunny": true})]);
    let asked = json!({"channels": ["change"], "entityTypes": ["interactions"], "since": 7, "log": "l"});
    assert_eq!(daemon.requests().last(), Some(&("subscribe".to_owned(), asked)));
}

#[test]
fn a_position_that_is_gone_is_told_with_what_to_do() {
    let daemon = Daemon::new(|_, _| error("gone", "position 3 was trimmed", "list the records"));
    let done = daemon.run(&["watch", "change", "--since", "3"]);
    assert_eq!((done.code, done.stderr.as_str()), (1, "aectl: position 3 was trimmed; list the records\n"));
}

#[test]
fn whoever_closes_the_pipe_has_seen_enough() {
    let daemon = Daemon::new(|_, params| {
        let since = params["since"].as_u64().expect("a position");
        let changes: Vec<Value> = (since + 1..=since + 1000).map(change).collect();
        Reply::Result(json!({"log": "l", "changes": changes, "next": since + 1000, "lastSeq": u64::MAX >> 11}))
    });
    for args in [&["changes", "--since", "0"][..], &["changes", "--since", "0", "--json"]] {
        let mut running = daemon.start(args);
        if args.len() == 3 {
            assert!(running.line().contains("upsert"));
        }
        assert_eq!(running.stop_reading(), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn changes_are_read_to_the_end_as_one_document() {
    let daemon = Daemon::new(|_, params| {
        Reply::Result(match params["since"].as_u64() {
            Some(0) => json!({"log": "l", "changes": [change(1), change(2)], "next": 2, "lastSeq": 3}),
            _ => json!({"log": "l", "changes": [change(3)], "next": 3, "lastSeq": 3}),
        })
    });
    let document = daemon.run(&["changes", "--since", "0", "--json"]).json();
    assert_eq!(document, json!({"log": "l", "changes": [change(1), change(2), change(3)], "next": 3, "lastSeq": 3}));
    let since: Vec<_> = daemon.requests().iter().map(|(_, params)| (params["since"].clone(), params["log"].clone())).collect();
    assert_eq!(since, [(json!(0), Value::Null), (json!(2), json!("l"))]);
    assert_eq!(daemon.run(&["changes", "--since", "0"]).ok().lines().count(), 3);
}

#[test]
fn following_asks_on_from_where_it_stands() {
    let daemon = Daemon::new(|_, params| {
        let since = params["since"].as_u64().expect("a position");
        if since == 4 {
            return Reply::HangUp;
        }
        Reply::Result(json!({"log": "l", "changes": [change(since + 1)], "next": since + 1, "lastSeq": since + 1}))
    });
    let done = daemon.run(&["changes", "--since", "2", "--follow", "--json"]);
    assert_eq!(done.code, 3, "{done:?}");
    let lines: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, [change(3), change(4)]);
    assert!(daemon.requests()[0].1["waitMs"].as_u64().is_some_and(|wait| wait > 0));
}

#[test]
fn waiting_exits_with_0_when_it_was_reached_and_with_5_when_it_was_not() {
    for (goal, sent) in [("synced", "synced"), ("online", "online"), ("outbox-empty", "outboxEmpty")] {
        let daemon =
            Daemon::new(|_, params| Reply::Result(json!({"reached": params["timeoutMs"] != 1500, "status": status("pending")})));
        assert_eq!(daemon.run(&["wait", goal]).ok(), "▲ Pending\n");
        assert_eq!(daemon.requests()[0].1, json!({"for": sent, "timeoutMs": 86_400_000}));
        let done = daemon.run(&["wait", goal, "--timeout", "1500ms"]);
        assert_eq!((done.code, done.stdout.as_str()), (5, ""));
        assert!(done.stderr.contains("within 1s 500ms: ▲ Pending: 3 changes wait"), "{}", done.stderr);
        let done = daemon.run(&["wait", goal, "--timeout", "1500ms", "--json"]);
        assert_eq!((done.code, done.stderr.as_str()), (5, ""));
        assert_eq!(serde_json::from_str::<Value>(&done.stdout).expect("JSON")["reached"], false);
    }
}

#[test]
fn waiting_for_no_time_asks_once() {
    let daemon = Daemon::new(|_, _| Reply::Result(json!({"reached": false, "status": status("pending")})));
    let done = daemon.run(&["wait", "synced", "--timeout", "0s"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(done.stderr.starts_with("aectl: not synced now: ▲ Pending: "), "{}", done.stderr);
    assert_eq!(daemon.requests(), [("wait".to_owned(), json!({"for": "synced", "timeoutMs": 0}))]);
    let done = daemon.run(&["status", "--timeout", "0s"]);
    assert_eq!((done.code, daemon.requests().len()), (2, 1), "{done:?}");
}

#[test]
fn a_time_out_of_watch_is_for_the_first_answer_and_not_for_events() {
    let silent = Daemon::new(|_, _| Reply::Silence);
    assert_eq!(silent.run(&["watch", "--timeout", "50ms"]).code, 5);
    let limit = Duration::from_millis(500);
    let daemon = Daemon::new(move |_, _| {
        Reply::Late(json!({"log": "l", "seq": 7}), limit * 2, vec![json!({"channel": "checkpoint", "seq": 9})])
    });
    let done = daemon.run(&["watch", "--timeout", "500ms"]);
    assert!(done.stdout.contains("the position is now 9"), "{done:?}");
}

#[test]
fn the_daemons_own_time_out_is_waited_for() {
    let limit = Duration::from_millis(20);
    let daemon = Daemon::new(move |_, _| {
        // The answer comes after the time that the daemon was given, as it always does.
        std::thread::sleep(limit * 5);
        Reply::Result(json!({"reached": false, "status": status("pending")}))
    });
    let done = daemon.run(&["wait", "synced", "--timeout", "20ms"]);
    assert_eq!(done.code, 5);
    assert!(done.stderr.contains("not synced within 20ms"), "{}", done.stderr);
}
