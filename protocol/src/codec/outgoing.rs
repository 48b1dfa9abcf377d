//! Answers, events and requests to lines.
//!
//! Each function appends one line with its LF and leaves what was there before alone, also when it fails.

use serde::Serialize;

use super::Id;
use crate::error::{Error, rpc};
use crate::event::{Change, Channel, Event};

/// Appends the answer of a success.
///
/// # Errors
/// When the result can't be written as JSON; then nothing is appended.
pub fn write_result<T: Serialize + ?Sized>(out: &mut Vec<u8>, id: &Id, result: &T) -> serde_json::Result<()> {
    answer(out, id, b",\"result\":", result)
}

/// Appends the answer of a failure.
pub fn write_error(out: &mut Vec<u8>, id: &Id, error: &Error) {
    if answer(out, id, b",\"error\":", error).is_err() {
        let defect = format!(r#"{{"code":{},"message":"the error could not be written as JSON"}}"#, rpc::INTERNAL_ERROR);
        append(out, &[OPENING, id.as_json().as_bytes(), b",\"error\":", defect.as_bytes(), CLOSING]);
    }
}

/// Appends an event.
///
/// # Errors
/// When the event can't be written as JSON; then nothing is appended.
pub fn write_event(out: &mut Vec<u8>, event: &Event) -> serde_json::Result<()> {
    line(out, &[br#"{"jsonrpc":"2.0","method":"event","params":"#], event)
}

/// Appends the event of a change, which need not be given away for it.
///
/// # Errors
/// When the change can't be written as JSON; then nothing is appended.
pub fn write_change(out: &mut Vec<u8>, change: &Change) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        channel: Channel,
        change: &'a Change,
    }

    line(out, &[br#"{"jsonrpc":"2.0","method":"event","params":"#], &Borrowed { channel: Channel::Change, change })
}

/// Appends a request.
///
/// # Errors
/// When the params can't be written as JSON; then nothing is appended.
pub fn write_request<P: Serialize + ?Sized>(out: &mut Vec<u8>, id: &Id, method: &str, params: &P) -> serde_json::Result<()> {
    let method = serde_json::to_string(method)?;
    line(out, &[OPENING, id.as_json().as_bytes(), b",\"method\":", method.as_bytes(), b",\"params\":"], params)
}

/// Appends one array of answers that were written before, each with its LF; nothing when there are none.
pub fn write_batch<'a>(out: &mut Vec<u8>, answers: impl IntoIterator<Item = &'a [u8]>) {
    let mut separator = b'[';
    for answer in answers {
        out.push(separator);
        out.extend_from_slice(answer.trim_ascii_end());
        separator = b',';
    }
    if separator == b',' {
        out.extend_from_slice(b"]\n");
    }
}

const OPENING: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
const CLOSING: &[u8] = b"}\n";

fn answer<T: Serialize + ?Sized>(out: &mut Vec<u8>, id: &Id, member: &[u8], value: &T) -> serde_json::Result<()> {
    line(out, &[OPENING, id.as_json().as_bytes(), member], value)
}

fn line<T: Serialize + ?Sized>(out: &mut Vec<u8>, before: &[&[u8]], value: &T) -> serde_json::Result<()> {
    let start = out.len();
    append(out, before);
    serde_json::to_writer(&mut *out, value).inspect_err(|_| out.truncate(start))?;
    if let Some(written) = out.get_mut(start..) {
        keep_on_one_line(written);
    }
    append(out, &[CLOSING]);
    Ok(())
}

/// JSON that is passed on as it was written may be spread over lines. Outside strings, where they are escaped, line ends mean nothing.
fn keep_on_one_line(json: &mut [u8]) {
    let mut rest = json;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let (before, after) = rest.split_at_mut(at + 1);
        if let Some(end) = before.last_mut() {
            *end = b' ';
        }
        rest = after;
    }
}

fn append(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
