//! Answers that take their time.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;

use aesync_protocol::Error;
use aesync_protocol::codec::{Id, write_batch, write_error};

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

/// One answer of a batch.
pub(super) enum Part {
    /// A line, or nothing for a notification.
    Now(Vec<u8>),
    Later(Line),
}

/// Joins the answers of a batch in the order of its requests, `at_a_time` of them under way.
pub(super) async fn join(parts: Vec<Part>, at_a_time: usize) -> Vec<u8> {
    let line = |part| async {
        match part {
            Part::Now(line) => line,
            Part::Later(line) => line.await,
        }
    };
    let lines: Vec<Vec<u8>> = stream::iter(parts.into_iter().map(line)).buffered(at_a_time.max(1)).collect().await;
    let mut out = Vec::new();
    write_batch(&mut out, lines.iter().filter(|line| !line.is_empty()).map(Vec::as_slice));
    out
}

/// The line of an error; nothing for a notification.
pub(super) fn error_line(id: Option<&Id>, error: &Error) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(id) = id {
        write_error(&mut out, id, error);
    }
    out
}
