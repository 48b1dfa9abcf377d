//! What the real daemon leaves on the disk is for nobody else (rule R41), whatever umask it was started with. Alone in its binary, since
//! the umask belongs to the process.

#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by them, its helpers included")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aesync_protocol::client::Client;
use aesync_protocol::request::{Goal, Wait};
use nix::sys::stat::{Mode, umask};
use support::process::Process;
use support::{PATIENCE, Scene};

/// Gives each file and directory below `dir` and its mode.
fn each_below(dir: &Path, check: &mut dyn FnMut(&Path, u32)) {
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("an entry").path();
        let meta = path.symlink_metadata().expect("there");
        check(&path, meta.permissions().mode() & 0o777);
        if meta.is_dir() {
            each_below(&path, check);
        }
    }
}

#[test]
fn nothing_below_the_state_directory_is_for_group_or_others_and_the_socket_is_for_its_group() {
    let scene = Scene::new();
    let usual = umask(Mode::empty());
    let daemon = Process::start(&scene, "");
    umask(usual);
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut client = loop {
        match Client::connect_within(&scene.socket(), PATIENCE) {
            Ok(client) => break client,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let wait = Wait { goal: Goal::Synced, seq: None, timeout_ms: u64::try_from(PATIENCE.as_millis()).expect("short") };
    assert!(client.call(&wait).expect("answered").reached);
    let mut found = 0;
    each_below(&scene.state_dir(), &mut |path, mode| {
        found += 1;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    });
    assert!(found > 5, "the store is there");
    let socket = scene.socket().metadata().expect("there").permissions().mode();
    assert_eq!(socket & 0o777, 0o660);
    daemon.end();
}
