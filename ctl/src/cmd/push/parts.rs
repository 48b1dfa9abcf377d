//! Big inputs in several calls that each stay below the longest message.

use aesync_protocol::codec::MAX_MESSAGE;
use aesync_protocol::request::PushWait;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::input::Input;
use crate::exit::Failure;
use crate::text::{bytes, clean};

/// The most that the changes of one call may take, in bytes; the rest is for what stands around them.
pub(super) const BUDGET: usize = MAX_MESSAGE - 64 * 1024;

/// What one call carries.
#[derive(Debug)]
pub(super) struct Part<'a> {
    types: Vec<(&'a str, &'a [&'a RawValue])>,
    /// How many entities of the whole input come before this part.
    pub(super) before: u64,
    /// Where it begins in its first type.
    first_index: usize,
}

impl Part<'_> {
    pub(super) fn count(&self) -> u64 {
        self.types.iter().map(|(_, entities)| entities.len() as u64).sum()
    }

    /// The first entity's type and index in the whole input.
    pub(super) fn first_type(&self) -> Option<(&str, usize)> {
        self.types.first().map(|(name, _)| (*name, self.first_index))
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.types.len()))?;
        for (name, entities) in &self.types {
            map.serialize_entry(name, entities)?;
        }
        map.end()
    }
}

/// The params of `push`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params<'a> {
    pub(super) changes: &'a Part<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wait: Option<PushWait>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout_ms: Option<u64>,
}

/// Splits the input into as few parts of at most `budget` bytes as its order allows.
pub(super) fn split<'a>(input: &'a Input<'a>, budget: usize) -> Result<Vec<Part<'a>>, Failure> {
    let mut parts = Vec::new();
    let mut part = Part { types: Vec::new(), before: 0, first_index: 0 };
    let mut used = 0;
    for (name, entities) in &input.0 {
        // The name with its quotes, colon, brackets and comma; each character may be escaped.
        let around = name.len() * 6 + 6;
        let mut start = 0;
        used += around;
        for (index, entity) in entities.iter().enumerate() {
            let size = entity.get().len() + 1;
            if around + size > budget {
                return Err(Failure::Usage(format!(
                    "entity {index} of {} takes {}, and a message may take {}; make it smaller",
                    clean(name),
                    bytes(size as u64),
                    bytes(budget as u64)
                )));
            }
            if used + size > budget {
                push_slice(&mut part, name, entities.get(start..index).unwrap_or_default());
                let before = part.before + part.count();
                parts.push(std::mem::replace(&mut part, Part { types: Vec::new(), before, first_index: index }));
                start = index;
                used = around;
            }
            used += size;
        }
        push_slice(&mut part, name, entities.get(start..).unwrap_or_default());
    }
    parts.push(part);
    parts.retain(|part| part.count() > 0);
    Ok(parts)
}

fn push_slice<'a>(part: &mut Part<'a>, name: &'a str, entities: &'a [&'a RawValue]) {
    if !entities.is_empty() {
        part.types.push((name, entities));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::push::input;

    fn written(text: &str, budget: usize) -> Vec<String> {
        let input = input::parse(text, None).expect("input");
        let parts = split(&input, budget).expect("parts");
        parts.iter().map(|part| format!("{} {}", part.before, serde_json::to_string(part).expect("JSON"))).collect()
    }

    #[test]
    fn what_fits_goes_in_one_part() {
        let text = r#"{"b":[{"i":1},{"i":2}],"a":[{"i":3}]}"#;
        assert_eq!(written(text, 1000), [format!("0 {text}")]);
    }

    #[test]
    fn parts_keep_the_order_and_stay_below_the_budget() {
        let text = r#"{"b":[{"i":1},{"i":2},{"i":3}],"a":[{"i":4},{"i":5}]}"#;
        assert_eq!(written(text, 30), [r#"0 {"b":[{"i":1},{"i":2}]}"#, r#"2 {"b":[{"i":3}]}"#, r#"3 {"a":[{"i":4},{"i":5}]}"#]);
        assert_eq!(written(text, 45), [r#"0 {"b":[{"i":1},{"i":2},{"i":3}]}"#, r#"3 {"a":[{"i":4},{"i":5}]}"#]);
    }

    #[test]
    fn a_part_of_the_real_size_fits_into_a_message() {
        let entity = format!("{{\"x\":\"{}\"}}", "y".repeat(1000));
        let text = format!("{{\"{}\":[{}]}}", "\\u0001".repeat(20), vec![entity.as_str(); 20_000].join(","));
        let input = input::parse(&text, None).expect("input");
        let parts = split(&input, BUDGET).expect("parts");
        assert_eq!(parts.len(), 3);
        for part in &parts {
            let params = Params {
                changes: part,
                request_id: Some("x".repeat(1000)),
                wait: Some(PushWait::Confirmed),
                timeout_ms: Some(u64::MAX),
            };
            assert!(serde_json::to_string(&params).expect("JSON").len() + 100 < MAX_MESSAGE);
        }
        assert_eq!(parts.iter().map(Part::count).sum::<u64>(), 20_000);
    }

    #[test]
    fn an_entity_that_is_too_large_is_named() {
        let input = input::parse(r#"{"a":[{"i":1},{"i":22222222222222222222222}]}"#, None).expect("input");
        let failure = split(&input, 25).expect_err("too large");
        assert!(failure.to_string().contains("entity 1 of a takes"), "{failure}");
    }
}
