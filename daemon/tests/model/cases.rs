//! Interleavings that are worth a name: each fault, and those that once broke an invariant.

use aesyncd::engine::without::Without;

use super::check;
use super::ops::Op;
use super::server::{FAULTS, Fault};
use super::sim::Sim;

#[test]
fn a_quiet_server_without_rows_is_synced_with() {
    let mut sim = Sim::new(1, Without::default());
    sim.settle();
    sim.check();
}

#[test]
fn each_fault_alone_ends_converged() {
    for fault in FAULTS {
        let ops = [
            Op::Remote(1, 1),
            Op::Create(1),
            Op::Wait(2_000),
            Op::Fault(fault, 30_000),
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
            check(chance, &ops, Without::default());
        }
    }
}

#[test]
fn a_storm_of_hints_costs_at_most_a_pull_a_second() {
    let mut sim = Sim::new(1, Without::default());
    sim.advance(60_000);
    let before = sim.server.requests;
    for _ in 0..6_000 {
        sim.hint("end_user");
        sim.advance(10);
    }
    let requests = sim.server.requests - before;
    assert!((50..=62).contains(&requests), "I5: {requests} requests in a minute of hints");
}

#[test]
fn once_the_server_heals_the_outbox_drains_within_a_backoff_and_a_pull_without_a_local_write() {
    for fault in FAULTS.into_iter().filter(|fault| !matches!(fault, Fault::Unauthorized | Fault::LostAcks)) {
        for chance in 1..20 {
            let mut sim = Sim::new(chance, Without::default());
            sim.advance(5_000);
            sim.fault(fault, 1_800_000);
            for n in 0..12 {
                super::carry_out(&mut sim, &Op::Create(n));
                sim.advance(100_000);
            }
            sim.server.heal();
            // A backoff at its cap, the pushes with their requests, and the pull that confirms them.
            sim.advance(90_000);
            let outbox = sim.status.as_ref().expect("a status").outbox;
            assert_eq!(
                outbox.pending + outbox.sent + outbox.in_doubt + outbox.acked,
                0,
                "I7: {fault:?}, chance {chance}: {outbox:?}"
            );
        }
    }
}
