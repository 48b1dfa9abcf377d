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
    start: Place,
    /// Where the next part begins.
    pub(super) end: Place,
    /// Its bytes as JSON, never less than they are.
    pub(super) size: usize,
}

/// A position in the input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    entity_type: usize,
    index: usize,
    /// How many entities of the whole input come before it.
    before: u64,
}

impl<'a> Part<'a> {
    /// As many entities from `start` on as `budget` bytes hold, and at least one; `None` when there are no more.
    pub(super) fn next(input: &'a Input<'a>, start: Place, budget: usize) -> Option<Self> {
        let mut part = Self { types: Vec::new(), start, end: start, size: 0 };
        for (name, entities) in input.0.iter().skip(start.entity_type) {
            let rest = entities.get(part.end.index..).unwrap_or_default();
            part.size += around(name);
            let mut count = 0;
            for entity in rest {
                let size = entity.get().len() + 1;
                if part.size + size > budget && part.end.before > start.before {
                    break;
                }
                part.size += size;
                part.end.before += 1;
                count += 1;
            }
            if let Some(taken) = rest.get(..count).filter(|taken| !taken.is_empty()) {
                part.types.push((name, taken));
            }
            if count < rest.len() {
                part.end.index += count;
                break;
            }
            part.end = Place { entity_type: part.end.entity_type + 1, index: 0, ..part.end };
        }
        (part.count() > 0).then_some(part)
    }

    pub(super) fn count(&self) -> u64 {
        self.end.before - self.start.before
    }

    /// How many entities of the whole input come before this part.
    pub(super) fn before(&self) -> u64 {
        self.start.before
    }

    /// The first entity's type and index in the whole input.
    pub(super) fn first(&self) -> Option<(&str, usize)> {
        self.types.first().map(|(name, _)| (*name, self.start.index))
    }
}

/// The name with its quotes, colon, brackets and comma; each character may be escaped.
fn around(name: &str) -> usize {
    name.len() * 6 + 6
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

/// Refuses an entity that fits into no message, before anything is sent.
pub(super) fn check(input: &Input<'_>, budget: usize) -> Result<(), Failure> {
    for (name, entities) in &input.0 {
        for (index, entity) in entities.iter().enumerate() {
            let size = entity.get().len() + 1;
            if around(name) + size > budget {
                return Err(Failure::Usage(format!(
                    "entity {index} of {} takes {}, and a message may take {}; make it smaller",
                    clean(name),
                    bytes(size as u64),
                    bytes(budget as u64)
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::push::input;

    fn written(text: &str, budget: usize) -> Vec<String> {
        let input = input::parse(text, None).expect("input");
        let parts = split(&input, budget);
        parts.iter().map(|part| format!("{} {}", part.start.before, serde_json::to_string(part).expect("JSON"))).collect()
    }

    fn split<'a>(input: &'a Input<'a>, budget: usize) -> Vec<Part<'a>> {
        std::iter::successors(Part::next(input, Place::default(), budget), |part| Part::next(input, part.end, budget)).collect()
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
        let parts = split(&input, BUDGET);
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
        let failure = check(&input, 25).expect_err("too large");
        assert!(failure.to_string().contains("entity 1 of a takes"), "{failure}");
    }

    #[test]
    fn an_entity_beyond_the_budget_goes_alone_and_keeps_its_place() {
        let text = r#"{"b":[{"i":1},{"i":2222222222222222222222222},{"i":3}],"none":[],"a":[{"i":4}]}"#;
        let input = input::parse(text, None).expect("input");
        let places: Vec<_> = split(&input, 25).iter().map(|part| (part.count(), part.first().map(place))).collect();
        assert_eq!(places, [(1, Some("b 0".into())), (1, Some("b 1".into())), (1, Some("b 2".into())), (1, Some("a 0".into()))]);
    }

    fn place((name, index): (&str, usize)) -> String {
        format!("{name} {index}")
    }
}
