//! A client that knows nothing but lines.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use aesync_protocol::codec::{Id, Reply, parse_reply, write_error, write_event, write_result};
use aesync_protocol::request::{self, METHODS, Method};
use aesync_protocol::{Error, Event};
use serde_json::{Value, json};

use crate::house::PATIENCE;
use crate::shapes;

/// A connection.
pub(crate) struct Wire {
    stream: BufReader<UnixStream>,
    last: u64,
    events: VecDeque<Event>,
}

impl Wire {
    pub(crate) fn open(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { stream: BufReader::new(stream), last: 0, events: VecDeque::new() }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("written");
    }

    pub(crate) fn close_writing(&mut self) {
        self.stream.get_mut().shutdown(Shutdown::Write).expect("shut down");
    }

    /// The next line without its end; none when the daemon has closed.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line in time");
        let text = line.strip_suffix('\n').map(str::to_owned);
        assert!(text.is_some() || line.is_empty(), "the connection ended amid a line: {line}");
        text
    }

    pub(crate) fn json(&mut self) -> Value {
        let line = self.line().expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Sends a request and leaves its answer for later.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) {
        self.last += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        self.send(&format!("{request}\n"));
    }

    /// The line that answers the last request; events that come before it are kept.
    fn answer(&mut self) -> String {
        loop {
            let line = self.line().expect("an answer");
            if let Ok(Reply::Event(_)) = parse_reply(&line) {
                self.events.push_back(event_of(&line));
                continue;
            }
            return line;
        }
    }

    /// Calls a method that succeeds, and holds its answer against the method's type.
    pub(crate) fn ok(&mut self, method: &str, params: Value) -> Value {
        self.ask(method, &params);
        self.ok_of(method)
    }

    /// The success of the last request.
    pub(crate) fn ok_of(&mut self, method: &str) -> Value {
        let line = self.answer();
        let Ok(Reply::Answer { id: Some(id), outcome: Ok(result) }) = parse_reply(&line) else { panic!("{method}: {line}") };
        assert_eq!(id, self.last, "{line}");
        let again = written_again(method, self.last, result.get());
        assert_eq!(format!("{line}\n"), again, "{method} answers what its type does not have");
        let result = serde_json::from_str(result.get()).expect("JSON");
        shapes::check_result(method, &result);
        result
    }

    /// Calls a method that fails.
    pub(crate) fn err(&mut self, method: &str, params: Value) -> Error {
        self.ask(method, &params);
        let line = self.answer();
        error_of(&line).unwrap_or_else(|| panic!("{method}: {line}"))
    }

    pub(crate) fn event(&mut self) -> Event {
        match self.events.pop_front() {
            Some(event) => event,
            None => event_of(&self.line().expect("an event")),
        }
    }

    /// The first event from here on for which `pick` has something.
    pub(crate) fn event_where<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(&self.event()) {
                return found;
            }
        }
    }
}

/// An error line, held against its type.
pub(crate) fn error_of(line: &str) -> Option<Error> {
    let Ok(Reply::Answer { id, outcome: Err(error) }) = parse_reply(line) else { return None };
    let mut again = Vec::new();
    write_error(&mut again, &id.map_or(Id::NULL, Id::from), &error);
    assert_eq!(String::from_utf8(again).expect("UTF-8"), format!("{line}\n"));
    shapes::check_error(&error);
    Some(error)
}

fn event_of(line: &str) -> Event {
    let Ok(Reply::Event(params)) = parse_reply(line) else { panic!("no event: {line}") };
    let event: Event = serde_json::from_str(params.get()).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut again = Vec::new();
    write_event(&mut again, &event).expect("JSON");
    assert_eq!(String::from_utf8(again).expect("UTF-8"), format!("{line}\n"));
    shapes::check_event(&serde_json::from_str(params.get()).expect("JSON"));
    event
}

fn again<M: Method>(id: u64, result: &str) -> String {
    let result: M::Answer = serde_json::from_str(result).unwrap_or_else(|error| panic!("{}: {error}: {result}", M::NAME));
    let mut line = Vec::new();
    write_result(&mut line, &id.into(), &result).expect("JSON");
    String::from_utf8(line).expect("UTF-8")
}

macro_rules! by_name {
    ($($params:ident)*) => {
        fn written_again(method: &str, id: u64, result: &str) -> String {
            match method {
                $(_ if method == request::$params::NAME => again::<request::$params>(id, result),)*
                other => panic!("no method: {other}"),
            }
        }

        #[test]
        fn the_suite_knows_every_method() {
            let known = [$(request::$params::NAME),*];
            assert_eq!(known, METHODS);
        }
    };
}

by_name!(
    Hello Ping GetStatus Wait Subscribe Unsubscribe Push Pull PullPending Sync RecordsGet RecordsList Changed OutboxList OutboxRetry
    OutboxDiscard OutboxEdit ConflictsList ConflictsResolve Reconcile AttentionAcknowledge AuthLogin AuthSetToken AuthLogout Pause Resume ConfigGet
    ConfigReload Clients GetStoreFigures StoreCheck Metrics Shutdown Discover
);
