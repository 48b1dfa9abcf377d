//! What the golden lines promise of a line's shape: which fields there are, and of which type each is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use aesync_protocol::Error;
use serde_json::Value;

const REQUESTS: &str = include_str!("../golden/requests.ndjson");
const RESULTS: &str = include_str!("../golden/results.ndjson");
const EVENTS: &str = include_str!("../golden/events.ndjson");
const ERRORS: &str = include_str!("../golden/errors.ndjson");

/// Where the server's fields stand, or all there are.
const FREE: [&str; 6] = [".record", ".base", ".data", ".sent", ".verdict.server", ".conflicts[].server"];
/// Where the names are entity types.
const BY_TYPE: [&str; 1] = [".types"];

/// Places and the types that are found there.
type Shape = BTreeSet<(String, &'static str)>;

fn walk(value: &Value, at: &str, shape: &mut Shape) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    shape.insert((at.to_owned(), kind));
    if FREE.iter().any(|place| at.ends_with(place)) {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{at}[]"), shape)),
        Value::Object(fields) => {
            let is_by_type = BY_TYPE.iter().any(|place| at.ends_with(place));
            for (name, value) in fields {
                walk(value, &format!("{at}.{}", if is_by_type { "*" } else { name }), shape);
            }
        }
        _ => {}
    }
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON"))
}

/// By method.
static OF_RESULTS: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for (request, result) in lines(REQUESTS).zip(lines(RESULTS)) {
        let method = request["method"].as_str().expect("a method").to_owned();
        walk(&result["result"], "", shapes.entry(method).or_default());
    }
    shapes
});

/// By channel.
static OF_EVENTS: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for line in lines(EVENTS) {
        let channel = line["params"]["channel"].as_str().expect("a channel").to_owned();
        walk(&line["params"], "", shapes.entry(channel).or_default());
    }
    shapes
});

/// By code, or by number where there is none.
static OF_ERRORS: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for line in lines(ERRORS) {
        let shape = shapes.entry(name_of(&line["error"])).or_default();
        walk(&line["error"]["data"], "", shape);
        // The next step is told of any of them where there is one.
        shape.insert((".hint".to_owned(), "string"));
    }
    shapes
});

fn name_of(error: &Value) -> String {
    error["data"]["code"].as_str().map_or_else(|| error["code"].to_string(), str::to_owned)
}

#[track_caller]
fn check(shapes: &BTreeMap<String, Shape>, name: &str, value: &Value) {
    let golden = shapes.get(name).unwrap_or_else(|| panic!("there is no golden line of {name}: {value}"));
    let mut found = Shape::new();
    walk(value, "", &mut found);
    let new: Vec<_> = found.difference(golden).collect();
    assert!(new.is_empty(), "{name}: no golden line has {new:?}, as this has: {value}");
}

#[track_caller]
pub(crate) fn check_result(method: &str, result: &Value) {
    // Documents of their own.
    if !matches!(method, "config.get" | "rpc.discover") {
        check(&OF_RESULTS, method, result);
    }
}

#[track_caller]
pub(crate) fn check_event(params: &Value) {
    check(&OF_EVENTS, params["channel"].as_str().expect("a channel"), params);
}

#[track_caller]
pub(crate) fn check_error(error: &Error) {
    let error = serde_json::to_value(error).expect("JSON");
    check(&OF_ERRORS, &name_of(&error), &error["data"]);
}

#[test]
#[should_panic(expected = "no golden line has")]
fn a_field_of_another_type_than_the_golden_lines_have_is_noticed() {
    check_result("ping", &serde_json::json!({"time": 5}));
}

#[test]
#[should_panic(expected = "no golden line has")]
fn a_particular_of_an_error_that_no_golden_line_has_is_noticed() {
    check_error(&Error::new(aesync_protocol::ErrorCode::Busy, "x").with("fromTheFuture", 1));
}

#[test]
#[should_panic(expected = "no golden line has")]
fn a_field_that_no_golden_line_has_is_noticed() {
    check_event(&serde_json::json!({"channel": "checkpoint", "seq": 5, "log": "x"}));
}
