//! The rules that no table shows by itself, each as a short story that ends differently without it.

use aesync_protocol::response::EntryState;
use aesync_protocol::{ErrorCode, StatusWord, Timestamp};
use aesyncd::engine::effect::{Reply, Request};
use aesyncd::engine::input::{Call, Input};
use aesyncd::engine::view::View as _;
use aesyncd::engine::without::Without;
use serde_json::{Value, json};

use super::ops::{Op, carry_out, id};
use super::server::Fault;
use super::sim::{Sim, user};

const MINUTE: i64 = 60_000;

/// A daemon that is synced with a server without rows.
fn synced() -> Sim {
    let mut sim = Sim::new(4, Without::default());
    sim.advance(5_000);
    assert_eq!(sim.status.as_ref().map(|status| status.status), Some(StatusWord::Synced));
    sim
}

/// The rows that were pushed, in the order in which the server got them: type, id and name.
fn pushed(sim: &Sim) -> Vec<(String, String, Value)> {
    let mut rows = Vec::new();
    for (_, request) in &sim.server.asked {
        let Request::Push { changes } = request else { continue };
        for (entity_type, entities) in changes {
            for row in entities {
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                rows.push((entity_type.clone(), id, row.get("name").cloned().unwrap_or_default()));
            }
        }
    }
    rows
}

/// The types of the pulls since the `asked`-th request, and from when each asked.
fn pulls_after(sim: &Sim, asked: usize) -> Vec<(Vec<String>, Timestamp)> {
    let requests = sim.server.asked.get(asked..).unwrap_or_default();
    let pulls = requests.iter().filter_map(|(_, request)| match request {
        Request::Pull { entity_types, since } => Some((entity_types.clone(), *since)),
        _ => None,
    });
    pulls.collect()
}

fn entry_of(sim: &Sim, call: u64) -> u64 {
    match &sim.replies[&call] {
        Ok(Reply::Pushed(pushed)) => pushed.entries[0].entry,
        other => panic!("no push was answered: {other:?}"),
    }
}

fn state_of(sim: &Sim, number: u64) -> Option<EntryState> {
    sim.outbox().into_iter().find(|entry| entry.number == number).map(|entry| entry.state)
}

fn named(n: u8, name: u32) -> Value {
    json!({"id": id(1, n), "email": format!("{n}@example.com"), "name": name})
}

fn interaction(n: u8, parent: u8) -> Value {
    let link = json!({"id": id(1, parent)});
    json!({"id": id(2, n), "type": "call", "title": "t", "description": "d", "date": "2026-01-01", "clientUser": link})
}

#[test]
fn r2_a_parent_goes_before_its_child_and_edits_of_one_entity_in_their_order() {
    let mut sim = synced();
    sim.fault(Fault::Down, 10 * MINUTE);
    sim.push("interactions", interaction(1, 1));
    sim.push("end_user", named(1, 1));
    sim.advance(MINUTE);
    sim.server.heal();
    sim.advance(3 * MINUTE);
    sim.push("end_user", named(1, 2));
    sim.advance(60);
    sim.push("end_user", named(1, 3));
    sim.advance(MINUTE);
    let order: Vec<_> = pushed(&sim).into_iter().map(|(entity_type, _, name)| (entity_type, name)).collect();
    let user = |name: u32| ("end_user".to_owned(), json!(name));
    assert_eq!(order.first(), Some(&user(1)), "the child went first: {order:?}");
    assert_eq!(order.get(1).map(|(entity_type, _)| entity_type.as_str()), Some("interactions"), "{order:?}");
    let names: Vec<_> = order.iter().skip(2).cloned().collect();
    assert!(names == [user(2), user(3)] || names == [user(3)], "edits overtook each other: {order:?}");
}

#[test]
fn r2_an_edit_does_not_overtake_a_change_that_waits_for_its_retry() {
    let mut sim = synced();
    let mut poisoned = named(1, 1);
    poisoned["poison"] = json!(true);
    let first = sim.push("end_user", poisoned);
    // Others succeed beside it, so that it fails alone and waits for its next trial.
    sim.push("end_user", named(2, 1));
    sim.advance(2_000);
    let waits = sim.outbox().into_iter().find(|entry| entry.number == entry_of(&sim, first)).expect("not accepted");
    assert!(waits.attempts > 0 && waits.state != EntryState::Quarantined, "{waits:?}");
    let mut healthy = named(1, 2);
    healthy["poison"] = json!(false);
    sim.push("end_user", healthy);
    for n in 3..12 {
        sim.push("end_user", named(n, 1));
        sim.advance(2 * MINUTE);
    }
    assert_eq!(state_of(&sim, entry_of(&sim, first)), Some(EntryState::Quarantined), "{:?}", sim.outbox());
    let overtook = pushed(&sim).into_iter().any(|(_, id_of, name)| id_of == id(1, 1) && name == json!(2));
    assert!(!overtook, "the newer edit landed under the older change, which is sent again later");
}

