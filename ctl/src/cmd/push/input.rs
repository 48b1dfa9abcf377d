//! What a person or a script gives to push, as entities that stay as they were written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::exit::Failure;

/// Entity types in the order of the input, each with its entities.
#[derive(Debug)]
pub(super) struct Input<'a>(pub(super) Vec<(Cow<'a, str>, Vec<&'a RawValue>)>);

impl Input<'_> {
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(_, entities)| entities.len() as u64).sum()
    }
}

/// Reads all of the input before anything is sent, so that a mistake in its last line costs nothing.
pub(super) fn parse<'a>(text: &'a str, entity_type: Option<&'a str>) -> Result<Input<'a>, Failure> {
    let input = match entity_type {
        None => serde_json::from_str(text).map_err(|error| {
            Failure::Usage(format!(
                "the input is not {{\"TYPE\": [entity, ...]}}: {error}; for an array or lines of entities say --type"
            ))
        })?,
        Some(entity_type) => Input(vec![(entity_type.into(), entities(text)?)]),
    };
    if input.count() == 0 {
        return Err(Failure::Usage("the input holds no entities; give at least one".to_owned()));
    }
    Ok(input)
}

fn entities(text: &str) -> Result<Vec<&RawValue>, Failure> {
    let values = if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
    } else {
        serde_json::Deserializer::from_str(text).into_iter().collect()
    };
    values.map_err(|error| {
        Failure::Usage(format!("the input is neither an array nor lines of JSON: {error}; correct it, nothing was sent"))
    })
}

impl<'de> Deserialize<'de> for Input<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputVisitor;

        impl<'de> Visitor<'de> for InputVisitor {
            type Value = Input<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of entity types, each with an array of entities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut types: Vec<(Cow<'de, str>, Vec<&'de RawValue>)> = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    if types.iter().any(|(seen, _)| *seen == name) {
                        return Err(A::Error::custom(format_args!("entity type {name:?} is given twice")));
                    }
                    types.push((name, map.next_value()?));
                }
                Ok(Input(types))
            }
        }

        deserializer.deserialize_map(InputVisitor)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, entity_type: Option<&str>) -> Result<Vec<String>, Failure> {
        let input = parse(text, entity_type)?;
        Ok(input.0.iter().flat_map(|(name, entities)| entities.iter().map(move |entity| format!("{name} {entity}"))).collect())
    }

    #[test]
    fn each_form_of_input_is_understood() {
        for (text, entity_type, expected) in [
            (r#"{"z":[{"a":1},{"a":2}],"a":[{"b":1.50}]}"#, None, vec![r#"z {"a":1}"#, r#"z {"a":2}"#, r#"a {"b":1.50}"#]),
            (" [ {\"a\":1},\n{\"a\":2} ] ", Some("t"), vec![r#"t {"a":1}"#, r#"t {"a":2}"#]),
            ("{\"a\":1}\n{\"a\":2}\n\n", Some("t"), vec![r#"t {"a":1}"#, r#"t {"a":2}"#]),
            ("{\"a\":1}", Some("t"), vec![r#"t {"a":1}"#]),
        ] {
            assert_eq!(parsed(text, entity_type).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_pushed_is_refused_before_anything_is_sent() {
        for (text, entity_type, expected) in [
            ("[{}]", None, "say --type"),
            ("{\"a\":{}}", None, "say --type"),
            ("{\"a\":[{}],\"a\":[{}]}", None, "given twice"),
            ("", None, "is not"),
            ("{}", None, "no entities"),
            ("{\"a\":[]}", None, "no entities"),
            ("", Some("t"), "no entities"),
            ("{\"a\":1}\n{\"a\":", Some("t"), "line 2"),
        ] {
            let failure = parsed(text, entity_type).expect_err(text);
            assert!(failure.to_string().contains(expected), "{text}: {failure}");
            assert_eq!(failure.exit_code(), 2, "{text}");
        }
    }
}
