use std::sync::mpsc::{self, Receiver, SyncSender};

use aesync_protocol::request::Keep;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value, json};

use super::*;
use crate::cmd::top::action::Action;
use crate::cmd::top::feed::News;
use crate::cmd::top::key::{Step, press};

const NOW: &str = "2026-01-31T12:00:00.000Z";

/// A screen with its model, and what its keys asked for.
struct Screen {
    model: Model,
    actions: SyncSender<Action>,
    asked: Receiver<Action>,
}

impl Screen {
    fn new() -> Self {
        let (actions, asked) = mpsc::sync_channel(16);
        Self { model: Model::new(NOW.parse().expect("a time")), actions, asked }
    }

    /// With a daemon behind it that has work waiting.
    fn busy() -> Self {
        let mut screen = Self::new();
        screen.event(json!({"channel": "status", "status": {
            "status": "pending", "since": "2026-01-31T11:58:00.000Z", "hasSynced": true, "seq": 7, "paused": false,
            "server": {"url": "https://ae.example", "tenantId": "7f3a", "link": "online", "transport": "websocket",
                       "connectedSince": "2026-01-31T09:00:00.000Z", "rttMs": 23, "reconnects": 0},
            "auth": {"state": "valid"},
            "outbox": {"pending": 1, "sent": 0, "inDoubt": 0, "acked": 0, "quarantined": 1, "blocked": 0, "conflicts": 1, "bytes": 1300},
            "types": {"end_user": {"records": 1204, "dirty": false, "firstSyncDone": true, "suspicious": false, "lastPulledAt": NOW},
                      "interactions": {"records": 88, "dirty": true, "firstSyncDone": true, "suspicious": false}},
            "feed": {"log": "l", "firstSeq": 1, "lastSeq": 7},
            "attention": [{"code": "conflicts", "message": "1 local change was overruled by the server: decide with `aectl conflicts`", "count": 1}],
            "daemon": {"version": "0.1.0", "pid": 7, "startedAt": "2026-01-31T09:00:00.000Z", "instance": "default"}
        }}));
        let entry = |number: u64, state: &str, error: Value| {
            let mut entry = json!({"entry": number, "entityType": "interactions", "id": "0af1", "op": "update", "state": state,
                "data": {"id": "0af1", "title": "mine"}, "bytes": 30, "enqueuedAt": "2026-01-31T11:59:00.000Z", "attempts": 1});
            if !error.is_null() {
                entry["lastError"] = error;
            }
            entry
        };
        let refusal = json!({"message": "no such column\u{1b}[2J", "at": NOW});
        let entries =
            json!([entry(3, "quarantined", refusal), entry(4, "conflict", Value::Null), entry(5, "pending", Value::Null)]);
        let conflicts = json!([{"entry": 4, "entityType": "interactions", "id": "0af1", "at": NOW,
            "sent": {"id": "0af1", "title": "mine", "note": "same", "new": 1},
            "server": {"id": "0af1", "title": "theirs", "note": "same", "owner": "x"}}]);
        screen.hear(News::Waiting {
            entries: serde_json::from_value(entries).expect("entries"),
            conflicts: serde_json::from_value(conflicts).expect("conflicts"),
        });
        let change = json!({"seq": 8, "op": "upsert", "entityType": "interactions", "id": "0af1", "record": {"id": "0af1", "title": "t"},
            "origin": "server", "pending": false, "at": NOW});
        screen.event(json!({"channel": "change", "change": change}));
        screen.event(json!({"channel": "notification", "notification":
            {"type": "data_available", "entityType": "interactions", "message": "new", "timestamp": NOW}}));
        screen.event(json!({"channel": "progress", "op": "pull", "entityType": "end_user", "done": 1200, "total": 5000}));
        screen.model.second();
        screen
    }

    fn event(&mut self, event: Value) {
        self.hear(News::Event(serde_json::from_value(event).expect("an event")));
    }

    fn hear(&mut self, news: News) {
        self.model.hear(news, &self.actions);
    }

    fn press(&mut self, code: KeyCode) -> Step {
        press(&mut self.model, KeyEvent::new(code, KeyModifiers::NONE), &self.actions)
    }

    fn asked(&self) -> Vec<Action> {
        self.asked.try_iter().collect()
    }

    fn at(&mut self, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| draw(frame, &mut self.model, Theme::new(false))).expect("drawn");
        terminal.backend().to_string()
    }
}

#[test]
fn everything_has_its_place_at_80_by_24() {
    insta::assert_snapshot!(Screen::busy().at(80, 24));
}

