//! What a failed request means, and what is to be done about it: one pure function and one table (rules R9, R10).

use std::time::Duration;

use super::input::FailureKind;

/// What to do after a failed push or pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The server can't be reached, or something else answers in its place: offline, try again after a backoff.
    Offline,
    /// The token is not accepted: sign in again, or ask for it (rule R40).
    AuthRequired,
    /// The server is there but can't do it now: try again after a backoff.
    BackOff,
    /// The server asks to be left alone for this long.
    Wait(Duration),
    /// Something in the batch is refused for good: find out which entry it is (rule R11).
    Isolate,
    /// The batch is too large, or can't be read there: never again unchanged.
    Split,
    /// We ask the wrong thing, or the wrong server: stop, keep everything, tell a person.
    Stop,
}

/// What may have become of a batch whose request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server never saw it.
    Unsent,
    /// The server saw it and did nothing.
    Refused,
    /// Nobody knows: all, a part or nothing of it may be stored (rule R9).
    InDoubt,
}

/// The shortest and the longest that a `Retry-After` is obeyed for.
const RETRY_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// Texts of the server's database and its entity layer that no repetition makes go away. `PK_` duplicates are looked for first:
/// they mean that the same row is being written by a parallel request.
const PERMANENT: [&str; 8] = [
    "Email is required for ClientUser",
    "violates not-null constraint",
    "duplicate key value violates unique constraint",
    "violates foreign key constraint",
    "violates check constraint",
    "invalid input syntax for type",
    "invalid byte sequence",
    "not registered",
];

/// Judges a failure.
#[must_use]
pub fn classify(kind: &FailureKind) -> (Action, Fate) {
    match kind {
        FailureKind::Unreachable | FailureKind::Untrusted => (Action::Offline, Fate::Unsent),
        FailureKind::NotOurs => (Action::Offline, Fate::InDoubt),
        FailureKind::Broken | FailureKind::TimedOut | FailureKind::TooLarge => (Action::BackOff, Fate::InDoubt),
        FailureKind::NoToken => (Action::AuthRequired, Fate::Unsent),
        FailureKind::Status { status, message, retry_after } => status_action(*status, message.as_deref(), *retry_after),
    }
}

fn status_action(status: u16, message: Option<&str>, retry_after: Option<Duration>) -> (Action, Fate) {
    let wait = |default| Action::Wait(retry_after.unwrap_or(default).clamp(*RETRY_AFTER.start(), *RETRY_AFTER.end()));
    match (status, message) {
        (401, _) => (Action::AuthRequired, Fate::Refused),
        (429, _) => (wait(Duration::from_secs(5)), Fate::Refused),
        (503, _) => (wait(Duration::from_secs(5)), Fate::InDoubt),
        (413, _) => (Action::Split, Fate::Refused),
        // Not the server's own JSON: a captive portal or a proxy speaks.
        (_, None) => (Action::Offline, Fate::InDoubt),
        // Validation refuses the whole request before it writes anything.
        (400 | 422, Some(_)) => (Action::Isolate, Fate::Refused),
        (408 | 425, Some(_)) => (Action::BackOff, Fate::InDoubt),
        (500, Some("Internal server error")) => (Action::Split, Fate::InDoubt),
        (500, Some(text)) if text.contains("\"PK_") => (Action::BackOff, Fate::InDoubt),
        (500, Some(text)) if PERMANENT.iter().any(|permanent| text.contains(permanent)) => (Action::Isolate, Fate::InDoubt),
        (500..=599, Some(_)) => (Action::BackOff, Fate::InDoubt),
        (_, Some(_)) => (Action::Stop, Fate::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, message: Option<&str>) -> FailureKind {
        FailureKind::Status { status, message: message.map(str::to_owned), retry_after: None }
    }

    #[test]
    fn every_status_and_text_of_the_server_has_its_action() {
        use Action::{AuthRequired, BackOff, Isolate, Offline, Split, Stop, Wait};
        use Fate::{InDoubt, Refused, Unsent};
        for (kind, action, fate) in [
            (FailureKind::Unreachable, Offline, Unsent),
            (FailureKind::Untrusted, Offline, Unsent),
            (FailureKind::Broken, BackOff, InDoubt),
            (FailureKind::TimedOut, BackOff, InDoubt),
            (FailureKind::NotOurs, Offline, InDoubt),
            (FailureKind::TooLarge, BackOff, InDoubt),
            (FailureKind::NoToken, AuthRequired, Unsent),
            (status(401, Some("No token provided")), AuthRequired, Refused),
            (status(401, Some("Unauthorized")), AuthRequired, Refused),
            (status(401, Some("Unauthorized - No company/customer ID")), AuthRequired, Refused),
            (status(401, None), AuthRequired, Refused),
            (status(400, Some("\"table\" is required")), Isolate, Refused),
            (status(400, Some("\"limit\" is not allowed")), Isolate, Refused),
            (status(400, Some("\"value\" must contain at least one of [lastSyncTimestamp, lastSync]")), Isolate, Refused),
            (status(404, Some("Route not found")), Stop, Refused),
            (status(403, Some("Forbidden")), Stop, Refused),
            (status(413, None), Split, Refused),
            (status(429, None), Wait(Duration::from_secs(5)), Refused),
            (status(503, None), Wait(Duration::from_secs(5)), InDoubt),
            (status(500, Some("Internal server error")), Split, InDoubt),
            (status(500, Some("Email is required for ClientUser")), Isolate, InDoubt),
            (
                status(500, Some("null value in column \"title\" of relation \"interactions\" violates not-null constraint")),
                Isolate,
                InDoubt,
            ),
            (
                status(500, Some("duplicate key value violates unique constraint \"UQ_4a257d2c9837248d70640b3e36e\"")),
                Isolate,
                InDoubt,
            ),
            (
                status(500, Some("duplicate key value violates unique constraint \"PK_9e7b580ca3f17ef1b1dd1cdd5fd\"")),
                BackOff,
                InDoubt,
            ),
            (
                status(500, Some("insert or update on table \"interactions\" violates foreign key constraint \"FK_1\"")),
                Isolate,
                InDoubt,
            ),
            (status(500, Some("invalid input syntax for type timestamp: \"yesterday\"")), Isolate, InDoubt),
            (status(500, Some("invalid byte sequence for encoding \"UTF8\": 0x00")), Isolate, InDoubt),
            (status(500, Some("Entity type orders not registered")), Isolate, InDoubt),
            (status(500, Some("connect ECONNREFUSED 127.0.0.1:5432")), BackOff, InDoubt),
            (status(500, Some("Failed to initialize tenant database: timeout")), BackOff, InDoubt),
            (status(500, Some("terminating connection due to administrator command")), BackOff, InDoubt),
            (status(502, None), Offline, InDoubt),
            (status(502, Some("Bad gateway")), BackOff, InDoubt),
            (status(302, None), Offline, InDoubt),
            (status(404, None), Offline, InDoubt),
        ] {
            assert_eq!(classify(&kind), (action, fate), "{kind:?}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_within_bounds() {
        for (asked, obeyed) in [(0, 1), (7, 7), (86_400, 300)] {
            let kind = FailureKind::Status { status: 429, message: None, retry_after: Some(Duration::from_secs(asked)) };
            assert_eq!(classify(&kind).0, Action::Wait(Duration::from_secs(obeyed)));
        }
    }
}
