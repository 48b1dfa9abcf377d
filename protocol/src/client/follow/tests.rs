//! Lines, losses and silence against the state machine alone, with a clock of the test's own.

use serde_json::{Value, json};

use super::*;
use crate::event::Channel;
use crate::{Error, ErrorCode};

/// The machine and what an application has seen of it.
struct Play {
    follow: Follow,
    now: Instant,
}

impl Play {
    fn new(wanted: Subscribe) -> Self {
        Self { follow: Follow::new(Path::new("/s"), wanted), now: Instant::now() }
    }

    fn changes(since: Option<u64>) -> Self {
        Self::new(Subscribe { channels: vec![Channel::Change], since, ..Subscribe::default() })
    }

    /// What is given out until something else has to be done.
    fn told(&mut self) -> (Vec<String>, Step) {
        let mut told = Vec::new();
        loop {
            match self.follow.next_step() {
                Step::Yield(update) => told.push(short(&update)),
                step => return (told, step),
            }
        }
    }

    fn yields(&mut self, expected: &[&str]) {
        let (told, _) = self.told();
        assert_eq!(told, expected);
    }

    /// Connects, and returns the params of the `subscribe` that follows.
    fn connect(&mut self) -> Value {
        let (_, step) = self.told();
        let Step::Connect { not_before } = step else { panic!("{step:?}") };
        self.now = not_before.unwrap_or(self.now).max(self.now);
        self.follow.connected(self.now, 0);
        self.sent("subscribe")
    }

    fn sent(&mut self, method: &str) -> Value {
        let (_, step) = self.told();
        let Step::Send(lines) = step else { panic!("{step:?}") };
        let mut requests = requests(&lines);
        assert!(requests.iter().rev().skip(1).all(|request| request["method"] == "hello"), "{requests:?}");
        let request = requests.last_mut().expect("a request");
        assert_eq!(request["method"], method);
        request["params"].take()
    }

    fn line(&mut self, line: Value) -> Verdict {
        self.follow.line(&line.to_string(), self.now, 0)
    }

    /// The answer to the newest call.
    fn answer(&mut self, outcome: Result<Value, Error>) -> Verdict {
        let id = self.follow.last_id;
        match outcome {
            Ok(result) => self.line(json!({"jsonrpc": "2.0", "id": id, "result": result})),
            Err(error) => self.line(json!({"jsonrpc": "2.0", "id": id, "error": error})),
        }
    }

    fn accept(&mut self, log: &str, seq: u64) {
        assert_eq!(self.answer(Ok(json!({"log": log, "seq": seq}))), Verdict::Keep);
    }

    fn event(&mut self, params: Value) -> Verdict {
        self.line(json!({"jsonrpc": "2.0", "method": "event", "params": params}))
    }

    fn change(&mut self, seq: u64) -> Verdict {
        self.event(json!({"channel": "change", "change": {"seq": seq, "op": "delete", "entityType": "t", "id": seq.to_string(),
            "origin": "server", "pending": false, "at": "2026-01-01T00:00:00.000Z"}}))
    }

    fn lose(&mut self) {
        let error = ClientError::Closed { path: "/s".into(), source: None };
        self.follow.lost(error, self.now, 0);
    }

    fn position(&self) -> Option<(String, u64)> {
        self.follow.position().map(|position| (position.log, position.seq))
    }
}

fn short(update: &Update) -> String {
    match update {
        Update::Change(change) => format!("change {}", change.seq),
        Update::Connected(position) => format!("connected {} {}", position.log, position.seq),
        Update::Disconnected(_) => "disconnected".to_owned(),
        Update::Reset { reason, position } => format!("reset {reason:?} {} {}", position.log, position.seq),
        other => format!("{other:?}"),
    }
}

fn requests(lines: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(lines).into_iter().collect::<Result<_, _>>().expect("JSON")
}

fn gone(reason: &str) -> Error {
    Error::new(ErrorCode::Gone, "gone").with("reason", reason)
}

