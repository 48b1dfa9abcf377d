//! The real daemon, killed at random moments while everybody works with it: nothing acknowledged is lost, nothing arrives twice, and
//! whoever folds the change feed has what the daemon has.
//!
//! `AESYNC_CRASH_ROUNDS` sets how often it is killed, `AESYNC_CRASH_SEED` repeats the choices of a run that failed; how the threads
//! and the kernel interleave them differs each time.

mod follower;
mod quiet;

use std::time::Instant;
use std::{env, thread};

use aesync_protocol::request::PushWait;

use self::follower::{Follower, Way};
use crate::app::{App, Promises};
use crate::dice::Dice;
use crate::stage::{EndOfPlay, SETTINGS, Stage};
use crate::support::Scene;
use crate::support::process::{Process, log_of};
use crate::{alone, device};

/// How often the daemon is killed.
const ROUNDS: u64 = 200;
/// Rounds between two quiet points.
const ROUNDS_TO_REST: u64 = 25;
/// A kill comes within this many milliseconds of the start, or of the first answer.
const LIFE: u64 = 600;
/// Three applications and the other device.
const ACTORS: usize = 4;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whenever_the_daemon_is_killed_nothing_acknowledged_is_lost_or_doubled_and_every_fold_is_its_records() {
    let _alone = alone();
    let rounds = number("AESYNC_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = number("AESYNC_CRASH_SEED").unwrap_or_else(|| u64::from(clock.subsec_nanos()));
    println!("{rounds} rounds; AESYNC_CRASH_SEED={seed} repeats the choices");

    let mut scene = Scene::new();
    // A run that fails leaves the state and the log behind.
    scene.dir.disable_cleanup(true);
    println!("the daemon's log: {}", log_of(&scene).display());
    let stage = Stage::new(scene.socket());
    let promises = Promises::default();
    let followers = [Way::Subscription, Way::Filtered("interactions"), Way::Polls].map(Follower::new);
    let apps = [("queued", PushWait::Queued), ("acked", PushWait::Acked), ("confirmed", PushWait::Confirmed)];
    thread::scope(|threads| {
        let end = EndOfPlay(&stage);
        for (number, (name, wait)) in (1..).zip(apps) {
            let app = App { name, wait, stage: &stage, world: &scene.world, tenant: &scene.tenant, promises: &promises };
            threads.spawn(move || app.play(Dice::new(seed, number)));
        }
        threads.spawn(|| device::play(&stage, &scene.world, &scene.tenant, Dice::new(seed, 10)));
        for follower in &followers {
            threads.spawn(|| follower.play(&stage));
        }
        kill_again_and_again(&scene, &stage, rounds, Dice::new(seed, 0), || quiet::check(&scene, &stage, &promises, &followers));
        drop(end);
    });
    stage.check();
    println!("{} changes acknowledged, {} in the feed", promises.lock().expect("kept").len(), folded(&followers));
    scene.dir.disable_cleanup(false);
}

fn kill_again_and_again(scene: &Scene, stage: &Stage, rounds: u64, mut dice: Dice, check: impl Fn()) {
    let start = Instant::now();
    for round in 1..=rounds {
        let mut daemon = Process::start(scene, SETTINGS);
        if dice.once_in(2) {
            // Half of the kills meet a daemon that works, the other half one that may still be starting.
            drop(stage.connect());
        }
        thread::sleep(dice.moment(LIFE));
        stage.check();
        assert!(daemon.is_running(), "the daemon ended by itself in round {round}");
        if round % ROUNDS_TO_REST == 0 || round == rounds {
            stage.rest(ACTORS);
            check();
            println!("{round} rounds in {:.1?}", start.elapsed());
            stage.go_on();
        }
        daemon.kill();
    }
}

fn folded(followers: &[Follower]) -> u64 {
    followers.iter().map(|follower| follower.fold.lock().expect("the fold").last).max().unwrap_or_default()
}
