//! The params of a call: an object, and errors that say in JSON's words what is wrong with it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, rpc};

/// More fields than this are not asked after, and so many of them not named.
const MOST_LOOKED_AT: usize = 64;
const MOST_NAMED: usize = 16;
/// Longer names are cut, in characters.
const NAME: usize = 64;

/// Reads a method's params; absent ones and `null` are an empty object.
///
/// # Errors
/// `-32602`, which names what is wrong.
pub(crate) fn parse<P: DeserializeOwned>(params: Option<&RawValue>) -> Result<P, Error> {
    let text = match params.map(RawValue::get) {
        None | Some("null") => "{}",
        Some(text) => text,
    };
    if !text.starts_with('{') {
        return Err(invalid("they must be an object: parameters are named, not positional"));
    }
    serde_json::from_str(text).map_err(|error| {
        let complaint = |text: &str| serde_json::from_str::<P>(text).err().map(|error| error.to_string());
        invalid(&explain(text, &error, &complaint))
    })
}

fn invalid(what: &str) -> Error {
    Error::protocol(rpc::INVALID_PARAMS, format!("invalid params: {what}"))
}

/// What is wrong with `text`; `complaint` gives the first thing that is wrong with another text for the same params.
fn explain(text: &str, error: &serde_json::Error, complaint: &dyn Fn(&str) -> Option<String>) -> String {
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
        return in_json_words(&error.to_string());
    };
    // Names before types: which of the two serde meets first depends on the order of the fields.
    let alone = |name: &String| serde_json::to_string(&BTreeMap::from([(name, ())])).ok().and_then(|text| complaint(&text));
    if let Some(said) = unknown_among(fields.keys(), &alone) {
        return said;
    }
    let said = in_json_words(&error.to_string());
    // What the object as a whole lacks is found at its end.
    let column = Some(error.column()).filter(|column| error.line() == 1 && *column < text.len());
    match column.and_then(|column| fields.iter().find(|(_, value)| place(text, value).contains(&column))) {
        Some((name, _)) => format!("`{}`: {said}", shortened(name)),
        None => said,
    }
}

/// The names that are no fields, as serde says it of one; `complaint` gives what is wrong with an object that has this field alone.
fn unknown_among<'a>(names: impl Iterator<Item = &'a String>, complaint: &dyn Fn(&String) -> Option<String>) -> Option<String> {
    let mut known = String::new();
    let is_unknown = |name: &&String| {
        let Some(said) = complaint(name) else { return false };
        let Some(rest) = said.strip_prefix("unknown field `").and_then(|said| said.strip_prefix(name.as_str())) else {
            return false;
        };
        known = without_place(rest.strip_prefix('`').unwrap_or(rest)).to_owned();
        true
    };
    let unknown: Vec<String> =
        names.take(MOST_LOOKED_AT).filter(is_unknown).take(MOST_NAMED).map(|name| format!("`{}`", shortened(name))).collect();
    let fields = if unknown.len() == 1 { "field" } else { "fields" };
    (!unknown.is_empty()).then(|| format!("unknown {fields} {}{known}", unknown.join(", ")))
}

/// Columns, counted from 1, of a value that stands in `text`, with one on either side: which one an error names depends on its kind.
fn place(text: &str, value: &RawValue) -> std::ops::RangeInclusive<usize> {
    let begin = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    begin..=begin.saturating_add(value.get().len()).saturating_add(1)
}

/// A place counts within the params, which tells nobody anything.
fn without_place(said: &str) -> &str {
    said.rsplit_once(" at line ").map_or(said, |(said, _)| said)
}

