//! The model test: random interleavings of everything that can happen, over virtual time, and the invariants I1 to I8.
//!
//! `AESYNC_MODEL_CASES` sets how many cases are tried, 300 when it is not set; `AESYNC_MODEL_SEED` sets which, so that a run can be repeated.

// Helpers beside the tests may fail as the tests do.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod cases;
mod invariants;
mod mutations;
mod ops;
mod rules;
mod server;
mod sim;

use aesyncd::engine::without::Without;
use ops::{Op, carry_out};
use proptest::test_runner::{Config as ProptestConfig, RngSeed, TestRunner};
use sim::Sim;

/// Runs a case; panics when an invariant does not hold.
fn check(chance: u64, ops: &[Op], without: Without) {
    let mut sim = Sim::new(chance, without);
    for (step, op) in ops.iter().enumerate() {
        carry_out(&mut sim, op);
        let passed = i64::try_from(sim.draw() % 5).expect("small");
        sim.advance(passed);
        // It reads the feed from its start: not after every step.
        if step % 10 == 9 || matches!(op, Op::Crash) {
            sim.check_feed();
        }
    }
    sim.settle();
    sim.check();
    let quiet = sim.server.requests;
    sim.advance(3_600_000);
    sim.rest();
    // I5: twelve polls and a few listings an hour, two requests each.
    assert!(sim.server.requests - quiet < 60, "I5: {} requests in a quiet hour", sim.server.requests - quiet);
    sim.check();
}

fn number_of_cases() -> u32 {
    std::env::var("AESYNC_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)
}

/// What chance begins with; another one at each run when it is not set.
fn seed() -> Option<u64> {
    std::env::var("AESYNC_MODEL_SEED").ok()?.parse().ok()
}

/// The cases are shared between this many tests, which run side by side.
const SHARES: u32 = 4;

/// Tries the cases of one share.
fn share(number: u64) {
    let config = ProptestConfig {
        cases: number_of_cases().div_ceil(SHARES),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        max_shrink_time: 60_000,
        rng_seed: seed().map_or(RngSeed::Random, |seed| RngSeed::Fixed(seed.wrapping_add(number))),
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&ops::case(), |(chance, ops)| {
        check(chance, &ops, Without::default());
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn whatever_happens_the_invariants_hold_1() {
    share(1);
}

#[test]
fn whatever_happens_the_invariants_hold_2() {
    share(2);
}

#[test]
fn whatever_happens_the_invariants_hold_3() {
    share(3);
}

#[test]
fn whatever_happens_the_invariants_hold_4() {
    share(4);
}
