//! Every state of the link, every event, and what comes of it: one cell each.

use super::*;

const START: Duration = Duration::from_secs(1_000);

/// The states, as they are reached.
const STATES: [&str; 6] = ["Down", "Connecting", "Authenticating", "Young", "Settled", "Backoff"];

/// Rows are events, columns the states in their order; a cell is the state after it, and the change if there is one. `Young` is online
/// for less than [`Settings::stable_after`], `Settled` for longer: they differ in the backoff that follows.
const TABLE: [(&str, [&str; 6]); 14] = [
    //                     Down                Connecting               Authenticating           Young             Settled           Backoff
    ("up", ["Connecting Open", "Connecting", "Authenticating", "Online", "Online", "Backoff"]),
    ("down", ["Down", "Down Close", "Down Close", "Down Close", "Down Close", "Down"]),
    ("renew", ["Down", "Connecting Open", "Connecting Open", "Connecting Open", "Connecting Open", "Connecting Open"]),
    ("kick", ["Down", "Connecting", "Authenticating", "Online", "Online", "Connecting Open"]),
    ("connected", ["Down", "Authenticating", "Authenticating", "Online", "Online", "Backoff"]),
    ("connected, of an earlier session", ["Down", "Connecting", "Authenticating", "Online", "Online", "Backoff"]),
    ("authenticated", ["Down", "Online Online", "Online Online", "Online", "Online", "Backoff"]),
    ("authenticated, of an earlier session", ["Down", "Connecting", "Authenticating", "Online", "Online", "Backoff"]),
    ("lost", ["Down", "Backoff AttemptFailed", "Backoff AttemptFailed", "Backoff Lost", "Backoff Lost", "Backoff"]),
    ("refused", ["Down", "Backoff AttemptFailed", "Backoff AttemptFailed", "Backoff Lost", "Backoff Lost", "Backoff"]),
    ("ended, of an earlier session", ["Down", "Connecting", "Authenticating", "Online", "Online", "Backoff"]),
    ("woke early", ["Down", "Connecting", "Authenticating", "Online", "Online", "Backoff"]),
    ("woke at its time", ["Down", "Connecting", "Authenticating", "Online", "Online", "Connecting Open"]),
    ("woke late", ["Down", "Connecting", "Authenticating", "Online", "Online", "Connecting Open"]),
];

fn settings() -> Settings {
    Settings::new("http://127.0.0.1", None, &["end_user"])
}

fn at(mono: Duration) -> Now {
    Now { mono, wall: Timestamp::from_millis(1_767_225_600_000), dice: u128::MAX / 3 }
}

fn end(kind: SessionEndKind) -> SessionEnd {
    SessionEnd { kind, detail: String::new() }
}

/// A link in a state, reached the way that it is reached in life; its present session has the number 2, or 3 after a failure.
fn link_in(state: &str) -> Link {
    let mut link = Link::default();
    if state == "Down" {
        return link;
    }
    assert_eq!(link.up(), LinkChange::Open(SessionId(1)));
    assert_eq!(link.renew(), LinkChange::Open(SessionId(2)));
    let since = if state == "Settled" { START - settings().stable_after } else { START };
    match state {
        "Connecting" => {}
        "Authenticating" => drop(link.connected(SessionId(2))),
        "Young" | "Settled" => drop(link.authenticated(&at(since), SessionId(2))),
        _ => drop(link.ended(&settings(), &at(START), SessionId(2), &end(SessionEndKind::Unreachable))),
    }
    link
}

fn happen(link: &mut Link, event: &str) -> LinkChange {
    let (own, earlier) = (link.session, SessionId(link.session.0 - 1));
    let until = link.deadline().unwrap_or(START);
    match event {
        "up" => link.up(),
        "down" => link.down(Down::Paused),
        "renew" => link.renew(),
        "kick" => link.kick(),
        "connected" => link.connected(own),
        "connected, of an earlier session" => link.connected(earlier),
        "authenticated" => link.authenticated(&at(START), own),
        "authenticated, of an earlier session" => link.authenticated(&at(START), earlier),
        "lost" => link.ended(&settings(), &at(START), own, &end(SessionEndKind::Lost)),
        "refused" => link.ended(&settings(), &at(START), own, &end(SessionEndKind::Refused)),
        "ended, of an earlier session" => link.ended(&settings(), &at(START), earlier, &end(SessionEndKind::Lost)),
        "woke early" => link.woke(&at(until - Duration::from_millis(1))),
        "woke at its time" => link.woke(&at(until)),
        "woke late" => link.woke(&at(until + Duration::from_secs(3_600))),
        other => panic!("{other:?} is no event"),
    }
}

fn told(link: &Link, change: &LinkChange) -> String {
    let state = match link.state {
        LinkState::Down(_) => "Down",
        LinkState::Connecting => "Connecting",
        LinkState::Authenticating => "Authenticating",
        LinkState::Online { .. } => "Online",
        LinkState::Backoff { .. } => "Backoff",
    };
    match change {
        LinkChange::None => state.to_owned(),
        LinkChange::Open(_) => format!("{state} Open"),
        other => format!("{state} {other:?}"),
    }
}

#[test]
fn every_state_has_an_answer_to_every_event() {
    for (event, cells) in TABLE {
        for (state, expected) in STATES.into_iter().zip(cells) {
            let mut link = link_in(state);
            if state == "Down" {
                // Whatever an event names as its session, there is none.
                link.session = SessionId(1);
            }
            let change = happen(&mut link, event);
            assert_eq!(told(&link, &change), expected, "{event} in {state}");
        }
    }
}

#[test]
fn each_open_is_a_new_session_and_events_of_the_one_before_are_stale() {
    let mut link = link_in("Young");
    let old = link.session;
    let LinkChange::Open(new) = link.renew() else { panic!("a new session") };
    assert_ne!(old, new);
    assert_eq!(link.ended(&settings(), &at(START), old, &end(SessionEndKind::Closed)), LinkChange::None);
    assert_eq!(link.authenticated(&at(START), new), LinkChange::Online);
}

#[test]
fn only_a_session_that_lasted_starts_the_backoff_anew() {
    let wait_after = |state: &str| {
        let mut link = link_in(state);
        for _ in 0..6 {
            let _ = link.backoff.fail(&settings(), &at(START));
        }
        let _ = link.ended(&settings(), &at(START), link.session, &end(SessionEndKind::Lost));
        link.deadline().expect("a backoff") - START
    };
    assert!(wait_after("Settled") <= settings().backoff_min, "it lasted: {:?}", wait_after("Settled"));
    assert!(wait_after("Young") > settings().backoff_min * 4, "it did not: {:?}", wait_after("Young"));
}

#[test]
fn a_refusal_waits_for_at_least_half_the_longest_backoff() {
    let mut link = link_in("Connecting");
    let _ = link.ended(&settings(), &at(START), link.session, &end(SessionEndKind::Refused));
    assert!(link.deadline().expect("a backoff") - START >= settings().backoff_max / 2);
}
