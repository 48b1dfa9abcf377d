//! The local interface's own look at the wall clock.

use aesync_protocol::Timestamp;

#[allow(clippy::disallowed_methods, reason = "the edge of the daemon reads the clock")]
pub(super) fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
