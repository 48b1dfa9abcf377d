//! The model test: random interleavings of everything that can happen, over virtual time, and the invariants at every quiet point.
//!
//! `AESYNC_MODEL_CASES` sets how many cases are tried; 300 when it is not set.

// Helpers beside the tests may fail as the tests do.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod server;
mod sim;

use proptest::prelude::*;
use serde_json::json;

use server::{FAULTS, Fault};
use sim::{Sim, user};

/// What can happen.
#[derive(Clone, Debug)]
enum Op {
    /// An application creates, edits or deletes one of a few entities.
    Create(u8),
    Edit(u8, u32),
    Delete(u8),
    /// An application records an interaction, possibly of a user that does not exist yet.
    Interact(u8, u8),
    /// An application pushes what the server refuses for good.
    Poison(u8),
    /// Another device writes, stamps into the future, or erases.
    Remote(u8, u32),
    Future(u8),
    Erase(u8),
    /// Something breaks for some seconds.
    Fault(usize, u16),
    /// The daemon is killed and started.
    Crash,
    Sync,
    Switch,
    SignIn,
    /// Milliseconds pass.
    Wait(u16),
    LongWait,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..12_u8).prop_map(Op::Create),
        3 => (0..12_u8, any::<u32>()).prop_map(|(n, name)| Op::Edit(n, name)),
        2 => (0..12_u8).prop_map(Op::Delete),
        4 => (0..8_u8, 0..12_u8).prop_map(|(n, user)| Op::Interact(n, user)),
        1 => (0..3_u8).prop_map(Op::Poison),
        4 => (0..12_u8, any::<u32>()).prop_map(|(n, name)| Op::Remote(n, name)),
        1 => (0..12_u8).prop_map(Op::Future),
        1 => (0..12_u8).prop_map(Op::Erase),
        4 => (0..FAULTS.len(), 1..60_000_u16).prop_map(|(fault, millis)| Op::Fault(fault, millis)),
        2 => Just(Op::Crash),
        1 => Just(Op::Sync),
        1 => Just(Op::Switch),
        1 => Just(Op::SignIn),
        10 => (1..3_000_u16).prop_map(Op::Wait),
        1 => Just(Op::LongWait),
    ]
}

fn id(kind: u8, n: u8) -> String {
    format!("{kind:08x}-0000-4000-8000-0000000000{n:02x}")
}

fn carry_out(sim: &mut Sim, op: &Op) {
    match *op {
        Op::Create(n) => sim.push("end_user", json!({"id": id(1, n), "email": format!("{n}@example.com"), "name": n})),
        Op::Edit(n, name) => sim.push("end_user", json!({"id": id(1, n), "email": format!("{n}@example.com"), "name": name})),
        Op::Delete(n) => sim.push("end_user", json!({"id": id(1, n), "is_deleted": 1})),
        Op::Interact(n, parent) => {
            let link = json!({"id": id(1, parent)});
            let entity =
                json!({"id": id(2, n), "type": "call", "title": n, "description": "d", "date": "2026-01-01", "clientUser": link});
            sim.push("interactions", entity);
        }
        Op::Poison(n) => sim.push("end_user", json!({"id": id(3, n), "email": format!("p{n}@example.com"), "poison": true})),
        Op::Remote(n, name) => {
            let id = id(4, n);
            sim.remote_write("end_user", &id, user(&id, name), 0);
        }
        Op::Future(n) => {
            let id = id(5, n);
            sim.remote_write("end_user", &id, user(&id, 1), 3_600_000);
        }
        Op::Erase(n) => {
            let tenant = sim.tenant();
            sim.server.erase(tenant, "end_user", usize::from(n));
        }
        Op::Fault(fault, millis) => sim.fault(FAULTS[fault], i64::from(millis)),
        Op::Crash => sim.crash(),
        Op::Sync => sim.sync(),
        Op::Switch => sim.switch_tenant(),
        Op::SignIn => sim.sign_in(),
        Op::Wait(millis) => sim.advance(i64::from(millis)),
        Op::LongWait => sim.advance(600_000),
    }
}

fn check(chance: u64, ops: &[Op]) {
    let mut sim = Sim::new(chance);
    for op in ops {
        carry_out(&mut sim, op);
        let passed = i64::try_from(sim.draw() % 5).expect("small");
        sim.advance(passed);
    }
    sim.check_feed();
    sim.settle();
    sim.check();
    let quiet = sim.server.requests;
    sim.advance(3_600_000);
    sim.rest();
    // I5: twelve polls and a few listings an hour, two requests each.
    assert!(sim.server.requests - quiet < 60, "I5: {} requests in a quiet hour", sim.server.requests - quiet);
    sim.check();
}

fn cases() -> u32 {
    std::env::var("AESYNC_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 2_000, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold_once_it_is_quiet(chance in any::<u64>(), ops in prop::collection::vec(op(), 1..200)) {
        check(chance, &ops);
    }
}

#[test]
fn a_quiet_server_without_rows_is_synced_with() {
    let mut sim = Sim::new(1);
    sim.settle();
    sim.check();
}

#[test]
fn each_fault_alone_ends_converged() {
    for (n, fault) in FAULTS.into_iter().enumerate() {
        let ops = [
            Op::Remote(1, 1),
            Op::Create(1),
            Op::Wait(2_000),
            Op::Fault(n, 30_000),
            Op::Create(2),
            Op::Interact(1, 2),
            Op::Edit(1, 7),
            Op::Remote(2, 2),
            Op::Wait(3_000),
            Op::Remote(3, 3),
            Op::Crash,
            Op::Create(4),
            Op::LongWait,
        ];
        for chance in 1..20 {
            println!("{fault:?} with chance {chance}");
            check(chance, &ops);
        }
    }
    assert_eq!(FAULTS.iter().filter(|fault| **fault == Fault::Down).count(), 1);
}
