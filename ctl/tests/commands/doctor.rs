//! `aectl doctor --deep` against a daemon that is told what to find.

use serde_json::{Value, json};

use crate::support::{Daemon, Reply, error};

/// A daemon of this role, whose slices of the check are these.
fn daemon(role: &'static str, slices: Vec<Value>) -> Daemon {
    Daemon::with_role(role, move |method, params| match method {
        "store.check" => {
            let at = params.get("after").map_or(0, |after| after.as_str().expect("text").parse().expect("a number"));
            Reply::Result(slices[at].clone())
        }
        "store.figures" => Reply::Result(json!({
            "databaseBytes": 70 << 20, "liveBytes": 30 << 20, "journalBytes": 4096, "journalLiveBytes": 0, "damagedBytes": 0,
            "syncs": 1, "lastSyncAt": "2026-01-31T11:58:00.250Z", "slowestSyncMs": 4, "rewriting": false,
        })),
        "status" => Reply::Result(status()),
        other => error("unsupported", &format!("{other} is not played"), "none"),
    })
}

/// Some status.
fn status() -> Value {
    let lines = include_str!("../../../protocol/tests/golden/results.ndjson").lines();
    let line = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON")).find(|line| line["id"] == 3);
    line.expect("the golden status")["result"].clone()
}

fn slice(part: &str, values: u64, damaged: &Value, next: Option<&str>) -> Value {
    let mut slice = json!({"part": part, "values": values, "bytes": values * 1024, "damaged": damaged});
    if let Some(next) = next {
        slice["next"] = next.into();
    }
    slice
}

fn checksums(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .filter(|finding| finding["check"] == "checksums")
        .map(|finding| (finding["level"].as_str().expect("a level"), finding["message"].as_str().expect("a message")))
        .collect()
}

#[test]
fn a_store_that_reads_is_told_with_its_totals_by_part() {
    let none = json!([]);
    let daemon = daemon(
        "admin",
        vec![
            slice("replica", 2_000, &none, Some("1")),
            slice("replica", 500, &none, Some("2")),
            slice("journal", 3, &none, None),
        ],
    );
    let report: Value = serde_json::from_str(&daemon.run(&["doctor", "--deep", "--json"]).stdout).expect("JSON");
    assert_eq!(checksums(&report), [("ok", "Everything reads: replica 2,500 (2.4 MiB), journal 3 (3.0 KiB).")]);
    assert_eq!(report["deep"]["parts"]["replica"], json!({"values": 2_500, "bytes": 2_560_000, "damaged": 0}));
    assert_eq!(report["deep"]["complete"], true);
    let asked: Vec<_> = daemon.requests().into_iter().filter(|(method, _)| method == "store.check").collect();
    assert_eq!(asked.len(), 3, "each slice once: {asked:?}");
}

#[test]
fn each_damaged_value_is_named_with_what_becomes_of_it_and_the_exit_code_says_so() {
    let damaged = json!([
        {"what": "end_user a\u{1b}", "reason": "its checksum does not fit", "remedy": "fetched"},
        {"what": "outbox entry 4", "reason": "its checksum does not fit", "remedy": "restored"},
    ]);
    let daemon = daemon("admin", vec![slice("replica", 2, &damaged, None)]);
    let done = daemon.run(&["doctor", "--deep"]);
    assert_eq!(done.code, 1, "{}", done.stdout);
    for expected in [
        "end_user a\\u{1b} in the replica: its checksum does not fit.",
        "the daemon fetches it from the server again",
        "the daemon puts it back from its journal",
        "2 values are damaged. Checked: replica 2 (2.0 KiB).",
    ] {
        assert!(done.stdout.contains(expected), "{expected}: {}", done.stdout);
    }
}

#[test]
fn a_check_that_never_ends_is_given_up_and_says_how_far_it_came() {
    let daemon = daemon("admin", vec![slice("replica", 1, &json!([]), Some("0"))]);
    let report: Value =
        serde_json::from_str(&daemon.run(&["--timeout", "1s", "doctor", "--deep", "--json"]).stdout).expect("JSON");
    let [("warning", message)] = checksums(&report)[..] else { panic!("{report}") };
    assert!(message.starts_with("Not all were checked within 1 s. So far: replica "), "{message}");
    assert_eq!(report["deep"]["complete"], false);
}

#[test]
fn only_an_admin_may_have_everything_checked() {
    let daemon = daemon("operator", Vec::new());
    let report: Value = serde_json::from_str(&daemon.run(&["doctor", "--deep", "--json"]).stdout).expect("JSON");
    assert_eq!(checksums(&report), [("skipped", "Only an admin may have them checked.")]);
    assert!(daemon.requests().iter().all(|(method, _)| method != "store.check"));
}