#[test]
fn r2_a_request_names_parents_before_children_whatever_was_pushed_first() {
    let mut sim = synced();
    sim.push("end_user", named(1, 1));
    sim.advance(MINUTE);
    sim.fault(Fault::Down, 10 * MINUTE);
    sim.push("interactions", interaction(1, 1));
    sim.push("end_user", named(2, 1));
    sim.push("interactions", interaction(2, 2));
    sim.advance(MINUTE);
    sim.server.heal();
    sim.advance(3 * MINUTE);
    let types: Vec<String> = pushed(&sim).into_iter().skip(1).map(|(entity_type, ..)| entity_type).collect();
    assert_eq!(types, ["end_user", "interactions", "interactions"]);
}

#[test]
fn r4_a_push_with_the_same_request_id_gets_the_first_answer_also_after_a_restart() {
    let mut sim = synced();
    let first = sim.push_as("end_user", json!({"email": "a@example.com"}), Some("r-1"));
    sim.advance(1_000);
    let again = sim.push_as("end_user", json!({"email": "a@example.com"}), Some("r-1"));
    sim.advance(1_000);
    assert_eq!(entry_of(&sim, first), entry_of(&sim, again));
    sim.crash();
    sim.advance(5_000);
    let after = sim.push_as("end_user", json!({"email": "a@example.com"}), Some("r-1"));
    sim.advance(MINUTE);
    assert_eq!(entry_of(&sim, first), entry_of(&sim, after));
    assert_eq!(sim.server.visible(sim.tenant(), "end_user").len(), 1, "the retry made a row of its own");
}

#[test]
fn r5_what_was_never_sent_becomes_one_change_or_none() {
    let mut sim = synced();
    sim.fault(Fault::Down, 10 * MINUTE);
    sim.push("end_user", named(1, 1));
    sim.push("end_user", named(1, 2));
    sim.push("end_user", named(2, 1));
    sim.push("end_user", json!({"id": id(1, 2), "is_deleted": 1}));
    sim.advance(1_000);
    assert_eq!(sim.outbox().len(), 1, "a create and its edit are one create, a create and its deletion are nothing");
    sim.server.heal();
    sim.advance(3 * MINUTE);
    assert_eq!(pushed(&sim), [("end_user".to_owned(), id(1, 1), json!(2))]);
}

#[test]
fn r5_what_was_sent_is_frozen_and_a_newer_edit_follows_it() {
    let mut sim = synced();
    sim.fault(Fault::Hang, MINUTE / 2);
    let first = sim.push("end_user", named(1, 1));
    sim.advance(5_000);
    assert_eq!(state_of(&sim, entry_of(&sim, first)), Some(EntryState::Sent));
    let second = sim.push("end_user", named(1, 2));
    sim.advance(1_000);
    assert_ne!(entry_of(&sim, first), entry_of(&sim, second), "the edit went into a change that is on its way");
    sim.server.heal();
    sim.advance(5 * MINUTE);
    let names: Vec<_> = pushed(&sim).into_iter().map(|(_, _, name)| name).collect();
    assert_eq!(names.last(), Some(&json!(2)), "{names:?}");
}

/// A user that the server refuses, its interaction, and another user; the first is quarantined.
fn a_quarantined_parent() -> (Sim, u64, u64) {
    let mut sim = synced();
    let mut poisoned = named(1, 1);
    poisoned["poison"] = json!(true);
    let parent = sim.push("end_user", poisoned);
    let child = sim.push("interactions", interaction(1, 1));
    for n in 2..12 {
        sim.push("end_user", named(n, 1));
        sim.advance(2 * MINUTE);
    }
    let (parent, child) = (entry_of(&sim, parent), entry_of(&sim, child));
    assert_eq!(state_of(&sim, parent), Some(EntryState::Quarantined), "{:?}", sim.outbox());
    (sim, parent, child)
}

