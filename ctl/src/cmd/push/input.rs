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
        None => types(text).map_err(|why| {
            Failure::Usage(format!(
                "the input is not {{\"TYPE\": [entity, ...]}}: {why}; for an array or lines of entities say --type"
            ))
        })?,
        Some(entity_type) => Input(vec![(
            entity_type.into(),
            entities(text).map_err(|why| {
                Failure::Usage(format!("the input is neither an array nor lines of JSON: {why}; correct it, nothing was sent"))
            })?,
        )]),
    };
    for (name, entities) in &input.0 {
        if let Some((index, other)) = entities.iter().enumerate().find(|(_, entity)| !entity.get().starts_with('{')) {
            return Err(Failure::Usage(format!(
                "entity {index} of {name} is {}, and an entity is an object; correct it, nothing was sent",
                kind(other.get())
            )));
        }
    }
    if input.count() == 0 {
        return Err(Failure::Usage("the input holds no entities; give at least one".to_owned()));
    }
    Ok(input)
}

fn types(text: &str) -> Result<Input<'_>, String> {
    let types: Types<'_> = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| error.to_string())?,
        // What is wrong with what is no JSON at all is said rather than what kind it begins like.
        false => match serde_json::from_str::<&RawValue>(text) {
            Ok(other) => return Err(format!("it is {}", kind(other.get()))),
            Err(error) => return Err(error.to_string()),
        },
    };
    let mut input = Vec::new();
    for (name, value) in types.0 {
        if !value.get().starts_with('[') {
            return Err(format!("{name:?} holds {}, and an array of entities belongs there", kind(value.get())));
        }
        input.push((name, serde_json::from_str(value.get()).map_err(|error| error.to_string())?));
    }
    Ok(Input(input))
}

fn entities(text: &str) -> Result<Vec<&RawValue>, String> {
    if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
    } else {
        serde_json::Deserializer::from_str(text).into_iter().collect()
    }
    .map_err(|error| error.to_string())
}

/// What JSON calls a value, by how it begins.
pub(in crate::cmd) fn kind(json: &str) -> &'static str {
    match json.trim_start().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The values of an object in their order, each under its own name.
struct Types<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Types<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TypesVisitor;

        impl<'de> Visitor<'de> for TypesVisitor {
            type Value = Types<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of entity types, each with an array of entities")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut types: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    if types.iter().any(|(seen, _)| *seen == name) {
                        return Err(A::Error::custom(format_args!("entity type {name:?} is given twice")));
                    }
                    types.push((name, map.next_value()?));
                }
                Ok(Types(types))
            }
        }

        deserializer.deserialize_map(TypesVisitor)
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
    fn a_wrong_shape_is_told_in_the_words_of_json() {
        for (text, entity_type, expected) in [
            ("[{}]", None, "it is an array; for"),
            ("\"a\"", None, "it is a text; for"),
            ("{\"a\":{}}", None, "\"a\" holds an object, and an array of entities belongs there"),
            ("{\"a\":\"b\"}", None, "\"a\" holds a text,"),
            ("{\"a\":[{},5]}", None, "entity 1 of a is a number, and an entity is an object"),
            ("{\"a\":null}", None, "\"a\" holds null,"),
            ("[[]]", Some("t"), "entity 0 of t is an array,"),
            ("true\n", Some("t"), "entity 0 of t is true or false,"),
        ] {
            let said = parsed(text, entity_type).expect_err(text).to_string();
            assert!(said.contains(expected), "{text}: {said}");
            for word in ["sequence", "map", "string", "expected"] {
                assert!(!said.contains(word), "{text}: {said}");
            }
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
