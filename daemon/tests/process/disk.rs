//! The real daemon on a disk that becomes full, or that may not be written any more (rule R45): an error of its own, reads and status go
//! on, it says what to do, and it recovers without a restart. What was refused is nowhere, what was taken arrives once.
//!
//! Both need root, to mount a small disk and to forbid writing; elsewhere they pass with a note, unless `CI` is set.

#![allow(clippy::print_stderr, reason = "a note that a test did not look")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::entity::Changes;
use aesync_protocol::request::{GetStatus, Method, Ping, Push, RecordsList};
use aesync_protocol::{Status, StatusWord};
use serde_json::json;

use crate::support::process::Process;
use crate::support::{PATIENCE, Scene};

/// Waits that suit a daemon that is to recover while somebody watches.
const SETTINGS: &str = r#"
[tuning]
hint_delay = "20ms"
pull_gap = "40ms"
backoff_min = "20ms"
backoff_max = "200ms"
http_interval = "1s"
"#;

/// How long a call may take on a disk that takes nothing.
const CALL: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// The small disk, in MiB: the daemon's own files take a few.
const DISK: &str = "size=48m";

/// Runs a command that only root may; whether it was carried out.
fn as_root(program: &str, args: &[&str], path: &Path) -> bool {
    let done = Command::new(program).args(args).arg(path).output();
    let able = done.as_ref().is_ok_and(|output| output.status.success());
    assert!(able || std::env::var_os("CI").is_none(), "{program} {args:?} {}: {done:?}", path.display());
    if !able {
        eprintln!("not looked: {program} {args:?} is not possible here");
    }
    able
}

/// The daemon, and what its applications were told.
struct Play {
    scene: Scene,
    daemon: Option<Process>,
    taken: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Play {
    fn begin(scene: Scene) -> Self {
        let daemon = Some(Process::start(&scene, SETTINGS));
        let play = Self { scene, daemon, taken: BTreeSet::new(), refused: BTreeSet::new() };
        play.wait("synced", |status| status.status == StatusWord::Synced);
        play
    }

    fn ask<M: Method>(&self, params: &M) -> Result<M::Answer, ClientError> {
        let start = Instant::now();
        loop {
            match Client::connect_within(&self.scene.socket(), CALL) {
                Ok(mut client) => return client.call_within(params, CALL),
                Err(error) => assert!(start.elapsed() < PATIENCE, "nobody answers: {error}"),
            }
            thread::sleep(LOOK);
        }
    }

    fn status(&self) -> Status {
        self.ask(&GetStatus {}).expect("the status is always told")
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let start = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}; {status:#?}");
            thread::sleep(LOOK);
        }
    }

    /// Pushes one new row of some 4 KB; the code of the error otherwise.
    fn push(&mut self) -> Result<(), String> {
        let email = format!("{}@example.com", self.taken.len() + self.refused.len());
        let entity = json!({"email": email, "name": "x".repeat(4_000)});
        let push = Push { changes: Changes(vec![("end_user".to_owned(), vec![entity])]), ..Push::default() };
        match self.ask(&push) {
            Ok(_) => {
                self.taken.insert(email);
                Ok(())
            }
            Err(ClientError::Remote(error)) => {
                self.refused.insert(email);
                let data = error.data.expect("an error of the daemon");
                assert!(data.hint.is_some(), "{}", error.message);
                Err(data.code)
            }
            Err(other) => panic!("neither taken nor refused: {other}"),
        }
    }

    /// Pushes until it is refused; gives the code.
    fn push_until_refused(&mut self) -> String {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "{} pushes were taken", self.taken.len());
            if let Err(code) = self.push() {
                return code;
            }
        }
    }

    /// While nothing can be written, everything else goes on, and the status says what to do.
    fn check_reads_go_on(&mut self) {
        self.ask(&Ping {}).expect("it is there");
        let list = RecordsList { entity_type: "end_user".to_owned(), limit: Some(10), after: None };
        let page = self.ask(&list).expect("reads go on");
        assert!(!page.records.is_empty());
        let status = self.wait("the status to say so", |status| status.attention.iter().any(|item| item.code == "storage_full"));
        let said = status.attention.iter().find(|item| item.code == "storage_full").expect("found");
        assert!(said.message.contains("the daemon goes on by itself"), "{}", said.message);
        assert_eq!(self.push().expect_err("still"), "storage_full");
        assert!(self.daemon.as_mut().expect("a daemon").is_running());
    }

    /// It takes changes again, by itself, and has nothing to say any more.
    fn check_it_recovers(&mut self) {
        let start = Instant::now();
        while let Err(code) = self.push() {
            assert!(start.elapsed() < PATIENCE, "{code}");
            thread::sleep(LOOK);
        }
        self.wait("nothing to say", |status| status.attention.iter().all(|item| item.code != "storage_full"));
    }

    /// What was taken is on the server, once, and what was refused is neither there nor in the outbox, also after a kill.
    fn check_nothing_is_done_by_half(&mut self) {
        self.daemon.take().expect("a daemon").kill();
        self.daemon = Some(Process::start(&self.scene, SETTINGS));
        self.wait("an empty outbox", |status| {
            let outbox = &status.outbox;
            status.status == StatusWord::Synced && outbox.pending + outbox.sent + outbox.in_doubt + outbox.acked == 0
        });
        let rows = self.scene.world.rows(&self.scene.tenant, "end_user");
        let there: Vec<&str> = rows.iter().filter_map(|row| row["email"].as_str()).collect();
        assert_eq!(there.len(), self.taken.len(), "each once");
        assert_eq!(there.iter().map(|email| (*email).to_owned()).collect::<BTreeSet<_>>(), self.taken);
        assert!(!self.refused.is_empty());
    }
}

/// A small disk in the place of the state directory; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).expect("a new directory");
        as_root("mount", &["-t", "tmpfs", "-o", DISK, "tmpfs"], &path).then_some(Self(path))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).expect("a file without content");
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_pushes_are_refused_reads_go_on_and_it_recovers_without_a_restart() {
    let scene = Scene::new();
    let Some(disk) = SmallDisk::mount(scene.state_dir()) else { return };
    let mut play = Play::begin(scene);
    play.push().expect("there is room");
    for _ in 0..2 {
        disk.fill();
        assert_eq!(play.push_until_refused(), "storage_full");
        play.check_reads_go_on();
        disk.make_room();
        play.check_it_recovers();
    }
    play.check_nothing_is_done_by_half();
    // Before the disk goes.
    play.daemon = None;
}

/// Everything in a directory, immutable until dropped: what an administrator, or a file system with errors, does to a running program.
struct Frozen(PathBuf);

impl Frozen {
    fn new(dir: PathBuf) -> Option<Self> {
        as_root("chattr", &["-R", "+i"], &dir).then_some(Self(dir))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-R", "-i"]).arg(&self.0).status();
    }
}

#[test]
fn on_a_disk_that_may_not_be_written_any_more_pushes_are_refused_reads_go_on_and_it_recovers_without_a_restart() {
    let mut play = Play::begin(Scene::new());
    play.push().expect("it may be written");
    let Some(frozen) = Frozen::new(play.scene.state_dir()) else { return };
    assert_eq!(play.push_until_refused(), "storage_full");
    play.check_reads_go_on();
    drop(frozen);
    play.check_it_recovers();
    play.check_nothing_is_done_by_half();
}
