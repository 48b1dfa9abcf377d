//! Lines to requests.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{Error, rpc};
use crate::params::in_json_words;

/// The most calls that one batch may hold.
pub const MAX_BATCH: usize = 1000;

/// A call's id as the client wrote it, a JSON string, number or null, so that it comes back unchanged.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(Cow<'static, str>);

impl Id {
    /// What an answer carries when the request's id could not be read.
    pub const NULL: Self = Self(Cow::Borrowed("null"));

    /// The id as JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    fn from_raw(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        match text.as_bytes().first()? {
            b'n' => Some(Self::NULL),
            b'"' | b'-' | b'0'..=b'9' => Some(Self(Cow::Owned(text.to_owned()))),
            _ => None,
        }
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self(Cow::Owned(number.to_string()))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// One call, borrowed from its line. [`crate::Request::parse`] reads `method` and `params`.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Absent for a notification, which is never answered, not even with an error.
    pub id: Option<Id>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// The params as they were written.
    pub params: Option<&'a RawValue>,
}

/// Something that is no call, and the answer it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The id if it could be read, else null.
    pub id: Id,
    /// `-32700` for what is no JSON, `-32600` for JSON that is no request.
    pub error: Error,
}

/// What a line holds.
#[derive(Clone, Debug)]
pub enum Incoming<'a> {
    /// One call, answered with one object.
    Single(Call<'a>),
    /// A batch, answered with one array; with nothing when it holds notifications only. Never empty.
    Batch(Vec<Result<Call<'a>, Refused>>),
}

/// Reads a line.
///
/// # Errors
/// For what is neither a call nor a batch; an empty batch and one of more than [`MAX_BATCH`] calls included.
pub fn parse(line: &str) -> Result<Incoming<'_>, Refused> {
    if line.trim_ascii_start().starts_with('[') {
        parse_batch(line).map(Incoming::Batch)
    } else {
        parse_call(line).map(Incoming::Single)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "given")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "given")]
    params: Option<&'a RawValue>,
}

/// Keeps `null` apart from a field that is absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn parse_call(text: &str) -> Result<Call<'_>, Refused> {
    // An array of fields in their order would pass for an object.
    if !is_object(text) && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Err(invalid(text, "a request is an object"));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| refuse(text, &error))?;
    if envelope.jsonrpc != "2.0" {
        return Err(invalid(text, "jsonrpc must be \"2.0\""));
    }
    let id = match envelope.id {
        None => None,
        Some(raw) => Some(Id::from_raw(raw).ok_or_else(|| invalid(text, "id must be a string, a number or null"))?),
    };
    Ok(Call { id, method: envelope.method, params: envelope.params })
}

fn parse_batch(line: &str) -> Result<Vec<Result<Call<'_>, Refused>>, Refused> {
    let Elements(elements) = serde_json::from_str(line).map_err(|error| refuse(line, &error))?;
    if elements.is_empty() {
        return Err(invalid(line, "a batch must hold at least one request"));
    }
    Ok(elements.into_iter().map(|element| parse_call(element.get())).collect())
}

/// A batch's elements, read no further than the limit.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;

        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of requests")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = sequence.next_element::<&RawValue>()? {
                    if elements.len() == MAX_BATCH {
                        return Err(serde::de::Error::custom(format_args!(
                            "a batch may hold {MAX_BATCH} requests; send it in several"
                        )));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }

        deserializer.deserialize_seq(ElementsVisitor)
    }
}

fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

fn refuse(text: &str, error: &serde_json::Error) -> Refused {
    // A field of the wrong type may be noticed before the text turns out to be no JSON at all.
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(syntax) => {
            Refused { id: Id::NULL, error: Error::protocol(rpc::PARSE_ERROR, format!("the line is no JSON: {syntax}")) }
        }
        Ok(_) => invalid(text, &in_json_words(&error.to_string())),
    }
}

fn invalid(text: &str, why: &str) -> Refused {
    #[derive(Deserialize)]
    struct OnlyId<'a> {
        #[serde(borrow, default, deserialize_with = "given")]
        id: Option<&'a RawValue>,
    }

    let found = if is_object(text) { serde_json::from_str::<OnlyId<'_>>(text).ok() } else { None };
    let id = found.and_then(|found| Id::from_raw(found.id?));
    Refused {
        id: id.unwrap_or(Id::NULL),
        error: Error::protocol(rpc::INVALID_REQUEST, format!("this is no JSON-RPC 2.0 request: {why}")),
    }
}
