//! Answers that take their time.

use futures_util::future::BoxFuture;

use aesync_protocol::Error;
use aesync_protocol::codec::{Id, write_error};

/// An answer on its way: a whole line, or nothing for a notification.
pub(super) type Line = BoxFuture<'static, Vec<u8>>;

/// An answer that is due later.
pub(super) struct Later {
    pub(super) line: Line,
    /// The calls that it answers.
    pub(super) calls: usize,
    /// No event may go out before this answer: it tells of a subscription.
    pub(super) opens_subscription: bool,
}

/// The line of an error; nothing for a notification.
pub(super) fn error_line(id: Option<&Id>, error: &Error) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(id) = id {
        write_error(&mut out, id, error);
    }
    out
}
