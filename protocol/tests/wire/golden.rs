//! The wire as it was promised, line by line. Lines are added, never changed: a line that no longer comes back as it is here is a new
//! version of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use aesync_protocol::codec::{
    EncodedChange, Id, Incoming, Reply, parse, parse_reply, write_change, write_error, write_event, write_request, write_result,
};
use aesync_protocol::request::{self, METHODS, Method};
use aesync_protocol::{ErrorCode, Event, Request};
use serde_json::value::RawValue;

const REQUESTS: &str = include_str!("../golden/requests.ndjson");
const RESULTS: &str = include_str!("../golden/results.ndjson");
const EVENTS: &str = include_str!("../golden/events.ndjson");
const ERRORS: &str = include_str!("../golden/errors.ndjson");

/// What was promised in this version, a hash for each line in its place: a line that was changed, moved or taken out is none of them.
/// `AESYNC_WRITE=1` adds new lines, and never does anything else.
const PROMISED: &str = include_str!("../golden/version-1.hashes");

/// What a method makes of its params and of its result: the whole lines, written again.
struct Again {
    request: fn(&Id, &RawValue) -> Vec<u8>,
    result: fn(&Id, &RawValue) -> Vec<u8>,
}

fn again<M: Method>() -> (&'static str, Again) {
    let request: fn(&Id, &RawValue) -> Vec<u8> = |id, params| {
        let params: M = serde_json::from_str(params.get()).expect("params");
        let mut line = Vec::new();
        write_request(&mut line, id, M::NAME, &params).expect("JSON");
        line
    };
    let result: fn(&Id, &RawValue) -> Vec<u8> = |id, result| {
        let result: M::Answer =
            serde_json::from_str(result.get()).unwrap_or_else(|error| panic!("{} {result}: {error}", M::NAME));
        let mut line = Vec::new();
        write_result(&mut line, id, &result).expect("JSON");
        line
    };
    (M::NAME, Again { request, result })
}

macro_rules! all_methods {
    ($($params:ident)*) => {
        BTreeMap::from([$(again::<request::$params>()),*])
    };
}

fn methods() -> BTreeMap<&'static str, Again> {
    all_methods!(
        Hello Ping GetStatus Wait Subscribe Unsubscribe Push Pull PullPending Sync RecordsGet RecordsList Changed OutboxList OutboxRetry
        OutboxDiscard OutboxEdit ConflictsList ConflictsResolve Reconcile AttentionAcknowledge AuthLogin AuthSetToken AuthLogout
        Pause Resume ConfigGet ConfigReload Clients GetStoreFigures StoreCheck Metrics Shutdown Discover
    )
}

#[track_caller]
fn assert_same(written: Vec<u8>, line: &str) {
    assert_eq!(String::from_utf8(written).expect("UTF-8"), format!("{line}\n"));
}

/// FNV-1a: the same everywhere and in every release of Rust, which the standard library's own is not.
fn hash(line: &str) -> u64 {
    line.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn every_line_that_was_ever_promised_is_there_in_its_place_and_every_line_is_promised() {
    assert_eq!(aesync_protocol::PROTOCOL, 1, "another version has promises of its own: another file, beside this one");
    let files = [("requests", REQUESTS), ("results", RESULTS), ("events", EVENTS), ("errors", ERRORS)];
    let mut promised: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in PROMISED.lines() {
        let (file, hash) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        promised.entry(file).or_default().push(hash);
    }
    assert_eq!(promised.keys().copied().collect::<BTreeSet<_>>(), files.iter().map(|(name, _)| *name).collect());
    let mut added = String::new();
    for (name, lines) in files {
        let known = promised.get(name).expect("hashes");
        let found: Vec<(String, &str)> = lines.lines().map(|line| (format!("{:016x}", hash(line)), line)).collect();
        for (number, promise) in known.iter().enumerate() {
            let now = found.get(number).map(|(hash, _)| hash.as_str());
            assert_eq!(now, Some(*promise), "line {} of {name}.ndjson was changed or taken out: put it back", number + 1);
        }
        for (hash, line) in found.iter().skip(known.len()) {
            added.push_str(&format!("{name} {hash}\n"));
            assert!(std::env::var_os("AESYNC_WRITE").is_some(), "not promised yet, AESYNC_WRITE=1 does so: {line}");
        }
    }
    if !added.is_empty() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/version-1.hashes");
        std::fs::write(path, format!("{PROMISED}{added}")).expect("written");
    }
}