#[test]
fn after_a_loss_it_resumes_behind_the_last_change_and_tells_the_loss_once() {
    let mut play = Play::changes(Some(0));
    assert_eq!(play.connect(), json!({"channels": ["change"], "since": 0}));
    play.accept("a", 9);
    assert_eq!((play.change(1), play.change(2)), (Verdict::Keep, Verdict::Keep));
    play.yields(&["connected a 9", "change 1", "change 2"]);
    assert_eq!(play.position(), Some(("a".to_owned(), 2)));
    play.lose();
    play.yields(&["disconnected"]);
    for _ in 0..3 {
        play.lose();
        play.yields(&[]);
    }
    assert_eq!(play.connect(), json!({"channels": ["change"], "since": 2, "log": "a"}));
    play.accept("a", 9);
    let _ = play.change(3);
    play.yields(&["connected a 9", "change 3"]);
}

#[test]
fn without_a_position_changes_begin_where_the_feed_stands() {
    let mut play = Play::changes(None);
    assert_eq!(play.connect(), json!({"channels": ["change"]}));
    assert_eq!(play.position(), None);
    play.accept("a", 9);
    play.lose();
    assert_eq!(play.connect(), json!({"channels": ["change"], "since": 9, "log": "a"}));
}

#[test]
fn without_changes_there_is_no_position() {
    let mut play = Play::new(Subscribe { channels: vec![Channel::Progress], ..Subscribe::default() });
    play.connect();
    play.accept("a", 9);
    assert_eq!(play.position(), None);
    play.lose();
    assert_eq!(play.connect(), json!({"channels": ["progress"]}));
}

#[test]
fn a_change_that_comes_again_is_not_given_out_again() {
    let mut play = Play::changes(Some(4));
    play.connect();
    play.accept("a", 9);
    for seq in [3, 4, 5, 5, 4, 6] {
        assert_eq!(play.change(seq), Verdict::Keep);
    }
    play.yields(&["connected a 9", "change 5", "change 6"]);
}

#[test]
fn a_missing_change_costs_the_connection_and_is_fetched_by_the_next_one() {
    let mut play = Play::changes(Some(0));
    play.connect();
    play.accept("a", 9);
    assert_eq!((play.change(1), play.change(3)), (Verdict::Keep, Verdict::Close));
    play.yields(&["connected a 9", "change 1", "disconnected"]);
    assert_eq!(play.connect()["since"], 1);
}

#[test]
fn of_some_types_there_may_be_gaps_and_checkpoints_move_the_position() {
    let mut play = Play::new(Subscribe {
        channels: vec![Channel::Change],
        entity_types: Some(vec!["t".to_owned()]),
        since: Some(0),
        log: None,
    });
    play.connect();
    play.accept("a", 9);
    let _ = (play.change(2), play.change(7));
    assert_eq!(play.event(json!({"channel": "checkpoint", "seq": 1_007})), Verdict::Keep);
    play.yields(&["connected a 9", "change 2", "change 7"]);
    play.lose();
    assert_eq!(play.connect(), json!({"channels": ["change"], "entityTypes": ["t"], "since": 1_007, "log": "a"}));
}

#[test]
fn a_position_that_is_gone_is_told_as_a_reset_and_changes_go_on_behind_it() {
    for (reason, told) in [("trimmed", "Trimmed"), ("log_changed", "LogChanged"), ("of a newer daemon", "LogChanged")] {
        let mut play = Play::changes(Some(4));
        play.connect();
        assert_eq!(play.answer(Err(gone(reason))), Verdict::Keep);
        assert_eq!(play.sent("subscribe"), json!({"channels": ["change"]}), "on the same connection");
        play.accept("b", 70);
        let _ = play.change(71);
        play.yields(&[&format!("reset {told} b 70"), "connected b 70", "change 71"]);
        assert_eq!(play.position(), Some(("b".to_owned(), 71)));
    }
}

#[test]
fn a_reset_is_told_even_when_the_connection_is_lost_before_the_feed_is_taken_up_again() {
    let mut play = Play::changes(Some(4));
    play.connect();
    let _ = play.answer(Err(gone("trimmed")));
    play.lose();
    assert_eq!(play.connect(), json!({"channels": ["change"]}));
    play.accept("b", 70);
    play.yields(&["reset Trimmed b 70", "connected b 70"]);
}

