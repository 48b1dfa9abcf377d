//! Several calls on one line, answered with one array.

use aesync_protocol::codec::{Call, Refused, write_batch};
use futures_util::future::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};

use super::dispatch::Caller;
use super::later::{Later, Line, error_line};

/// Carries the calls of a batch out. Its answer is appended to `out`, or comes later.
pub(super) fn run(caller: &mut Caller, calls: Vec<Result<Call<'_>, Refused>>, out: &mut Vec<u8>) -> Option<Later> {
    let mut parts = Vec::with_capacity(calls.len());
    let mut waiting = 0;
    let mut opens_subscription = false;
    for call in calls {
        let mut line = Vec::new();
        parts.push(match call {
            Err(Refused { id, error }) => Part::Now(error_line(Some(&id), &error)),
            Ok(call) => {
                opens_subscription |= call.method == "subscribe";
                match caller.call(call, &mut line) {
                    None => Part::Now(line),
                    Some(later) => {
                        waiting += 1;
                        Part::Later(later)
                    }
                }
            }
        });
    }
    if waiting > 0 {
        let line = join(parts, caller.server.limits.in_flight).boxed();
        return Some(Later { line, calls: waiting, opens_subscription });
    }
    write_batch(
        out,
        parts.iter().filter_map(|part| match part {
            Part::Now(line) if !line.is_empty() => Some(line.as_slice()),
            _ => None,
        }),
    );
    None
}

/// One answer of a batch.
enum Part {
    /// A line, or nothing for a notification.
    Now(Vec<u8>),
    Later(Line),
}

/// Joins the answers of a batch in the order of its requests, `at_a_time` of them under way.
async fn join(parts: Vec<Part>, at_a_time: usize) -> Vec<u8> {
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
