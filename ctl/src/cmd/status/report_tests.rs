use serde_json::json;

use super::super::sample::status;
use super::*;

const NOW: &str = "2026-01-31T12:00:00.000Z";

fn plain() -> View {
    View { paint: Paint(false), width: None, now: NOW.parse().expect("a time") }
}

#[test]
fn the_indicator_has_its_sign_word_and_colour() {
    for (word, plain, colored) in [
        (StatusWord::Synced, "● Synced", "\u{1b}[32m● Synced\u{1b}[0m"),
        (StatusWord::Syncing, "⟳ Syncing…", "\u{1b}[34m⟳ Syncing…\u{1b}[0m"),
        (StatusWord::Pending, "▲ Pending", "\u{1b}[38;5;208m▲ Pending\u{1b}[0m"),
        (StatusWord::Offline, "✕ Offline", "\u{1b}[31m✕ Offline\u{1b}[0m"),
    ] {
        assert_eq!(indicator(word, Paint(false)), plain);
        assert_eq!(indicator(word, Paint(true)), colored);
    }
}

#[test]
fn when_all_is_well_little_is_said() {
    assert_eq!(
        report(&status(json!({})), &plain()),
        "\
● Synced

  server      https://ae.example, tenant 7f3a
  link        online over a websocket for 3 h, round trip 23 ms
  sign-in     me@example.com, expires in 3 days

  TYPE          RECORDS  PULLED
  end_user        1,204  2 min ago
  interactions       88  just now"
    );
}

#[test]
fn a_daemon_that_knows_of_no_server_says_so() {
    let mut fresh = status(json!({}));
    fresh.server.url.clear();
    fresh.server.tenant_id = None;
    assert!(report(&fresh, &plain()).contains("\n  server      none named yet\n"), "{}", report(&fresh, &plain()));
}

#[test]
fn offline_says_why_what_waits_and_when_it_goes_on() {
    let status = status(json!({
        "status": "offline", "reason": "unreachable", "retryAt": "2026-01-31T12:00:40.000Z",
        "server": {"link": "backoff", "transport": null, "connectedSince": null, "rttMs": null, "reconnects": 2},
        "outbox": {"pending": 3, "inDoubt": 1, "bytes": 1300},
        "types": {"interactions": {"dirty": true}},
        "attention": [
            {"code": "conflicts", "message": "2 changes were overruled by the server.", "count": 2},
            {"code": "quarantined", "message": "1 change was refused: see `aectl outbox list`", "count": 1},
            {"code": "from_the_future", "message": "Look out."}
        ],
        "lastError": {"code": "offline", "message": "connection refused", "at": "2026-01-31T11:59:20.000Z"}
    }));
    assert_eq!(
        report(&status, &plain()),
        "\
✕ Offline
  No answer from the server for 2 min; next try in 40 s.
  3 changes wait to be sent, 1 change was sent with an outcome not known yet; 1.2 KiB in all.
  Last synced 2 min ago.

  ! 2 changes were overruled by the server.  → aectl conflicts
  ! 1 change was refused: see `aectl outbox list`
  ! Look out.

  last error  connection refused (40 s ago)
  server      https://ae.example, tenant 7f3a
  link        waiting to try again, 2 reconnects
  sign-in     me@example.com, expires in 3 days

  TYPE          RECORDS  PULLED
  end_user        1,204  2 min ago
  interactions       88  just now   stale"
    );
}

#[test]
fn each_reason_for_being_offline_names_what_to_do() {
    for (reason, expected) in [
        ("signed_out", "Nobody is signed in: aectl login"),
        ("auth_required", "The server no longer takes the sign-in: aectl login"),
        ("misconfigured", "Configuration, token and server don't fit together: correct them, then aectl reload"),
        ("paused", "Paused for 2 min: aectl resume"),
        ("unreachable", "No answer from the server for 2 min: aectl doctor"),
    ] {
        let status = status(json!({"status": "offline", "reason": reason}));
        assert_eq!(headline(&status, plain().now), format!("✕ Offline: {expected}"));
    }
}

