//! Every way in which the server misbehaves, alone and in pairs: the daemon is converged in the end, or says what is wrong.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

mod forms;
mod play;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use play::Case;
use table::{Stay, place, switches};

/// Scenes at a time: each has a server and a daemon of its own, and waits most of its time.
const AT_ONCE: usize = 16;

async fn play_all(cases: Vec<Case>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for case in cases {
        let room = Arc::clone(&room);
        playing.spawn(async move {
            let _turn = room.acquire_owned().await.expect("never closed");
            (case.clone(), tokio::spawn(case.play()).await)
        });
    }
    let mut failed = Vec::new();
    while let Some(played) = playing.join_next().await {
        let (case, outcome) = played.expect("its panic is caught inside");
        if outcome.is_err() {
            failed.push(case);
        }
    }
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}

#[test]
fn the_table_has_each_switch_once() {
    let places: BTreeSet<usize> = switches()
        .iter()
        .map(|switch| {
            let (Stay::Passing(rule) | Stay::Lasting(rule)) = &switch.stay;
            place(rule.fault())
        })
        .collect();
    assert_eq!(places, (0..=30).collect());
    assert_eq!(switches().len(), places.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_form_of_a_fault_the_daemon_is_converged_or_says_what_is_wrong() {
    play_all(forms::forms()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_each_fault_alone_the_daemon_is_converged_or_says_what_is_wrong() {
    play_all(switches().iter().map(|switch| Case::of(&[switch])).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_pair_of_faults_the_daemon_is_converged_or_says_what_is_wrong() {
    let switches = switches();
    let pairs = switches.iter().enumerate().flat_map(|(at, first)| {
        let others = switches.get(at + 1..).unwrap_or_default();
        others.iter().map(move |second| Case::of(&[first, second]))
    });
    play_all(pairs.collect()).await;
}
