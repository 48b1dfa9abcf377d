//! What a failed exchange is, for the engine: one kind, and one sentence that says what was tried, what went wrong and what to do.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use super::exchange::Call;
use crate::engine::input::{Failure, FailureKind};
use crate::server::fault::{self, Cause};
use crate::server::wire::listing::ListingError;

/// The longest `Retry-After` that is passed on.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// What an error of the HTTP client means.
pub(super) fn of_client(error: &reqwest::Error) -> (FailureKind, String) {
    let (cause, mut sentence) = fault::of(error);
    let kind = match cause {
        Cause::Certificate => FailureKind::Untrusted,
        _ if error.is_connect() => FailureKind::Unreachable,
        _ if error.is_timeout() => FailureKind::TimedOut,
        _ => FailureKind::Broken,
    };
    if kind == FailureKind::Unreachable
        && let Some(url) = error.url()
        && let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default())
    {
        sentence.push_str(&format!(" at {host}:{port}"));
    }
    (kind, sentence)
}

/// What to do about it, also for those who have no token yet.
const fn advice(kind: &FailureKind, signs_in: bool) -> &'static str {
    match kind {
        FailureKind::Status { status: 401 | 403, message: Some(_), .. } if signs_in => {
            "check the e-mail address and the password"
        }
        FailureKind::Unreachable => "check the network and server.url",
        FailureKind::Untrusted => {
            "if the server has a private authority, name it as server.ca_file; check the clock of this machine too"
        }
        FailureKind::Broken | FailureKind::TimedOut => {
            "it will be tried again; if it goes on, look at the server and at what stands before it"
        }
        FailureKind::NotOurs | FailureKind::Status { message: None, .. } => {
            "check that server.url leads to AdminEngine and not to a proxy or a login page"
        }
        FailureKind::TooLarge => "look at the server: its answers are never that large",
        FailureKind::Status { status: 401 | 403, .. } => "check who signs in: aectl login",
        FailureKind::Status { status: 400..=499, .. } => "correct what it names; if it names nothing, its log says more",
        FailureKind::Status { .. } => "the server's log says more",
        FailureKind::NoToken => "sign in first",
    }
}

impl Call {
    /// A failure of this call.
    pub(super) fn failure(&self, kind: FailureKind, what: &str) -> Failure {
        let detail = self.told(&format!("{} failed: {what}; {}", self.verb, advice(&kind, self.signs_in())));
        Failure { kind, detail }
    }

    pub(super) fn not_ours(&self, what: &str) -> Failure {
        self.failure(FailureKind::NotOurs, what)
    }

    pub(super) fn client(&self, error: &reqwest::Error) -> Failure {
        let (kind, sentence) = of_client(error);
        self.failure(kind, &sentence)
    }

    pub(super) fn timed_out(&self, what: &str, after: Duration) -> Failure {
        self.failure(FailureKind::TimedOut, &format!("{what} within {} s", after.as_secs_f64().ceil()))
    }

    pub(super) fn listing(&self, error: &ListingError) -> Failure {
        let kind = match error {
            ListingError::NotOurs(_) => FailureKind::NotOurs,
            ListingError::Truncated | ListingError::Unwanted => FailureKind::Broken,
            ListingError::RowTooLarge(_) => FailureKind::TooLarge,
        };
        self.failure(kind, &error.to_string())
    }
}

/// `Retry-After`: seconds, or a date, which is compared with the server's own `Date` when it sent one (rule R22). At most a day.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let wait = text(RETRY_AFTER)?;
    if let Ok(seconds) = wait.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
    let now = text(DATE).and_then(date).unwrap_or_else(jiff::Timestamp::now);
    let wait = date(wait)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        for (wait, now, expected) in [
            ("120", "", Some(120)),
            (" 0 ", "", Some(0)),
            ("999999999999", "", Some(86_400)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", date, Some(30)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", date, Some(0)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", "", Some(0)),
            ("soon", date, None),
            ("-5", date, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, wait.parse().expect("a header"));
            if !now.is_empty() {
                headers.insert(DATE, now.parse().expect("a header"));
            }
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{wait}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
