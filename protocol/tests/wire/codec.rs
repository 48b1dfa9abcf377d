//! Lines out of bytes, requests out of lines, and lines out of answers.

use aesync_protocol::codec::{
    Call, Id, Incoming, LineBuffer, LineError, MAX_BATCH, Refused, Reply, parse, parse_reply, write_batch, write_error,
    write_event, write_request, write_result,
};
use aesync_protocol::error::rpc;
use aesync_protocol::{Error, ErrorCode, Event, Request};

fn take_all(lines: &mut LineBuffer) -> Vec<Result<String, LineError>> {
    std::iter::from_fn(|| lines.next_line().map(|line| line.map(str::to_owned))).collect()
}

fn ok(line: &str) -> Result<String, LineError> {
    Ok(line.to_owned())
}

#[test]
fn lines_are_the_same_however_the_bytes_arrive() {
    let bytes = "{\"a\":1}\n\n  \r\n{\"b\":\"ü\"}\r\n12345678\n123456789\nx\r\n".as_bytes();
    let expected = [ok("{\"a\":1}"), ok("{\"b\":\"ü\"}"), ok("12345678"), ok("123456789"), ok("x")];
    for size in 1..=bytes.len() {
        let mut lines = LineBuffer::new(10);
        let mut taken = Vec::new();
        for chunk in bytes.chunks(size) {
            lines.feed(chunk);
            taken.extend(take_all(&mut lines));
        }
        assert_eq!(taken, expected, "in chunks of {size}");
        assert!(lines.is_empty());
    }
}

#[test]
fn a_long_line_is_reported_once_and_the_next_one_is_read() {
    let bytes = b"short\n12345678\n123456789\n1234567890123456789012345678901234567890\nafter\n12345678\r\n";
    let too_long = Err(LineError::TooLong { limit: 8 });
    let expected = [ok("short"), ok("12345678"), too_long.clone(), too_long, ok("after"), ok("12345678")];
    for size in 1..=bytes.len() {
        let mut lines = LineBuffer::new(8);
        let mut taken = Vec::new();
        for chunk in bytes.chunks(size) {
            lines.feed(chunk);
            taken.extend(take_all(&mut lines));
        }
        assert_eq!(taken, expected, "in chunks of {size}");
    }
}

#[test]
fn a_line_without_end_is_given_up_before_it_ends() {
    let mut lines = LineBuffer::new(8);
    lines.feed(b"1234567890");
    assert_eq!(take_all(&mut lines), [Err(LineError::TooLong { limit: 8 })]);
    lines.feed(&[b'x'; 100]);
    assert_eq!(take_all(&mut lines), []);
    assert!(!lines.is_empty());
}

#[test]
fn bytes_that_are_not_utf8_are_reported_by_place_and_the_next_line_is_read() {
    let mut lines = LineBuffer::new(100);
    lines.feed(b"{\"a\":\"\xff\"}\n{}\n");
    assert_eq!(take_all(&mut lines), [Err(LineError::NotUtf8 { at: 7 }), ok("{}")]);
}

#[test]
fn the_end_of_the_stream_ends_the_last_line() {
    let mut lines = LineBuffer::new(100);
    lines.feed(b"{}\n{\"a\":1}");
    assert_eq!(take_all(&mut lines), [ok("{}")]);
    assert!(!lines.is_empty());
    assert_eq!(lines.finish().map(|line| line.map(str::to_owned)), Some(ok("{\"a\":1}")));
    assert!(lines.finish().is_none());
}

fn single(line: &str) -> Call<'_> {
    match parse(line) {
        Ok(Incoming::Single(call)) => call,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn an_id_comes_back_as_it_was_written() {
    for id in ["1", "-7", "1.0", "1e3", "9007199254740993", "\"a\"", "\"\\u00fc\\n\"", "\"\"", "null"] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let call = single(&line);
        let mut out = Vec::new();
        write_result(&mut out, call.id.as_ref().expect("an id"), &()).expect("serializable");
        assert_eq!(String::from_utf8_lossy(&out), format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":null}}\n"));
    }
}

