//! The README is the reference of the wire: whatever it shows must be so.

use std::collections::HashMap;

use aesync_protocol::codec::{Incoming, Reply, parse, parse_reply};
use aesync_protocol::request::METHODS;
use aesync_protocol::{ErrorCode, Event, Request};

const README: &str = include_str!("../../README.md");

fn lines() -> impl Iterator<Item = &'static str> {
    README.lines().filter(|line| line.starts_with("{\"jsonrpc\""))
}

#[test]
fn every_line_of_json_is_a_request_an_answer_or_an_event() {
    let mut asked = HashMap::new();
    let (mut answered, mut events) = (0, 0);
    for line in lines() {
        if let Ok(Incoming::Single(call)) = parse(line)
            && let Some(id) = call.id
        {
            Request::parse(&call.method, call.params).unwrap_or_else(|error| panic!("{line}: {error}"));
            asked.insert(id, call.method);
            continue;
        }
        match parse_reply(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
            Reply::Event(params) => {
                serde_json::from_str::<Event>(params.get()).unwrap_or_else(|error| panic!("{line}: {error}"));
                events += 1;
            }
            Reply::Answer { id: Some(id), outcome: Ok(_) } => {
                assert!(asked.contains_key(&id.into()), "{line} answers nothing");
                answered += 1;
            }
            Reply::Answer { outcome: Err(_), .. } => {}
            other => panic!("{line}: {other:?}"),
        }
    }
    assert!(answered >= METHODS.len() && events >= 7, "{answered} answers, {events} events");
}

#[test]
fn every_method_and_its_example_result_stand_there_as_the_golden_lines_have_them() {
    for method in METHODS {
        let (_, section) = README.split_once(&format!("#### `{method}`\n")).unwrap_or_else(|| panic!("{method} is missing"));
        let section = section.split("\n#").next().unwrap_or_default();
        let examples: Vec<&str> = section.lines().filter(|line| line.starts_with('{')).collect();
        let [request, result] = examples[..] else { panic!("{method}: {section}") };
        assert!(request.contains(&format!("\"method\":\"{method}\"")), "{request}");
        assert!(include_str!("../golden/requests.ndjson").lines().any(|line| line == request), "{request}");
        assert!(include_str!("../golden/results.ndjson").lines().any(|line| line == result), "{result}");
    }
}

#[test]
fn every_code_is_explained() {
    let shown: Vec<_> = lines().filter_map(parse_error_name).collect();
    assert_eq!(shown.len(), 15);
    for name in shown {
        serde_json::from_value::<ErrorCode>(name.as_str().into()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(README.contains(&format!("\n| `{name}` ")), "{name}");
    }
}

fn parse_error_name(line: &str) -> Option<String> {
    match parse_reply(line) {
        Ok(Reply::Answer { outcome: Err(error), .. }) => error.name().map(str::to_owned),
        _ => None,
    }
}
