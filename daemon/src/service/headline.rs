//! The sync state in one line, for `systemctl status` and for the log.

use aesync_protocol::status::{LinkWord, OfflineReason};
use aesync_protocol::{Status, StatusWord};

/// The line: the word, why if it is offline, what waits, what needs a person, and what to do.
#[must_use]
pub fn headline(status: &Status) -> String {
    let mut line = status.status.to_string();
    if let Some(reason) = status.reason {
        line += &format!(" ({})", name(reason));
    }
    let waits = status.outbox.pending + status.outbox.sent + status.outbox.in_doubt;
    let counted = |count: u64, one: &str, many: &str| format!(", {count} {}", if count == 1 { one } else { many });
    if waits > 0 {
        line += &counted(waits, "change waits", "changes wait");
    }
    let attention = u64::try_from(status.attention.len()).unwrap_or(u64::MAX);
    if attention > 0 {
        line += &counted(attention, "thing needs a person: aectl status", "things need a person: aectl status");
    } else if let Some(next) = status.reason.and_then(what_next) {
        line += &format!(": {next}");
    }
    line
}

/// What to write into the log when the status turns from `before` to `after`: that it went offline, for another reason, or is in step with
/// the server again. The states between come and go with every change and are worth no line.
#[must_use]
pub fn turned(before: Option<&Status>, after: &Status) -> Option<String> {
    // While it connects nobody knows yet whether the server can be reached.
    let connects = |status: &Status| matches!(status.server.link, LinkWord::Connecting | LinkWord::Authenticating);
    let milestone = |status: &Status| match status.status {
        StatusWord::Offline if status.reason == Some(OfflineReason::Unreachable) && connects(status) => None,
        StatusWord::Offline => Some(status.reason),
        StatusWord::Synced => Some(None),
        StatusWord::Syncing | StatusWord::Pending => None,
    };
    let now = milestone(after)?;
    (before.and_then(milestone) != Some(now)).then(|| headline(after))
}

fn what_next(reason: OfflineReason) -> Option<&'static str> {
    match reason {
        OfflineReason::SignedOut | OfflineReason::AuthRequired => Some("aectl login"),
        OfflineReason::Paused => Some("aectl resume"),
        OfflineReason::Misconfigured => Some("aectl status"),
        OfflineReason::Unreachable => None,
    }
}

/// As on the wire.
fn name(reason: OfflineReason) -> &'static str {
    match reason {
        OfflineReason::Unreachable => "unreachable",
        OfflineReason::SignedOut => "signed_out",
        OfflineReason::AuthRequired => "auth_required",
        OfflineReason::Misconfigured => "misconfigured",
        OfflineReason::Paused => "paused",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aesync_protocol::status::Attention;

    use super::*;

    pub(in crate::service) fn status(word: StatusWord, reason: Option<OfflineReason>) -> Status {
        let mut value = serde_json::json!({
            "status": word, "since": "2026-01-31T12:00:00.000Z", "hasSynced": false, "seq": 0, "paused": false,
            "server": {"url": "", "link": "signedOut", "reconnects": 0}, "auth": {"state": "none"},
            "outbox": {"pending": 0, "sent": 0, "inDoubt": 0, "acked": 0, "quarantined": 0, "blocked": 0, "conflicts": 0, "bytes": 0},
            "types": {}, "feed": {"log": "", "firstSeq": 0, "lastSeq": 0}, "attention": [],
            "daemon": {"version": "0", "pid": 1, "startedAt": "2026-01-31T12:00:00.000Z", "instance": "default"},
        });
        if let Some(reason) = reason {
            value["reason"] = serde_json::to_value(reason).expect("a word");
        }
        serde_json::from_value(value).expect("a status")
    }

    #[test]
    fn every_state_has_its_line_with_what_waits_and_what_to_do() {
        for (word, reason, line) in [
            (StatusWord::Synced, None, "synced"),
            (StatusWord::Syncing, None, "syncing"),
            (StatusWord::Offline, Some(OfflineReason::SignedOut), "offline (signed_out): aectl login"),
            (StatusWord::Offline, Some(OfflineReason::AuthRequired), "offline (auth_required): aectl login"),
            (StatusWord::Offline, Some(OfflineReason::Paused), "offline (paused): aectl resume"),
            (StatusWord::Offline, Some(OfflineReason::Misconfigured), "offline (misconfigured): aectl status"),
            (StatusWord::Offline, Some(OfflineReason::Unreachable), "offline (unreachable)"),
        ] {
            assert_eq!(headline(&status(word, reason)), line);
        }
        let mut pending = status(StatusWord::Pending, None);
        (pending.outbox.pending, pending.outbox.in_doubt) = (2, 1);
        assert_eq!(headline(&pending), "pending, 3 changes wait");
        pending.attention.push(Attention { code: "conflicts".to_owned(), message: "x".to_owned(), count: None });
        assert_eq!(headline(&pending), "pending, 3 changes wait, 1 thing needs a person: aectl status");
    }

    #[test]
    fn the_names_of_the_reasons_are_those_of_the_wire() {
        for reason in [
            OfflineReason::Unreachable,
            OfflineReason::SignedOut,
            OfflineReason::AuthRequired,
            OfflineReason::Misconfigured,
            OfflineReason::Paused,
        ] {
            assert_eq!(serde_json::to_value(reason).expect("a word"), name(reason));
        }
    }

    #[test]
    fn a_line_is_logged_for_each_milestone_and_not_for_the_states_between() {
        let synced = status(StatusWord::Synced, None);
        let pending = status(StatusWord::Pending, None);
        let unreachable = status(StatusWord::Offline, Some(OfflineReason::Unreachable));
        let signed_out = status(StatusWord::Offline, Some(OfflineReason::SignedOut));
        assert_eq!(turned(None, &signed_out).as_deref(), Some("offline (signed_out): aectl login"));
        assert_eq!(turned(Some(&signed_out), &signed_out), None);
        assert_eq!(turned(Some(&signed_out), &unreachable).as_deref(), Some("offline (unreachable)"));
        let mut connecting = unreachable.clone();
        connecting.server.link = LinkWord::Connecting;
        assert_eq!(turned(Some(&signed_out), &connecting), None, "nobody knows yet");
        assert_eq!(turned(Some(&unreachable), &pending), None);
        assert_eq!(turned(Some(&unreachable), &synced).as_deref(), Some("synced"));
        assert_eq!(turned(Some(&synced), &synced), None);
    }
}