#[test]
fn a_conflict_stands_side_by_side_with_what_differs_first() {
    let mut screen = Screen::busy();
    screen.press(KeyCode::Char('c'));
    insta::assert_snapshot!(screen.at(80, 24));
}

#[test]
fn a_refused_entry_is_open_with_its_error_and_the_way_to_correct_it() {
    let mut screen = Screen::busy();
    screen.press(KeyCode::Enter);
    insta::assert_snapshot!(screen.at(80, 24));
}

#[test]
fn the_keys_are_explained() {
    let mut screen = Screen::busy();
    screen.press(KeyCode::Char('?'));
    insta::assert_snapshot!(screen.at(80, 24));
}

#[test]
fn a_daemon_that_is_gone_is_said_and_found_again() {
    let mut screen = Screen::busy();
    screen.hear(News::Lost("aesyncd is not running".to_owned()));
    insta::assert_snapshot!(screen.at(80, 24));
    screen.hear(News::Waiting { entries: Vec::new(), conflicts: Vec::new() });
    assert!(screen.at(80, 24).contains("▲ Pending"));
}

#[test]
fn no_size_is_too_small_or_too_large() {
    for (width, height) in [(1, 1), (20, 5), (79, 23), (80, 24), (300, 100)] {
        for key in [KeyCode::Null, KeyCode::Char('c'), KeyCode::Char('?')] {
            let mut screen = Screen::busy();
            screen.press(key);
            screen.at(width, height);
        }
    }
}

#[test]
fn without_colour_no_cell_has_one() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
    let has_colour = |terminal: &Terminal<TestBackend>| {
        terminal.backend().buffer().content.iter().any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    let mut screen = Screen::busy();
    terminal.draw(|frame| draw(frame, &mut screen.model, Theme::new(false))).expect("drawn");
    assert!(!has_colour(&terminal));
    terminal.draw(|frame| draw(frame, &mut screen.model, Theme::new(true))).expect("drawn");
    assert!(has_colour(&terminal));
}

#[test]
fn each_key_asks_for_what_it_says() {
    let mut screen = Screen::busy();
    assert_eq!(screen.asked(), []);
    for (key, action) in [('s', Action::Sync), ('p', Action::Pause), ('r', Action::Retry(3))] {
        screen.press(KeyCode::Char(key));
        assert_eq!(screen.asked(), [action], "{key}");
    }
    for (key, keep) in [('1', Keep::Server), ('2', Keep::Local)] {
        screen.press(KeyCode::Char('c'));
        screen.press(KeyCode::Char(key));
        assert_eq!(screen.asked(), [Action::Resolve(4, keep)]);
        assert_eq!(screen.model.open, None, "and back");
    }
    screen.press(KeyCode::Down);
    screen.press(KeyCode::Down);
    screen.press(KeyCode::Down);
    screen.press(KeyCode::Char('r'));
    assert_eq!(screen.asked(), [Action::Retry(5)], "the cursor stops at the last one");
    assert_eq!((screen.press(KeyCode::Char('q')), screen.press(KeyCode::Esc)), (Step::Leave, Step::Leave));
}

#[test]
fn a_decision_is_only_taken_in_a_conflict() {
    let mut screen = Screen::busy();
    screen.press(KeyCode::Enter);
    screen.press(KeyCode::Char('1'));
    screen.press(KeyCode::Char('2'));
    assert_eq!(screen.asked(), []);
}

#[test]
fn the_outbox_is_listed_again_when_it_changed() {
    let mut screen = Screen::busy();
    let entry = serde_json::to_value(&screen.model.entries[2]).expect("JSON");
    screen.event(json!({"channel": "outbox", "entry": entry}));
    screen.event(json!({"channel": "notification", "notification":
        {"type": "data_available", "entityType": "batch", "message": "", "timestamp": NOW}}));
    assert_eq!(screen.asked(), [Action::Look]);
}

#[test]
fn only_what_the_server_sent_counts_as_received() {
    let mut screen = Screen::busy();
    assert_eq!(screen.model.received.last(), 1);
    let change = |origin: &str| {
        json!({"channel": "change", "change": {"seq": 9, "op": "delete", "entityType": "t", "id": "a",
        "origin": origin, "pending": false, "at": NOW}})
    };
    for origin in ["server", "local", "server"] {
        screen.event(change(origin));
    }
    screen.model.second();
    assert_eq!(screen.model.received.last(), 2);
    screen.model.second();
    assert_eq!(screen.model.received.last(), 0);
}
