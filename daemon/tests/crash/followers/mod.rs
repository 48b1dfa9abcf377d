//! Subscribers in Rust, Python and Node, each by its own client, over fifty deaths of the daemon while changes flow.
//!
//! `AESYNC_CRASH_SEED` repeats the choices of a run that failed; how threads, processes and the kernel interleave them differs each
//! time. Without python3 or node those followers are left out, unless `CI` is `true`.

mod fold;
mod foreign;
mod native;
mod truth;

use std::time::{Duration, Instant};
use std::{env, thread};

use aesync_protocol::request::{GetStatus, PushWait};

use self::fold::Follower;
use crate::app::{App, Promises};
use crate::dice::Dice;
use crate::stage::{Called, EndOfPlay, PATIENCE, SETTINGS, Stage, call};
use crate::support::Scene;
use crate::support::process::{Process, log_of};
use crate::{alone, device};

/// How often the daemon is killed.
const DEATHS: u64 = 50;
/// A kill comes within this many milliseconds of the start, or of the moment when everyone has heard from this daemon.
const LIFE: u64 = 250;
/// Two applications and the other device.
const ACTORS: usize = 3;

#[test]
fn over_fifty_deaths_of_the_daemon_each_clients_subscription_folds_exactly_what_is_there() {
    let _alone = alone();
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let given = env::var("AESYNC_CRASH_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed = given.unwrap_or_else(|| u64::from(clock.subsec_nanos()));
    println!("AESYNC_CRASH_SEED={seed} repeats the choices");

    let mut scene = Scene::new();
    // A run that fails leaves the state and the log behind.
    scene.dir.disable_cleanup(true);
    println!("the daemon's log: {}", log_of(&scene).display());
    let stage = Stage::new(scene.socket());
    let promises = Promises::default();
    let followers: Vec<Follower> = native::NAMES.iter().chain(foreign::available()).map(|name| Follower::new(name)).collect();
    let first = Process::start(&scene, SETTINGS);
    wait_for_feed(&stage);
    let began = Instant::now();
    let daemon = thread::scope(|threads| {
        let end = EndOfPlay(&stage);
        for (number, (name, wait)) in (1..).zip([("queued", PushWait::Queued), ("acked", PushWait::Acked)]) {
            let app = App { name, wait, stage: &stage, world: &scene.world, tenant: &scene.tenant, promises: &promises };
            threads.spawn(move || app.play(Dice::new(seed, number)));
        }
        threads.spawn(|| device::play(&stage, &scene.world, &scene.tenant, Dice::new(seed, 10)));
        for follower in &followers {
            threads.spawn(|| {
                let followed = match follower.name {
                    name if native::NAMES.contains(&name) => native::follow(follower, &stage),
                    _ => foreign::follow(follower, &stage),
                };
                followed.unwrap_or_else(|wrong| stage.report(format!("{}: {wrong}", follower.name)));
            });
        }
        let daemon = kill_again_and_again(&scene, &stage, first, &followers, Dice::new(seed, 0));
        stage.rest(ACTORS);
        truth::wait_for_quiet(&stage, &followers);
        drop(end);
        daemon
    });
    stage.check();
    // Its actors and followers have ended, and the daemon still runs.
    truth::check(&scene.socket(), &followers);
    drop(daemon);
    for follower in &followers {
        let fold = follower.fold();
        println!("{}: {} changes, {} records, {} connections", follower.name, fold.last, fold.records.len(), fold.connections);
    }
    println!("{DEATHS} deaths in {:.1?}", began.elapsed());
    scene.dir.disable_cleanup(false);
}

/// Before the first sign-in there is no feed, and a position in none can't be resumed.
fn wait_for_feed(stage: &Stage) {
    let deadline = Instant::now() + PATIENCE;
    let mut client = stage.connect().expect("the play has not begun");
    loop {
        match call(&mut client, &GetStatus {}) {
            Called::Answered(status) if status.has_synced => return,
            Called::Answered(_) => {}
            Called::Lost => panic!("the daemon ended by itself"),
            Called::Wrong(wrong) => panic!("{wrong}"),
        }
        assert!(Instant::now() < deadline, "the daemon does not sync");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the last daemon, which lives.
fn kill_again_and_again(scene: &Scene, stage: &Stage, first: Process, followers: &[Follower], mut dice: Dice) -> Process {
    let mut daemon = first;
    for death in 1..=DEATHS {
        if dice.once_in(2) {
            // Half of the kills meet subscriptions in full flow, the other half also daemons that are still starting.
            let before: Vec<u64> = followers.iter().map(|follower| follower.fold().last).collect();
            let everyone_heard = || followers.iter().zip(&before).all(|(follower, before)| follower.fold().last > *before);
            let deadline = Instant::now() + PATIENCE;
            while !everyone_heard() {
                stage.check();
                assert!(Instant::now() < deadline, "before death {death} not everyone hears the daemon: {followers:?}");
                thread::sleep(Duration::from_millis(2));
            }
        }
        thread::sleep(dice.moment(LIFE));
        stage.check();
        assert!(daemon.is_running(), "the daemon ended by itself before death {death}");
        daemon.kill();
        daemon = Process::start(scene, SETTINGS);
    }
    daemon
}