#[test]
fn a_call_without_an_id_is_a_notification() {
    assert!(single(r#"{"jsonrpc":"2.0","method":"ping"}"#).id.is_none());
}

#[test]
fn params_are_read_by_the_method_and_null_is_the_same_as_none() {
    for params in ["", r#","params":null"#, r#","params":{}"#, r#","params": { } "#] {
        let line = format!(r#" {{"jsonrpc":"2.0","id":1,"method":"p\u0069ng"{params}}} "#);
        let call = single(&line);
        assert_eq!(Request::parse(&call.method, call.params).map(|request| request.name()), Ok("ping"), "{params}");
    }
}

#[test]
fn an_array_of_what_a_request_holds_is_none() {
    let Ok(Incoming::Batch(calls)) = parse(r#"[["2.0",1,"ping"]]"#) else { panic!("a batch of one") };
    let [Err(refused)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((refused.error.code, refused.id.as_json()), (rpc::INVALID_REQUEST, "null"));
}

#[test]
fn what_is_no_request_is_refused_with_the_right_code_and_id() {
    for (line, code, id) in [
        ("nonsense", rpc::PARSE_ERROR, "null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, rpc::PARSE_ERROR, "null"),
        (r#"{"jsonrpc":2,"id":1,"method":"#, rpc::PARSE_ERROR, "null"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{}"#, rpc::PARSE_ERROR, "null"),
        ("[1,", rpc::PARSE_ERROR, "null"),
        ("1", rpc::INVALID_REQUEST, "null"),
        ("\"ping\"", rpc::INVALID_REQUEST, "null"),
        ("{}", rpc::INVALID_REQUEST, "null"),
        ("[]", rpc::INVALID_REQUEST, "null"),
        (" [ ] ", rpc::INVALID_REQUEST, "null"),
        (r#"{"id":1,"method":"ping"}"#, rpc::INVALID_REQUEST, "1"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, rpc::INVALID_REQUEST, "1"),
        (r#"{"jsonrpc":"2.0","id":"x"}"#, rpc::INVALID_REQUEST, "\"x\""),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, rpc::INVALID_REQUEST, "1"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, rpc::INVALID_REQUEST, "null"),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, rpc::INVALID_REQUEST, "null"),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, rpc::INVALID_REQUEST, "null"),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, rpc::INVALID_REQUEST, "null"),
    ] {
        let refused = parse(line).expect_err(line);
        assert_eq!((refused.error.code, refused.id.as_json()), (code, id), "{line}");
    }
}

#[test]
fn a_batch_keeps_its_order_and_refuses_only_what_is_wrong() {
    let line = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},7,{"jsonrpc":"2.0","method":"status"},{"jsonrpc":"2.0","id":3}]"#;
    let Ok(Incoming::Batch(calls)) = parse(line) else { panic!("a batch") };
    let seen: Vec<String> = calls
        .iter()
        .map(|call| match call {
            Ok(call) => call.method.to_string(),
            Err(Refused { id, error }) => format!("{} {}", id.as_json(), error.code),
        })
        .collect();
    assert_eq!(seen, ["ping", "null -32600", "status", "3 -32600"]);
}

#[test]
fn a_batch_over_the_limit_is_refused_as_a_whole() {
    let batch = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    assert!(matches!(parse(&batch(MAX_BATCH)), Ok(Incoming::Batch(calls)) if calls.len() == MAX_BATCH));
    let refused = parse(&batch(MAX_BATCH + 1)).expect_err("too many");
    assert_eq!(refused.error.code, rpc::INVALID_REQUEST);
    assert!(refused.error.message.contains("1000 requests"), "{}", refused.error);
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"push","params":{}}}"#, "[".repeat(500_000));
    assert!(parse(&deep).is_err());
    let balanced = format!(r#"{{"changes":{{"a":[{}{}]}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"push","params":{balanced}}}"#);
    if let Ok(Incoming::Single(call)) = parse(&line) {
        assert_eq!(Request::parse(&call.method, call.params).expect_err("too deep").code, rpc::INVALID_PARAMS);
    }
}

#[test]
fn what_is_written_is_one_line_that_a_client_reads_back() {
    let mut out = Vec::new();
    write_result(&mut out, &Id::from(1), "two\nlines").expect("serializable");
    write_error(&mut out, &Id::from(2), &Error::new(ErrorCode::NotFound, "no\nsuch record"));
    write_event(&mut out, &Event::Checkpoint { seq: 3 }).expect("serializable");
    write_request(&mut out, &Id::from(4), "ping", &serde_json::json!({})).expect("serializable");
    let text = String::from_utf8(out).expect("UTF-8");
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            r#"{"jsonrpc":"2.0","id":1,"result":"two\nlines"}"#,
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"no\nsuch record","data":{"code":"not_found","retryable":false}}}"#,
            r#"{"jsonrpc":"2.0","method":"event","params":{"channel":"checkpoint","seq":3}}"#,
            r#"{"jsonrpc":"2.0","id":4,"method":"ping","params":{}}"#,
        ]
    );
    let replies: Vec<_> = text.lines().map(|line| parse_reply(line).expect("a reply")).collect();
    assert!(matches!(&replies[0], Reply::Answer { id: Some(1), outcome: Ok(result) } if result.get() == r#""two\nlines""#));
    assert!(matches!(&replies[1], Reply::Answer { id: Some(2), outcome: Err(error) } if error.is(ErrorCode::NotFound)));
    assert!(matches!(&replies[2], Reply::Event(params) if params.get().contains("checkpoint")));
    assert!(matches!(&replies[3], Reply::Unknown));
}

#[test]
fn json_that_was_spread_over_lines_is_written_on_one() {
    let spread =
        serde_json::value::RawValue::from_string("{\n  \"a\": 1,\r\n  \"b\": \"x\\ny\"\n}".to_owned()).expect("valid JSON");
    let mut out = b"before\n".to_vec();
    write_result(&mut out, &Id::from(1), &spread).expect("serializable");
    let text = String::from_utf8(out).expect("UTF-8");
    assert_eq!(text, "before\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{   \"a\": 1,    \"b\": \"x\\ny\" }}\n");
}

#[test]
fn a_null_result_is_a_result_and_an_answer_without_one_is_an_error() {
    let reply = parse_reply(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).expect("a reply");
    assert!(matches!(reply, Reply::Answer { id: Some(1), outcome: Ok(result) } if result.get() == "null"));
    assert!(parse_reply(r#"{"jsonrpc":"2.0","id":1}"#).is_err());
}

#[test]
fn a_result_that_cannot_be_written_leaves_no_trace() {
    let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
    let mut out = b"before\n".to_vec();
    assert!(write_result(&mut out, &Id::NULL, &unwritable).is_err());
    assert_eq!(out, b"before\n");
}

#[test]
fn a_batch_is_answered_with_one_array_or_with_nothing() {
    let mut one = Vec::new();
    write_result(&mut one, &Id::from(1), &1).expect("serializable");
    let mut two = Vec::new();
    write_result(&mut two, &Id::from(2), &2).expect("serializable");
    let mut out = Vec::new();
    write_batch(&mut out, [&one[..], &two[..]]);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1},{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":2}]\n"
    );
    let mut nothing = Vec::new();
    write_batch(&mut nothing, []);
    assert!(nothing.is_empty());
}
