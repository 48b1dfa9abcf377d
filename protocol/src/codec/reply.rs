//! Lines to answers and events: the client's side.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::Error;

/// What a daemon's line holds, borrowed from it.
#[derive(Clone, Debug)]
pub enum Reply<'a> {
    /// The answer to a call.
    Answer {
        /// The call's id; absent when the daemon could not read it.
        id: Option<u64>,
        /// What it answered.
        outcome: Result<&'a RawValue, Error>,
    },
    /// An event's params: an [`Event`](crate::Event), unless this client is too old to know its channel.
    Event(&'a RawValue),
    /// A notification that this client does not know.
    Unknown,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    id: Option<u64>,
    #[serde(borrow, default, deserialize_with = "given")]
    result: Option<&'a RawValue>,
    error: Option<Error>,
}

/// Keeps a result of `null` apart from none.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line from the daemon.
///
/// # Errors
/// When it is neither an answer to a call with a numeric id nor a notification.
pub fn parse_reply(line: &str) -> serde_json::Result<Reply<'_>> {
    let envelope: Envelope<'_> = serde_json::from_str(line)?;
    Ok(match envelope {
        Envelope { method: Some(method), params: Some(params), .. } if method == "event" => Reply::Event(params),
        Envelope { method: Some(_), .. } => Reply::Unknown,
        Envelope { id, error: Some(error), .. } => Reply::Answer { id, outcome: Err(error) },
        Envelope { id, result: Some(result), .. } => Reply::Answer { id, outcome: Ok(result) },
        _ => return Err(serde::de::Error::custom("neither a result nor an error nor a notification")),
    })
}