#[test]
fn a_state_that_only_a_person_can_end_says_so_with_the_commands() {
    let status = status(json!({"status": "pending", "outbox": {"quarantined": 1, "conflicts": 2}}));
    let text = report(&status, &plain());
    assert!(
        text.starts_with(
            "\
▲ Pending
  Nothing waits to be sent; what is left needs you:
  Last synced 2 min ago.

  ! 2 changes were overruled by the server  → aectl conflicts
  ! 1 change was refused by the server  → aectl outbox list --state quarantined

"
        ),
        "{text}"
    );
    assert_eq!(
        headline(&status, plain().now),
        "▲ Pending: 2 changes were overruled by the server (aectl conflicts), 1 change was refused by the server \
         (aectl outbox list --state quarantined)."
    );
}

#[test]
fn what_the_daemon_tells_is_not_told_twice() {
    let status = status(json!({
        "status": "pending", "outbox": {"quarantined": 1},
        "attention": [{"code": "quarantined", "message": "1 local change is refused: see `aectl outbox list`", "count": 1}]
    }));
    assert_eq!(report(&status, &plain()).matches("refused").count(), 1);
}

#[test]
fn each_state_says_something_even_when_nothing_waits() {
    for (patch, expected) in [
        (json!({"status": "syncing"}), "⟳ Syncing…: The server is asked for what is new."),
        (
            json!({"status": "pending", "types": {"end_user": {"dirty": true}}}),
            "▲ Pending: The server has news that are not fetched yet, of end_user: aectl pull",
        ),
        (
            json!({"status": "pending", "types": {"end_user": {"suspicious": true}}}),
            "▲ Pending: The server's last answer looked incomplete, of end_user: aectl reconcile",
        ),
        (json!({"status": "pending"}), "▲ Pending: The last pull is some time ago: aectl pull"),
        (json!({"status": "offline"}), "✕ Offline: The server is not reached: aectl doctor"),
        (json!({}), "● Synced"),
    ] {
        let status = status(patch);
        assert_eq!(headline(&status, plain().now), expected);
        assert_eq!(
            report(&status, &plain()).lines().nth(1),
            expected.split_once(": ").map(|(_, why)| format!("  {why}")).as_deref().or(Some(""))
        );
    }
}

#[test]
fn a_first_sync_and_a_pending_confirmation_are_told() {
    let status = status(json!({
        "status": "syncing", "hasSynced": false, "lastSyncedAt": null,
        "outbox": {"acked": 1, "sent": 2, "blocked": 1},
        "types": {"end_user": {"records": 0, "firstSyncDone": false, "lastPulledAt": null, "suspicious": true}}
    }));
    let text = report(&status, &plain());
    assert!(
        text.starts_with(
            "⟳ Syncing…\n  2 changes are being sent, 1 sent change waits for a pull to confirm, 1 change waits for another that needs you.\n  \
             The first sync is not done yet: end_user.\n\n"
        ),
        "{text}"
    );
    assert!(text.contains("end_user            0  never     first sync not done, last answer looked incomplete\n"), "{text}");
}

#[test]
fn nothing_from_outside_can_steer_the_terminal() {
    let evil = "\u{1b}]0;pwned\u{7}\u{9b}2J\r\n";
    let status = status(json!({
        "server": {"url": evil, "tenantId": evil},
        "auth": {"subject": evil},
        "types": {evil: {"records": 1, "dirty": false, "firstSyncDone": false, "suspicious": false}},
        "attention": [{"code": evil, "message": evil}],
        "lastError": {"code": evil, "message": evil, "at": NOW}
    }));
    let text = report(&status, &plain());
    assert_eq!(text.chars().find(|char| char.is_control() && *char != '\n'), None, "{text:?}");
}
