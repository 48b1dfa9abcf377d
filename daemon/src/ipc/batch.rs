//! Several calls on one line, answered with one array.

use std::borrow::Cow;

use aesync_protocol::codec::{Call, Id, Refused, write_batch};
use aesync_protocol::{Error, ErrorCode};
use futures_util::future::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use serde_json::value::RawValue;

use super::dispatch::Caller;
use super::later::{Later, Line, error_line};

/// How many bytes the answers of a batch have together, roughly. A single one may be longer.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// A batch that is carried out call by call, so that others have their turn in between.
pub(super) struct Batch {
    calls: std::vec::IntoIter<Result<Owned, Refused>>,
    parts: Vec<(Id, Part)>,
    /// What the lines among them take up.
    bytes: usize,
    waiting: usize,
    opens_subscription: bool,
}

/// A call that has outlived its line.
struct Owned {
    id: Option<Id>,
    method: String,
    params: Option<Box<RawValue>>,
}

/// One answer of a batch.
enum Part {
    /// A line, or nothing for a notification.
    Now(Vec<u8>),
    Later(Line),
}

impl Batch {
    pub(super) fn new(calls: Vec<Result<Call<'_>, Refused>>) -> Self {
        let owned =
            |call: Call<'_>| Owned { id: call.id, method: call.method.into_owned(), params: call.params.map(RawValue::to_owned) };
        let calls: Vec<_> = calls.into_iter().map(|call| call.map(owned)).collect();
        Self { parts: Vec::with_capacity(calls.len()), calls: calls.into_iter(), bytes: 0, waiting: 0, opens_subscription: false }
    }

    /// Whether one of the calls so far was a subscription: its events must come after the answer.
    pub(super) fn opens_subscription(&self) -> bool {
        self.opens_subscription
    }

    /// Carries the next call out; false when there is none.
    pub(super) fn step(&mut self, caller: &mut Caller) -> bool {
        let Some(call) = self.calls.next() else { return false };
        let part = match call {
            Err(Refused { id, error }) => {
                let line = error_line(Some(&id), &error);
                (id, Part::Now(line))
            }
            Ok(Owned { id, method, params }) => {
                self.opens_subscription |= method == "subscribe";
                let mut line = Vec::new();
                let shown = id.clone().unwrap_or(Id::NULL);
                match caller.call(Call { id, method: Cow::Owned(method), params: params.as_deref() }, &mut line) {
                    None if is_too_much(self.bytes, &line) => {
                        let line = left_out(&shown);
                        (shown, Part::Now(line))
                    }
                    None => {
                        self.bytes = self.bytes.saturating_add(line.len());
                        (shown, Part::Now(line))
                    }
                    Some(later) => {
                        self.waiting += 1;
                        (shown, Part::Later(later))
                    }
                }
            }
        };
        self.parts.push(part);
        true
    }

    /// The answer, once all calls were carried out: it is appended to `out`, or comes later; `at_a_time` of its parts are under way then.
    pub(super) fn finish(self, at_a_time: usize, out: &mut Vec<u8>) -> Option<Later> {
        let Self { parts, waiting, opens_subscription, .. } = self;
        if waiting > 0 {
            return Some(Later { line: join(parts, at_a_time).boxed(), calls: waiting, opens_subscription });
        }
        let mut answer = Answer::default();
        for (id, part) in parts {
            if let Part::Now(line) = part {
                answer.take(&id, line);
            }
        }
        answer.write(out);
        None
    }
}

/// Joins the answers of a batch in the order of its requests, `at_a_time` of them under way.
async fn join(parts: Vec<(Id, Part)>, at_a_time: usize) -> Vec<u8> {
    let line = |(id, part)| async {
        match part {
            Part::Now(line) => (id, line),
            Part::Later(line) => (id, line.await),
        }
    };
    let mut lines = stream::iter(parts.into_iter().map(line)).buffered(at_a_time.max(1));
    let mut answer = Answer::default();
    while let Some((id, line)) = lines.next().await {
        answer.take(&id, line);
    }
    let mut out = Vec::new();
    answer.write(&mut out);
    out
}

/// Whether a line is more than goes with so many bytes of others.
fn is_too_much(bytes: usize, line: &[u8]) -> bool {
    bytes > 0 && bytes.saturating_add(line.len()) > MAX_ANSWER
}

/// What stands in the place of such a line.
fn left_out(id: &Id) -> Vec<u8> {
    let message = format!(
        "the answers of this batch are more than {MAX_ANSWER} bytes: this call was carried out, and its answer left out; make it in a \
         batch of fewer calls, or by itself"
    );
    error_line(Some(id), &Error::new(ErrorCode::TooLarge, message))
}

/// The lines so far.
#[derive(Default)]
struct Answer {
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

impl Answer {
    /// Takes a line; in place of one that is too much, an error that says so.
    fn take(&mut self, id: &Id, line: Vec<u8>) {
        if line.is_empty() {
            return;
        }
        if is_too_much(self.bytes, &line) {
            self.lines.push(left_out(id));
            return;
        }
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push(line);
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_batch(out, self.lines.iter().map(Vec::as_slice));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_whose_answers_are_too_much_has_an_error_in_the_place_of_those_beyond() {
        let mut answer = Answer::default();
        for number in 0..3_u64 {
            let text = "x".repeat(MAX_ANSWER / 2 - 100);
            answer.take(&number.into(), format!("{{\"id\":{number},\"result\":\"{text}\"}}\n").into_bytes());
        }
        let mut out = Vec::new();
        answer.write(&mut out);
        let answers: Vec<serde_json::Value> = serde_json::from_slice(&out).expect("JSON");
        let said: Vec<_> = answers.iter().map(|answer| answer["error"]["data"]["code"].as_str()).collect();
        assert_eq!(said, [None, None, Some("too_large")]);
        assert_eq!(answers[2]["id"], 2);
    }
}
