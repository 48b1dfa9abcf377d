//! What a daemon costs that is connected and has nothing to do: resident memory, and how often it wakes the processor.
//!
//! The figures count in a release build only, so it runs when it is asked for:
//! `cargo test --release -p aesyncd --test process idle -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use aesync_protocol::StatusWord;
use aesync_protocol::client::Client;
use aesync_protocol::request::GetStatus;
use serde_json::json;

use crate::support::process::{Process, number};
use crate::support::{PATIENCE, Scene};

/// Resident memory at most, in kilobytes.
const MOST_KILOBYTES: u64 = 15 * 1024;
/// Wake-ups a minute at most, of all threads together.
const MOST_WAKE_UPS: u64 = 12;
/// How long is counted.
const MINUTE: Duration = Duration::from_secs(60);
/// After the first sync: timers of the start go off, the allocator gives back.
const SETTLE: Duration = Duration::from_secs(10);

/// Wake-ups so far, by thread.
fn wake_ups(daemon: &Process) -> BTreeMap<String, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("the process is there");
    // A thread may end while it is looked at.
    let task = |dir: &Path| {
        let name = std::fs::read_to_string(dir.join("comm")).ok()?;
        let id = dir.file_name()?.to_str()?;
        Some((format!("{} {id}", name.trim()), number(&dir.join("status"), "voluntary_ctxt_switches:")?))
    };
    tasks.flatten().filter_map(|entry| task(&entry.path())).collect()
}

fn is_synced(scene: &Scene) -> bool {
    let status = Client::connect(&scene.socket()).and_then(|mut client| client.call(&GetStatus {}));
    status.is_ok_and(|status| status.status == StatusWord::Synced && status.types["end_user"].records == 200)
}

#[test]
#[ignore = "takes over a minute, and its bounds hold for a release build"]
fn an_idle_daemon_takes_little_memory_and_seldom_wakes_up() {
    let scene = Scene::new();
    for count in 0..200 {
        let user = json!({"email": format!("{count}@example.com"), "name": "n".repeat(200)});
        scene.world.device(&scene.tenant).insert("end_user", &user).expect("inserted");
    }
    let daemon = Process::start(&scene, "");
    let start = Instant::now();
    while !is_synced(&scene) {
        assert!(start.elapsed() < PATIENCE, "it did not sync");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(SETTLE);
    let before = wake_ups(&daemon);
    std::thread::sleep(MINUTE);
    let mut woken = wake_ups(&daemon);
    for (thread, count) in &mut woken {
        *count -= before.get(thread).copied().unwrap_or(0);
    }
    woken.retain(|_, count| *count > 0);
    let wake_ups: u64 = woken.values().sum();
    let (resident, peak) = (daemon.of("status", "VmRSS:"), daemon.of("status", "VmHWM:"));
    let threads = daemon.of("status", "Threads:");
    println!("idle: {resident} kB resident ({peak} kB at most so far), {wake_ups} wake-ups a minute, {threads} threads");
    println!("awake: {woken:?}");
    assert!(resident <= MOST_KILOBYTES, "{resident} kB resident");
    assert!(wake_ups <= MOST_WAKE_UPS, "{wake_ups} wake-ups a minute");
}