/// What serde says, without the names of Rust's types.
pub(crate) fn in_json_words(said: &str) -> String {
    const WORDS: [(&str, &str); 13] = [
        ("invalid type: ", "found "),
        ("invalid value: ", "found "),
        ("unit value", "null"),
        ("integer `", "number `"),
        ("floating point `", "number `"),
        ("sequence", "array"),
        ("a map", "an object"),
        ("map, expected", "object, expected"),
        ("unknown variant `", "unknown value `"),
        ("expected u32", "expected a whole number from 0 on"),
        ("expected u64", "expected a whole number from 0 on"),
        ("expected i64", "expected a whole number"),
        ("expected a array", "expected an array"),
    ];
    let mut said = without_place(said).to_owned();
    for (rust, json) in WORDS {
        said = said.replace(rust, json);
    }
    // `struct Hello`: the name means nothing outside.
    match said.split_once("struct ") {
        Some((before, after)) => {
            let rest = after.split_once(' ').map(|(_, rest)| format!(" {rest}")).unwrap_or_default();
            format!("{before}an object{rest}")
        }
        None => said,
    }
}

/// For a field that is an object of its own: without it an array of its fields in their order would pass.
pub(crate) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let fields = serde_json::Map::deserialize(deserializer)?;
    let names: Vec<String> = fields.keys().cloned().collect();
    T::deserialize(Value::Object(fields)).map_err(|error| {
        let alone = |name: &String| {
            let field = serde_json::Map::from_iter([(name.clone(), Value::Null)]);
            T::deserialize(Value::Object(field)).err().map(|error| error.to_string())
        };
        serde::de::Error::custom(unknown_among(names.iter(), &alone).unwrap_or_else(|| error.to_string()))
    })
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "only read")]
    struct Params {
        entity_types: Option<Vec<String>>,
        timeout_ms: Option<u64>,
        #[serde(default, deserialize_with = "some_object")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        name: String,
    }

    fn some_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Inner>, D::Error> {
        object(deserializer).map(Some)
    }

    #[test]
    fn what_is_wrong_is_named_in_the_words_of_json() {
        for (params, said) in [
            (r#"{"foo":1,"bar":2}"#, "unknown fields `bar`, `foo`, expected one of `entityTypes`, `timeoutMs`, `inner`"),
            (r#"{"timeoutMs":"x","foo":1}"#, "unknown field `foo`, expected one of `entityTypes`, `timeoutMs`, `inner`"),
            (r#"{"entityTypes":5,"zoo":1}"#, "unknown field `zoo`, expected one of `entityTypes`, `timeoutMs`, `inner`"),
            (r#"{"inner":{},"zoo":1}"#, "unknown field `zoo`, expected one of `entityTypes`, `timeoutMs`, `inner`"),
            (
                r#"{"zoo":"\u00e4","entityTypes":5,"a`b":1}"#,
                "unknown fields `a`b`, `zoo`, expected one of `entityTypes`, `timeoutMs`, `inner`",
            ),
            (r#"{"inner":{"name":5,"zoo":1}}"#, "unknown field `zoo`, expected `name`"),
            (r#"{"timeoutMs":"x"}"#, "`timeoutMs`: found string \"x\", expected a whole number from 0 on"),
            (r#"{"timeoutMs":-1}"#, "`timeoutMs`: found number `-1`, expected a whole number from 0 on"),
            (r#"{"entityTypes":{"a":1}}"#, "`entityTypes`: found object, expected an array"),
            (r#"{"inner":7}"#, "`inner`: found number `7`, expected an object"),
            (r#"{"inner":["a"]}"#, "`inner`: found array, expected an object"),
            (r#"{"inner":{}}"#, "missing field `name`"),
            (r#"{"inner":{"name":"a","b":1}}"#, "unknown field `b`, expected `name`"),
            (r#"[1]"#, "they must be an object: parameters are named, not positional"),
        ] {
            let raw = RawValue::from_string(params.to_owned()).expect("JSON");
            let error = parse::<Params>(Some(&raw)).expect_err(params);
            assert_eq!((error.code, error.message.as_str()), (rpc::INVALID_PARAMS, format!("invalid params: {said}").as_str()));
        }
    }
}
