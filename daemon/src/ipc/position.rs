//! Whether a client's position in the change feed can be resumed.

use aesync_protocol::Error;
use aesync_protocol::error::ErrorCode;
use aesync_protocol::response::Position;
use aesync_protocol::status::FeedStatus;

/// The feed as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    pub(super) log: &'a str,
    /// The oldest change that can be replayed; 0 or 1 when none was ever trimmed.
    pub(super) first: u64,
    pub(super) last: u64,
}

impl<'a> Bounds<'a> {
    /// The feed that is `published`. The status hears of a change after the feed's readers, who may be ahead of it; that what it
    /// says of the beginning belongs to the same feed, it must show.
    pub(super) fn of(status: &FeedStatus, published: &'a Position) -> Self {
        let known = status.log == published.log;
        let (first, last) = if known { (status.first_seq, status.last_seq) } else { (0, 0) };
        Self { log: &published.log, first, last: published.seq.max(last) }
    }
}

/// Checks a client's position: the last seq that it has, and the feed that it believes in.
///
/// # Errors
/// `gone`, with the reason.
pub(super) fn check(feed: Bounds<'_>, since: u64, log: Option<&str>) -> Result<(), Error> {
    if log.is_some_and(|log| log != feed.log) {
        return Err(gone("log_changed", "the change feed is another one now", feed));
    }
    // A position that was never given out belongs to another feed, although the client did not say which.
    if since > feed.last {
        return Err(gone("log_changed", &format!("the change feed ends at {}, before {since}", feed.last), feed));
    }
    if since.saturating_add(1) < feed.first {
        return Err(gone(
            "trimmed",
            &format!("the change feed begins at {}, and what followed {since} is no longer kept", feed.first),
            feed,
        ));
    }
    Ok(())
}

fn gone(reason: &str, what: &str, feed: Bounds<'_>) -> Error {
    Error::new(ErrorCode::Gone, format!("the position can't be resumed: {what}"))
        .hint("list the records, then go on from the seq that comes with them")
        .with("reason", reason)
        .with("log", feed.log)
        .with("firstSeq", feed.first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_gone_when_its_feed_is_another_or_what_follows_it_was_trimmed() {
        let feed = Bounds { log: "b", first: 5, last: 9 };
        for (since, log, reason) in [
            (9, None, None),
            (9, Some("b"), None),
            (4, Some("b"), None),
            (3, Some("b"), Some("trimmed")),
            (0, None, Some("trimmed")),
            (9, Some("a"), Some("log_changed")),
            (10, None, Some("log_changed")),
            (u64::MAX, Some("b"), Some("log_changed")),
        ] {
            let outcome = check(feed, since, log);
            let found = outcome.as_ref().err().and_then(|error| error.data.as_ref()?.more.get("reason")?.as_str());
            assert_eq!(found, reason, "{since} {log:?}");
            if let Err(error) = &outcome {
                let more = &error.data.as_ref().expect("particulars").more;
                assert_eq!((more["log"].as_str(), more["firstSeq"].as_u64()), (Some("b"), Some(5)));
            }
        }
    }

    #[test]
    fn an_empty_feed_can_be_followed_from_its_beginning() {
        for first in [0, 1] {
            assert_eq!(check(Bounds { log: "", first, last: 0 }, 0, Some("")), Ok(()));
        }
    }
}