#[test]
fn r12_what_depends_on_a_quarantined_parent_waits_and_goes_with_it() {
    let (mut sim, parent, child) = a_quarantined_parent();
    assert_eq!(state_of(&sim, child), Some(EntryState::Blocked));
    let late = sim.push("interactions", interaction(2, 1));
    sim.advance(MINUTE);
    let told = &sim.replies[&late];
    let waits = matches!(told, Ok(Reply::Pushed(pushed)) if pushed.entries[0].state == EntryState::Blocked);
    assert!(waits, "one that comes later is told at once that it waits: {told:?}");
    let mut healthy = named(1, 5);
    healthy["tenant"] = json!(sim.tenant());
    sim.call(Call::Edit(parent, healthy.as_object().cloned().expect("an object")));
    sim.advance(5 * MINUTE);
    assert_eq!(sim.outbox(), [], "all three arrive once the parent can");
    assert_eq!(sim.server.visible(sim.tenant(), "interactions").len(), 2);
}

#[test]
fn r12_discarding_a_quarantined_parent_discards_what_depends_on_it() {
    let (mut sim, parent, child) = a_quarantined_parent();
    let call = sim.call(Call::Discard(Some(vec![parent])));
    sim.advance(MINUTE);
    assert!(matches!(&sim.replies[&call], Ok(Reply::Count(_))), "{:?}", sim.replies[&call]);
    assert_eq!((state_of(&sim, parent), state_of(&sim, child)), (None, None));
    assert_eq!(sim.ended[&child].0, EntryState::Discarded, "its end is told, not lost");
}

#[test]
fn r13_a_quarantined_change_is_in_nobodys_way_survives_and_is_tried_again_on_demand() {
    let (mut sim, parent, _) = a_quarantined_parent();
    assert_eq!(sim.server.visible(sim.tenant(), "end_user").len(), 10, "the others went on");
    sim.crash();
    sim.advance(24 * 60 * MINUTE);
    let kept = sim.outbox().into_iter().find(|entry| entry.number == parent).expect("still there a day later");
    assert_eq!(kept.state, EntryState::Quarantined);
    assert!(kept.last_error.is_some_and(|error| error.message.contains("invalid input syntax")), "with the server's words");
    let attempts = kept.attempts;
    sim.call(Call::Retry(Some(vec![parent])));
    sim.advance(MINUTE);
    let tried = sim.outbox().into_iter().find(|entry| entry.number == parent).expect("not dropped");
    assert!(tried.attempts > attempts, "it was not sent again: {tried:?}");
}

#[test]
fn r19_each_type_has_a_cursor_of_its_own() {
    let mut sim = synced();
    carry_out(&mut sim, &Op::Remote(1, 1));
    sim.advance(MINUTE);
    let asked = sim.server.asked.len();
    sim.server.write(sim.tenant(), "interactions", &id(2, 1), note(1), sim.now, 0);
    sim.hint("interactions");
    sim.advance(2_000);
    let pulls = pulls_after(&sim, asked);
    assert_eq!(pulls.len(), 1, "{pulls:?}");
    assert_eq!(pulls[0].0, ["interactions"], "only the type that changed is asked for");
    let epoch = sim.epoch().expect("signed in");
    let high = |entity_type: &str| sim.state.cursor(epoch, entity_type).expect("readable").high_water.expect("rows came");
    assert!(high("interactions") > high("end_user"), "its rows moved its own cursor alone");
}

fn note(n: u32) -> aesync_protocol::Record {
    json!({"id": id(2, 1), "title": n, "is_deleted": 0}).as_object().cloned().expect("an object")
}

#[test]
fn r21_while_answers_lack_the_canary_it_is_asked_again_with_growing_pauses() {
    let mut sim = synced();
    carry_out(&mut sim, &Op::Remote(1, 1));
    sim.advance(MINUTE);
    sim.fault(Fault::SwallowUsers, 60 * MINUTE);
    sim.hint("end_user");
    let asked = sim.server.asked.len();
    sim.advance(10 * MINUTE);
    let pulls = pulls_after(&sim, asked).len();
    assert!((5..=60).contains(&pulls), "{pulls} pulls in ten minutes");
    assert_ne!(sim.status.as_ref().map(|status| status.status), Some(StatusWord::Synced));
}