#[test]
fn a_reset_that_was_not_taken_yet_is_not_passed_by_the_position() {
    let mut play = Play::changes(Some(4));
    play.connect();
    let _ = play.answer(Err(gone("trimmed")));
    let _ = play.sent("subscribe");
    play.accept("b", 70);
    let Step::Yield(first) = play.follow.next_step() else { panic!("nothing told") };
    assert_eq!(short(&first), "reset Trimmed b 70");
}

#[test]
fn changes_that_a_listing_has_already_are_passed_over() {
    let mut play = Play::changes(Some(4));
    play.connect();
    let _ = play.answer(Err(gone("trimmed")));
    let _ = play.sent("subscribe");
    play.accept("b", 70);
    play.yields(&["reset Trimmed b 70", "connected b 70"]);
    play.follow.loaded(72);
    for seq in 71..=73 {
        assert_eq!(play.change(seq), Verdict::Keep);
    }
    play.yields(&["change 73"]);
}

#[test]
fn nonsense_three_times_in_a_row_is_the_end_and_a_change_in_between_forgives_it() {
    let mut play = Play::changes(Some(0));
    for seq in 1..=5 {
        play.connect();
        play.accept("a", 9);
        let _ = play.change(seq);
        assert_eq!(play.follow.line("HTTP/1.1 400 Bad Request", play.now, 0), Verdict::Close);
    }
    for _ in 0..2 {
        play.connect();
        assert_eq!(play.follow.line("HTTP/1.1 400 Bad Request", play.now, 0), Verdict::Close);
    }
    let (_, step) = play.told();
    assert!(matches!(step, Step::Fail(ClientError::Protocol { .. })), "{step:?}");
    assert!(matches!(play.follow.next_step(), Step::End));
}

#[test]
fn what_must_be_readable_and_is_not_costs_the_connection_and_what_is_new_does_not() {
    for (params, expected) in [
        (json!({"channel": "change", "change": {"seq": 1}}), Verdict::Close),
        (json!({"channel": "checkpoint"}), Verdict::Close),
        (json!({}), Verdict::Close),
        (json!({"channel": "weather", "rain": true}), Verdict::Keep),
    ] {
        let mut play = Play::changes(Some(0));
        play.connect();
        play.accept("a", 9);
        assert_eq!(play.event(params.clone()), expected, "{params}");
    }
    let mut play = Play::changes(Some(0));
    play.connect();
    assert_eq!(play.change(1), Verdict::Close, "before the answer to subscribe");
}

#[test]
fn an_error_that_no_retry_mends_is_the_end_and_a_full_daemon_is_tried_again() {
    let denied = || ClientError::PermissionDenied { path: "/s".into(), group: None, source: std::io::Error::other("denied") };
    let refused = |error: Error| ClientError::Remote(error);
    for (error, is_final) in [
        (denied(), true),
        (refused(Error::protocol(crate::error::rpc::INVALID_PARAMS, "no such channel")), true),
        (refused(Error::new(ErrorCode::PermissionDenied, "not yours")), true),
        (refused(Error::new(ErrorCode::Busy, "full")), false),
    ] {
        let mut play = Play::changes(Some(0));
        play.follow.lost(error, play.now, 0);
        let (_, step) = play.told();
        assert_eq!(matches!(step, Step::Fail(_)), is_final, "{step:?}");
    }
}

#[test]
fn a_daemon_that_turns_the_caller_away_before_it_reads_is_heard() {
    let mut play = Play::changes(Some(0));
    play.connect();
    let busy = json!({"jsonrpc": "2.0", "id": null, "error": Error::new(ErrorCode::Busy, "full")});
    assert_eq!(play.line(busy), Verdict::Close);
    let (told, step) = play.told();
    assert_eq!(told, ["disconnected"]);
    assert!(matches!(step, Step::Connect { not_before: Some(_) }), "{step:?}");
}

