//! `aectl bug-report` for real: what it has with a daemon and without one, and what it never has.

use serde_json::json;

use crate::support::finish;
use crate::table::Table;

/// What the file holds.
fn report(table: &Table, name: &str) -> String {
    let path = table.dir.path().join(name);
    table.aectl(&["bug-report", "--output", path.to_str().expect("UTF-8")]).ok();
    std::fs::read_to_string(path).expect("a report")
}

/// The text below a heading.
fn section<'a>(report: &'a str, title: &str) -> &'a str {
    let (_, rest) = report.split_once(&format!("\n== {title}\n")).unwrap_or_else(|| panic!("no {title} in\n{report}"));
    rest.split("\n== ").next().unwrap_or_default()
}

#[test]
fn a_report_explains_a_fault_with_a_daemon_and_without_one_and_holds_no_secret() {
    let Some(mut table) = Table::set(&[]) else { return };
    let password = table.dir.path().join("password");
    std::fs::write(&password, table.password.clone() + "\n").expect("written");
    let settings = [
        ("AESYNC_SERVER__URL", table.url.clone()),
        ("AESYNC_AUTH__EMAIL", table.email.clone()),
        ("AESYNC_AUTH__PASSWORD_FILE", password.display().to_string()),
    ];
    let borrowed: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    table.start(&borrowed);
    table.aectl(&["wait", "synced", "--timeout", "20s"]).ok();
    let other = table.sign_in_for(3600);
    finish(table.command(&["token", "set", "-"]), &other).ok();
    let row = json!({"email": "ada@example.com", "name": "Ada", "password": "hunter2-of-a-row"}).to_string();
    table.control("faults", &json!({"fault": "database_down"}));
    finish(table.command(&["push", "-", "--type", "end_user"]), &row).ok();

    let up = report(&table, "up.txt");
    assert!(section(&up, "versions").starts_with(concat!("aectl ", env!("CARGO_PKG_VERSION"))), "{up}");
    assert!(section(&up, "examination").contains("aesyncd ") && section(&up, "status").contains(&table.url), "{up}");
    assert!(section(&up, "configuration").contains("secret_fields"), "{up}");
    assert!(section(&up, "outbox").contains("end_user") && section(&up, "metrics").contains("# HELP aesync_status"), "{up}");
    assert!(section(&up, "store").contains("databaseBytes"), "{up}");
    let kept = std::fs::read_to_string(table.state().join("token")).unwrap_or_default();

    table.stop_daemon();
    let down = report(&table, "down.txt");
    assert!(section(&down, "status").contains("aesyncd is not running"), "{down}");
    assert!(section(&down, "aesyncd --check").contains("ok: configuration"), "{down}");
    for report in [&up, &down] {
        let listed = section(report, "state directory");
        assert!(listed.starts_with("040700 ") && listed.contains(" sled "), "{listed}");
    }

    let secrets = [table.password.as_str(), &other, kept.trim(), "hunter2-of-a-row", "ada@example.com"];
    assert!(kept.len() > 20, "the token that was set is kept: {kept:?}");
    for (report, name) in [(&up, "up"), (&down, "down")] {
        for secret in secrets {
            assert!(!report.contains(secret), "{secret} stands in the report with the daemon {name}");
            for part in secret.split('.').filter(|part| part.len() >= 20) {
                assert!(!report.contains(part), "{part} stands in the report with the daemon {name}");
            }
        }
    }
}

#[test]
fn a_report_never_overwrites_a_file() {
    let Some(table) = Table::set(&[]) else { return };
    let path = table.dir.path().join("there");
    std::fs::write(&path, "kept").expect("written");
    let done = table.aectl(&["bug-report", "--output", path.to_str().expect("UTF-8")]);
    assert_eq!((done.code, std::fs::read_to_string(&path).expect("there").as_str()), (1, "kept"), "{done:?}");
}
