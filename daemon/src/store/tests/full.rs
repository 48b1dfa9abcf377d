//! A full disk: an error of its own, nothing half done, and no restart needed (rule R45).
//!
//! These need a small file system of their own, which only root may mount; without one they pass without having looked, but not under
//! `CI=true` as root.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::super::{OpenError, Options, Store, StoreError};
use super::child::{EPOCH, appended};
use super::dice::Dice;
use super::{open, options, sample, trials};
use crate::engine::view::View;

/// What a tmpfs gives out at a time, in bytes.
const PAGE: usize = 4_096;

/// A mounted tmpfs, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        let is_mounted = mounted.as_ref().is_ok_and(|output| output.status.success());
        let must_be = std::env::var("CI").is_ok_and(|ci| ci == "true") && nix::unistd::geteuid().is_root();
        assert!(is_mounted || !must_be, "no tmpfs: {mounted:?}");
        is_mounted.then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Waits for sled's threads, which let go of the files a moment after the close.
    fn remount(&self, option: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut remount = Command::new("mount");
        remount.args(["-o", &format!("remount,{option}")]).arg(self.path());
        while !remount.output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "remount {option}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_is_told_as_such_and_the_store_goes_on_once_there_is_space() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let ballast = |round: u32| disk.path().join(format!("ballast-{round}"));
    for round in 0..3 {
        fs::write(ballast(round), vec![0; 5 << 20]).unwrap();
    }
    let (mut store, _) = open(&disk.path().join("state"));
    let mut synced = 0;
    for round in 0..3 {
        let error = loop {
            assert!(synced < 20_000, "the disk never fills");
            let group = store.apply(&appended(synced + 1)).and_then(|()| store.apply(&appended(synced + 2)));
            match group.and_then(|()| store.sync()) {
                Ok(()) => synced += 2,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        let error = store.apply(&appended(synced + 1)).and_then(|()| store.sync()).expect_err("still full");
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert!(store.reader().registry().unwrap().last_entry >= synced, "reads go on");
        fs::remove_file(ballast(round)).unwrap();
        store.sync().unwrap();
        assert_eq!(store.reader().registry().unwrap(), sample::registry(synced), "the group is taken back");
        store.apply(&appended(synced + 1)).unwrap();
        store.sync().unwrap();
        synced += 1;
        let reader = store.reader();
        assert_eq!(reader.registry().unwrap(), sample::registry(synced));
        assert_eq!(reader.changes(EPOCH, 0, usize::MAX).unwrap().len() as u64, synced);
        assert_eq!(reader.rows(EPOCH, "user", "", usize::MAX).unwrap().len() as u64, synced * 20);
    }
    drop(store);
    let (store, _) = open(&disk.path().join("state"));
    assert_eq!(store.reader().registry().unwrap(), sample::registry(synced));
}

/// Fills what is left of the disk but for so many pages.
fn leave(disk: &SmallDisk, pages: usize) {
    let mut ballast = fs::File::create(disk.path().join("ballast")).unwrap();
    while ballast.write_all(&[0; PAGE]).is_ok() {}
    let length = ballast.metadata().unwrap().len();
    ballast.set_len(length.saturating_sub((pages * PAGE) as u64)).unwrap();
}

/// Removes a state directory; sled's threads may still add to it for a moment after the close.
fn remove(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = fs::remove_dir_all(dir) {
        assert!(Instant::now() < deadline, "{error}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn wherever_the_disk_becomes_full_nothing_is_acknowledged_by_half_and_it_goes_on_once_there_is_space() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let dir = disk.path().join("state");
    let mut dice = Dice(23);
    let (mut store, _) = open(&dir);
    let mut synced = 0;
    for trial in 0..trials() {
        if trial % 20 == 0 {
            drop(store);
            remove(&dir);
            (store, synced) = (open(&dir).0, 0);
        }
        leave(&disk, dice.below(48));
        let error = loop {
            assert!(synced < 20_000, "trial {trial}: the disk never fills");
            match store.apply(&appended(synced + 1)).and_then(|()| store.sync()) {
                Ok(()) => synced += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "trial {trial}: {error:?}");
        fs::remove_file(disk.path().join("ballast")).unwrap();
        store.ready().unwrap_or_else(|error| panic!("trial {trial}: {error}"));
        let reader = store.reader();
        assert_eq!(reader.registry().unwrap().last_entry, synced, "trial {trial}: neither more nor less than was acknowledged");
        assert_eq!(reader.changes(EPOCH, 0, usize::MAX).unwrap().len() as u64, synced, "trial {trial}");
        if trial % 10 == 9 {
            drop(store);
            assert_eq!(open(&dir).0.reader().registry().unwrap().last_entry, synced, "trial {trial}, after a restart");
            store = open(&dir).0;
        }
    }
}

#[test]
fn a_rewrite_for_which_there_is_no_room_is_left_and_takes_none() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let dir = disk.path().join("state");
    let (mut store, _) = open(&dir);
    let mut synced = 0;
    while store.reader().sizes().unwrap().sled < 12 << 20 {
        synced += 1;
        store.apply(&appended(synced)).unwrap();
        store.sync().unwrap();
    }
    store.close().unwrap();
    let (mut store, _) = Store::open(&dir, Options { rewrite_floor: 1 << 20, ..options() }).unwrap();
    let rest = |store: &mut Store| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while store.rest() {
            assert!(Instant::now() < deadline, "the rewrite does not end");
            thread::sleep(Duration::from_millis(1));
        }
    };
    // 4 MB are left: too few for the copy, and enough for what is written.
    leave(&disk, 1_024);
    rest(&mut store);
    assert!(dir.join("sled").exists() && !dir.join("sled-1").exists(), "nothing was copied");
    store.apply(&appended(synced + 1)).unwrap();
    store.sync().unwrap();
    fs::remove_file(disk.path().join("ballast")).unwrap();
    rest(&mut store);
    assert!(dir.join("sled-1").exists(), "with room it is made");
    assert_eq!(store.reader().registry().unwrap(), sample::registry(synced + 1));
}

#[test]
fn a_full_disk_at_a_start_is_told_as_such() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let dir = disk.path().join("state");
    leave(&disk, 0);
    let message = Store::open(&dir, options()).expect_err("it is full").to_string();
    assert!(message.contains("free some space"), "{message}");
    assert!(!message.contains("must belong to"), "{message}");
    fs::remove_file(disk.path().join("ballast")).unwrap();
    open(&dir);
}

#[test]
fn a_read_only_state_directory_is_refused_with_what_to_do() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let dir = disk.path().join("state");
    open(&dir).0.close().unwrap();
    disk.remount("ro");
    let error = Store::open(&dir, options()).expect_err("it can't be written");
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    disk.remount("rw");
    assert_eq!(open(&dir).1, []);
}

#[test]
fn errors_of_the_disk_are_sorted_by_what_can_be_done() {
    let sorted = |kind: ErrorKind| match StoreError::io("x", kind.into()) {
        StoreError::Full { .. } => "full",
        StoreError::ReadOnly { .. } => "read-only",
        StoreError::Io { .. } => "io",
        StoreError::Damaged { .. } => "damaged",
    };
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
        assert_eq!(sorted(kind), "full");
    }
    for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
        assert_eq!(sorted(kind), "read-only");
    }
    assert_eq!(sorted(ErrorKind::TimedOut), "io");
}