#[test]
fn each_connection_begins_with_who_the_application_is() {
    let mut play = Play::changes(Some(0));
    play.follow.introduce(greeting::greeting("notes", "1.2.0"));
    for _ in 0..2 {
        let (_, Step::Connect { .. }) = play.told() else { panic!("no attempt") };
        play.follow.connected(play.now, 0);
        let (_, Step::Send(lines)) = play.told() else { panic!("nothing said") };
        let said = requests(&lines);
        assert_eq!(said[0]["method"], "hello");
        assert_eq!(said[0]["params"], json!({"client": {"name": "notes", "version": "1.2.0"}, "protocol": 1}));
        assert_eq!(said[1]["method"], "subscribe");
        play.accept("a", 9);
        play.lose();
    }
    let own = greeting::of_this_program().client;
    assert!(own.name.starts_with("aesync_protocol"), "the test's own program: {own:?}");
    assert_eq!(own.version, concat!("aesync-rust/", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_daemon_that_answers_the_greeting_with_an_error_is_heard() {
    for (error, is_final) in [
        (Error::new(ErrorCode::Busy, "full"), false),
        (Error::new(ErrorCode::PermissionDenied, "not yours"), true),
        (Error::new(ErrorCode::Unsupported, "another version"), true),
    ] {
        let mut play = Play::changes(Some(0));
        play.connect();
        let hello = play.follow.last_id - 1;
        assert_eq!(play.line(json!({"jsonrpc": "2.0", "id": hello, "error": error})), Verdict::Close);
        let (_, step) = play.told();
        assert_eq!(matches!(step, Step::Fail(ClientError::Remote(_))), is_final, "{step:?}");
    }
}

#[test]
fn silence_is_answered_by_a_ping_and_more_silence_by_a_new_connection() {
    let mut play = Play::changes(Some(0));
    play.connect();
    play.accept("a", 9);
    for _ in 0..3 {
        let (_, Step::Read { until }) = play.told() else { panic!("no read") };
        assert_eq!(until, play.now + QUIET);
        play.now = until;
        assert_eq!(play.follow.silent(play.now, 0), Verdict::Keep);
        let _ = play.sent("ping");
        assert!(matches!(play.told().1, Step::Read { until } if until == play.now + PATIENCE));
        assert_eq!(play.answer(Ok(json!({"time": "2026-01-01T00:00:00.000Z"}))), Verdict::Keep);
    }
    assert_eq!(play.follow.silent(play.now, 0), Verdict::Keep);
    let _ = play.sent("ping");
    assert_eq!(play.follow.silent(play.now + PATIENCE, 0), Verdict::Close);
    play.yields(&["disconnected"]);
}

#[test]
fn a_subscribe_without_an_answer_is_given_up() {
    let mut play = Play::changes(Some(0));
    play.connect();
    assert!(matches!(play.told().1, Step::Read { until } if until == play.now + PATIENCE));
    assert_eq!(play.follow.silent(play.now + PATIENCE, 0), Verdict::Close);
    assert!(matches!(play.told().1, Step::Connect { .. }));
}

#[test]
fn attempts_become_rarer_until_a_connection_held_or_brought_changes() {
    let delay = |play: &mut Play| {
        let Step::Connect { not_before: Some(moment) } = play.told().1 else { panic!("no attempt") };
        moment.duration_since(play.now)
    };
    let mut play = Play::changes(Some(0));
    let mut delays = Vec::new();
    for _ in 0..3 {
        play.lose();
        delays.push(delay(&mut play));
    }
    // A connection that ends at once and brings nothing is no better than none.
    play.connect();
    play.accept("a", 9);
    play.lose();
    delays.push(delay(&mut play));
    assert_eq!(delays, [25, 50, 100, 200].map(Duration::from_millis));
    play.connect();
    play.accept("a", 9);
    let _ = play.change(1);
    play.lose();
    assert_eq!(delay(&mut play), Duration::from_millis(25));
    play.lose();
    play.connect();
    play.accept("a", 9);
    play.now += STEADY;
    play.lose();
    assert_eq!(delay(&mut play), Duration::from_millis(25));
}
