//! The answer to a pull, read row by row: it may be hundreds of megabytes, and at no time is more than one page of it in memory.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

use aesync_protocol::{Record, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::secret::SecretFields;

/// How the rows are cut into pages.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct PageLimits {
    /// The most rows of one page.
    pub(in crate::server) rows: usize,
    /// The most bytes of JSON of one page; a row that is larger alone has a page of its own.
    pub(in crate::server) bytes: usize,
    /// The most bytes of one row.
    pub(in crate::server) row_bytes: usize,
}

/// Rows of one type.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct Page {
    pub(in crate::server) entity_type: String,
    pub(in crate::server) rows: Vec<Record>,
}

/// What stands in an answer beside its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Listed {
    pub(in crate::server) sync_timestamp: Timestamp,
    /// The types asked for that the answer has a list for.
    pub(in crate::server) types: Vec<String>,
}

/// Why an answer is no listing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum ListingError {
    #[error("{0}")]
    NotOurs(String),
    #[error("the answer ended in the middle")]
    Truncated,
    #[error("the answer holds a row larger than {0} bytes")]
    RowTooLarge(usize),
    /// The receiver of the pages is gone.
    #[error("the rows are no longer wanted")]
    Unwanted,
}

/// Reads `{"success":true,"data":{"<type>":[<row>,...]},"syncTimestamp":"..."}`, and hands out the rows of the types asked for.
///
/// Rows are handed out as they come, so an error may follow after any number of pages: what an answer is worth is known at its end.
/// `take` says whether it wants more.
pub(in crate::server) fn read(
    body: impl Read,
    asked: &[String],
    secrets: &SecretFields,
    limits: PageLimits,
    take: &mut dyn FnMut(Page) -> bool,
) -> Result<Listed, ListingError> {
    let position = Position { since_mark: Rc::default(), row_bytes: limits.row_bytes };
    let body = Metered { body, position: position.clone() };
    let mut reader = Reader { asked, secrets, limits, take, position, at: "the answer", fault: None, head: Head::default() };
    let mut deserializer = serde_json::Deserializer::from_reader(body);
    let outcome = deserializer.deserialize_map(Answer(&mut reader)).and_then(|()| {
        reader.position.mark();
        deserializer.end()
    });
    match outcome {
        Ok(()) => reader.head.finish(),
        Err(error) => Err(reader.explain(&error)),
    }
}

/// How far the body was read since the last element began.
#[derive(Clone)]
struct Position {
    since_mark: Rc<Cell<usize>>,
    row_bytes: usize,
}

impl Position {
    fn mark(&self) -> usize {
        self.since_mark.replace(0)
    }
}

/// Counts what serde_json takes, byte by byte, and stops it within one element.
struct Metered<R> {
    body: R,
    position: Position,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(buffer)?;
        let total = self.position.since_mark.get().saturating_add(read);
        self.position.since_mark.set(total);
        if total > self.position.row_bytes.saturating_add(1) {
            Err(io::Error::from(io::ErrorKind::FileTooLarge))
        } else {
            Ok(read)
        }
    }
}

/// The fields of the answer beside `data`.
#[derive(Default)]
struct Head {
    success: Option<Value>,
    has_data: bool,
    sync_timestamp: Option<Value>,
    types: Vec<String>,
}

impl Head {
    fn finish(self) -> Result<Listed, ListingError> {
        let not_ours = |what: &str| Err(ListingError::NotOurs(what.to_owned()));
        if self.success != Some(Value::Bool(true)) {
            return not_ours("the answer does not say that it was a success");
        }
        if !self.has_data {
            return not_ours("the answer has no data");
        }
        match self.sync_timestamp.as_ref().and_then(Value::as_str).map(str::parse) {
            Some(Ok(sync_timestamp)) => Ok(Listed { sync_timestamp, types: self.types }),
            _ => not_ours("the answer has no syncTimestamp that is a timestamp"),
        }
    }
}

struct Reader<'a> {
    asked: &'a [String],
    secrets: &'a SecretFields,
    limits: PageLimits,
    take: &'a mut dyn FnMut(Page) -> bool,
    position: Position,
    /// What is being read, for messages: those of serde_json would show values.
    at: &'static str,
    fault: Option<ListingError>,
    head: Head,
}