#[test]
fn r22_a_wrong_clock_of_this_machine_changes_nothing_that_the_server_is_asked() {
    let asked = |skew: i64| {
        let mut sim = Sim::new(4, Without::default());
        sim.skew = skew;
        sim.crash();
        for n in 1..6 {
            carry_out(&mut sim, &Op::Remote(n, 1));
            sim.push("end_user", named(n, 1));
            sim.advance(20_000);
        }
        let entities = |request: &Request| matches!(request, Request::Pull { .. });
        let asked: Vec<_> = sim.server.asked.iter().filter(|(_, request)| entities(request)).cloned().collect();
        assert!(asked.len() > 5, "too few pulls to tell");
        asked
    };
    assert_eq!(asked(0), asked(1_000 * 24 * 60 * MINUTE));
    assert_eq!(asked(0), asked(-1_000 * 24 * 60 * MINUTE));
}

#[test]
fn r27_a_change_is_confirmed_by_a_pull_that_was_asked_for_after_its_push() {
    let mut sim = synced();
    let call = sim.push("end_user", named(1, 1));
    while !sim.replies.contains_key(&call) || state_of(&sim, entry_of(&sim, call)).is_some() {
        sim.advance(1);
        sim.hint("end_user");
        assert!(sim.now < sim.server.asked[0].0 + 10 * MINUTE, "never confirmed");
    }
    let pushed_at = sim.server.asked.iter().position(|(_, request)| matches!(request, Request::Push { .. })).expect("pushed");
    assert_ne!(pulls_after(&sim, pushed_at), [], "it was confirmed without a pull after the push");
}

#[test]
fn r28_a_row_that_is_older_than_every_cursor_comes_with_the_next_full_listing() {
    let mut sim = synced();
    carry_out(&mut sim, &Op::Remote(1, 1));
    sim.advance(MINUTE);
    let late = id(4, 9);
    sim.server.write(sim.tenant(), "end_user", &late, user(&late, 1), sim.now, -30 * MINUTE);
    sim.hidden.insert((sim.tenant(), "end_user".to_owned()));
    sim.advance(10 * MINUTE);
    let epoch = sim.epoch().expect("signed in");
    let here = |sim: &Sim| sim.state.row(epoch, "end_user", &late).expect("readable").is_some();
    assert!(!here(&sim), "no cursor can show it");
    // The interval of the model is an hour, drawn by ± 50 %.
    sim.advance(91 * MINUTE);
    assert!(here(&sim), "no full listing came");
}

#[test]
fn r37_after_a_suspend_there_is_a_new_session_and_a_pull_of_every_type() {
    let mut sim = synced();
    let asked = sim.server.asked.len();
    let before = sim.session_number();
    sim.input(Input::Resumed);
    assert_ne!(sim.status.as_ref().map(|status| status.status), Some(StatusWord::Synced), "nothing is known yet");
    sim.advance(5_000);
    assert!(sim.session_number() > before, "the old connection was kept");
    let types: Vec<String> = pulls_after(&sim, asked).into_iter().flat_map(|(types, _)| types).collect();
    assert!(types.contains(&"end_user".to_owned()) && types.contains(&"interactions".to_owned()), "{types:?}");
    assert_eq!(sim.status.as_ref().map(|status| status.status), Some(StatusWord::Synced));
}

#[test]
fn r43_subscribers_hear_of_progress_at_most_five_times_a_second_and_never_the_same_twice() {
    let mut sim = synced();
    for n in 0..2_000_u32 {
        let id = format!("00000004-0000-4000-8000-{n:012x}");
        sim.server.write(sim.tenant(), "end_user", &id, user(&id, n), sim.now, 0);
    }
    sim.told.clear();
    sim.hint("end_user");
    sim.advance(MINUTE);
    assert!(sim.told.len() > 1, "nothing was told");
    for pair in sim.told.windows(2) {
        assert_ne!(pair[0].1, pair[1].1, "the same status was told twice");
        let apart = pair[1].0 - pair[0].0;
        let turned = (pair[0].1.status, pair[0].1.reason) != (pair[1].1.status, pair[1].1.reason);
        assert!(apart >= 200 || turned, "progress was told after {apart} ms");
    }
}

#[test]
fn r3_ids_of_another_shape_are_refused_and_upper_case_is_the_same_id() {
    let mut sim = synced();
    let wrong = sim.push("end_user", json!({"id": "12", "email": "a@example.com"}));
    let upper = sim.push("end_user", json!({"id": id(11, 1).to_uppercase(), "email": "b@example.com"}));
    sim.advance(MINUTE);
    let refusal = sim.replies[&wrong].as_ref().expect_err("12 is no id");
    assert!(refusal.is(ErrorCode::InvalidEntity), "{refusal:?}");
    assert!(matches!(&sim.replies[&upper], Ok(Reply::Pushed(pushed)) if pushed.entries[0].id == id(11, 1)));
}