#[test]
fn every_request_is_read_and_written_again_as_it_is() {
    let methods = methods();
    let mut seen = BTreeSet::new();
    for line in REQUESTS.lines() {
        let Ok(Incoming::Single(call)) = parse(line) else { panic!("{line}") };
        let parsed = Request::parse(&call.method, call.params).unwrap_or_else(|error| panic!("{line}: {error}"));
        let again = methods.get(parsed.name()).expect("a method");
        assert_same((again.request)(&call.id.expect("an id"), call.params.expect("params")), line);
        seen.insert(parsed.name());
    }
    assert_eq!(seen, METHODS.iter().copied().collect(), "each method has a request");
}

#[test]
fn every_result_is_read_and_written_again_as_it_is() {
    let methods = methods();
    assert_eq!(REQUESTS.lines().count(), RESULTS.lines().count(), "each request has a result");
    for (request, line) in REQUESTS.lines().zip(RESULTS.lines()) {
        let Ok(Incoming::Single(call)) = parse(request) else { panic!("{request}") };
        let Ok(Reply::Answer { id: Some(id), outcome: Ok(result) }) = parse_reply(line) else { panic!("{line}") };
        let id = Id::from(id);
        assert_eq!(Some(&id), call.id.as_ref(), "{line}");
        assert_same((methods.get(&*call.method).expect("a method").result)(&id, result), line);
    }
}

#[test]
fn every_event_is_read_and_written_again_as_it_is() {
    for line in EVENTS.lines() {
        let Ok(Reply::Event(params)) = parse_reply(line) else { panic!("{line}") };
        let event: Event = serde_json::from_str(params.get()).unwrap_or_else(|error| panic!("{line}: {error}"));
        let mut written = Vec::new();
        write_event(&mut written, &event).expect("JSON");
        assert_same(written, line);
        if let Event::Change { change } = &event {
            let mut written = Vec::new();
            write_change(&mut written, change).expect("JSON");
            let encoded = EncodedChange::new(change).expect("JSON");
            assert_eq!(encoded.line(), written, "to the byte");
            assert_eq!(encoded.json(), serde_json::to_vec(change).expect("JSON"));
            assert_same(written, line);
        }
    }
}

#[test]
fn every_error_is_read_and_written_again_as_it_is() {
    let mut seen = BTreeSet::new();
    for line in ERRORS.lines() {
        let Ok(Reply::Answer { id, outcome: Err(error) }) = parse_reply(line) else { panic!("{line}") };
        if let Some(name) = error.name() {
            let code: ErrorCode = serde_json::from_value(name.into()).expect("a code of this version");
            assert_eq!(error.data.as_ref().map(|details| details.retryable), Some(code.retryable()), "{line}");
            seen.insert(code.as_str());
        }
        let mut written = Vec::new();
        write_error(&mut written, &id.map_or(Id::NULL, Id::from), &error);
        assert_same(written, line);
    }
    assert_eq!(seen.len(), 15, "each code has an error: {seen:?}");
}

#[test]
fn a_client_passes_over_fields_that_it_does_not_know() {
    for (request, line) in REQUESTS.lines().zip(RESULTS.lines()) {
        let Ok(Incoming::Single(call)) = parse(request) else { panic!("{request}") };
        // Records and documents take every field there is.
        if matches!(&*call.method, "config.get" | "rpc.discover") {
            continue;
        }
        let widened = line
            .replacen("\"result\":{", "\"result\":{\"fromTheFuture\":{\"a\":[1]},", 1)
            .replace("{\"fromTheFuture\":{\"a\":[1]},}", "{\"fromTheFuture\":{\"a\":[1]}}");
        let Ok(Reply::Answer { id: Some(id), outcome: Ok(result) }) = parse_reply(&widened) else { panic!("{widened}") };
        assert_same((methods().get(&*call.method).expect("a method").result)(&Id::from(id), result), line);
    }
}