impl Reader<'_> {
    fn explain(self, error: &serde_json::Error) -> ListingError {
        if let Some(fault) = self.fault {
            return fault;
        }
        match error.classify() {
            serde_json::error::Category::Eof => ListingError::Truncated,
            // The body itself never fails: its reader ends it instead.
            serde_json::error::Category::Io => ListingError::RowTooLarge(self.limits.row_bytes),
            serde_json::error::Category::Syntax => {
                ListingError::NotOurs(format!("the answer is no JSON from line {} column {} on", error.line(), error.column()))
            }
            serde_json::error::Category::Data => {
                ListingError::NotOurs(format!("{} has another shape than it should have", self.at))
            }
        }
    }

    fn fail<E: serde::de::Error>(&mut self, fault: ListingError) -> E {
        let error = E::custom(&fault);
        self.fault = Some(fault);
        error
    }

    fn hand_out<E: serde::de::Error>(&mut self, entity_type: &str, rows: &mut Vec<Record>) -> Result<(), E> {
        if rows.is_empty() {
            return Ok(());
        }
        let page = Page { entity_type: entity_type.to_owned(), rows: std::mem::take(rows) };
        if (self.take)(page) { Ok(()) } else { Err(self.fail(ListingError::Unwanted)) }
    }
}

/// The whole answer.
struct Answer<'r, 'a>(&'r mut Reader<'a>);

impl<'de> Visitor<'de> for Answer<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        loop {
            reader.position.mark();
            let Some(name) = map.next_key::<Cow<'de, str>>()? else { return Ok(()) };
            reader.at = "the answer";
            match &*name {
                "success" => reader.head.success = Some(map.next_value()?),
                "syncTimestamp" => reader.head.sync_timestamp = Some(map.next_value()?),
                "data" if reader.head.has_data => {
                    return Err(reader.fail(ListingError::NotOurs("the answer has data twice".to_owned())));
                }
                "data" => {
                    reader.head.has_data = true;
                    reader.at = "the data of the answer";
                    map.next_value_seed(Types(reader))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }
}

/// The object of types.
struct Types<'r, 'a>(&'r mut Reader<'a>);

impl<'de> DeserializeSeed<'de> for Types<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Types<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of entity types")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        loop {
            reader.position.mark();
            let Some(name) = map.next_key::<Cow<'de, str>>()? else { return Ok(()) };
            reader.at = "the list of a type";
            let Some(entity_type) = reader.asked.iter().find(|asked| **asked == *name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if reader.head.types.contains(entity_type) {
                return Err(reader.fail(ListingError::NotOurs("the answer has a type twice".to_owned())));
            }
            map.next_value_seed(Rows { reader, entity_type })?;
            reader.head.types.push(entity_type.clone());
        }
    }
}

/// The rows of one type.
struct Rows<'r, 'a> {
    reader: &'r mut Reader<'a>,
    entity_type: &'r str,
}

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Rows { reader, entity_type } = self;
        let mut rows = Vec::new();
        let mut bytes = 0_usize;
        loop {
            reader.position.mark();
            reader.at = "a row";
            let Some(row) = seq.next_element_seed(Row(reader.secrets))? else { break };
            let row_bytes = reader.position.mark();
            if rows.len() >= reader.limits.rows || bytes.saturating_add(row_bytes) > reader.limits.bytes {
                reader.hand_out(entity_type, &mut rows)?;
                bytes = 0;
            }
            rows.push(row);
            bytes = bytes.saturating_add(row_bytes);
        }
        reader.hand_out(entity_type, &mut rows)
    }
}

/// One row. Secret fields are passed over while they are read, so that their values are never in memory as such.
pub(super) struct Row<'a>(pub(super) &'a SecretFields);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut row = Map::new();
        while let Some(field) = map.next_key::<String>()? {
            if self.0.has(&field) {
                map.next_value::<IgnoredAny>()?;
            } else {
                row.insert(field, map.next_value()?);
            }
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests;
