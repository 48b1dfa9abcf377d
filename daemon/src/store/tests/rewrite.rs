//! The rewrite of sled's files: everything goes on meanwhile, and a kill at any moment loses nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::super::disk::gate::{self, Call};
use super::super::{FindingCode, home};
use super::child::{EPOCH, Role, appended, rewriting};
use super::damage::{copy, filled};
use super::dice::Dice;
use super::kill::{append_until_killed, append_until_step, assert_whole};
use super::{open, sample, trials};
use crate::engine::durable::EpochId;
use crate::engine::memory::Memory;
use crate::engine::view::View;
use crate::engine::write_set::{Write, WriteSet};
use crate::store::{Options, Store};

/// The directory that is named.
pub(super) fn current(dir: &Path) -> PathBuf {
    home::find(dir).unwrap().paths.remove(0)
}

#[test]
fn files_that_grew_are_rewritten_while_all_goes_on_and_the_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), rewriting()).unwrap();
    let first = current(dir.path());
    let reader = store.reader();
    let mut model = Memory::default();
    let mut number = 0;
    while current(dir.path()) == first {
        number += 1;
        assert!(number < 5_000, "no rewrite came");
        store.apply(&appended(number)).unwrap();
        store.sync().unwrap();
        model.apply(&appended(number));
        assert_eq!(reader.registry().unwrap().last_entry, number);
    }
    store.apply(&appended(number + 1)).unwrap();
    store.sync().unwrap();
    model.apply(&appended(number + 1));
    assert!(reader.rows(EPOCH, "user", "", usize::MAX) == model.rows(EPOCH, "user", "", usize::MAX), "the records");
    assert!(reader.changes(EPOCH, 0, usize::MAX) == model.changes(EPOCH, 0, usize::MAX), "the feed");
    assert!(reader.entries(EPOCH, 0, usize::MAX) == model.entries(EPOCH, 0, usize::MAX), "the outbox");
    assert_eq!(reader.ledger(EPOCH), model.ledger(EPOCH));
    let deadline = Instant::now() + Duration::from_secs(60);
    while first.exists() {
        assert!(Instant::now() < deadline, "the former files stay");
        thread::sleep(Duration::from_millis(10));
    }
    store.close().unwrap();
    let (store, findings) = open(dir.path());
    assert_eq!(findings, []);
    assert!(store.reader().rows(EPOCH, "user", "", usize::MAX) == model.rows(EPOCH, "user", "", usize::MAX), "after a restart");
}

#[test]
fn files_that_are_too_large_are_rewritten_without_any_write() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), Options { rewrite_floor: u64::MAX, ..rewriting() }).unwrap();
    for number in 1..=1_500 {
        store.apply(&appended(number)).unwrap();
        store.sync().unwrap();
    }
    store.close().unwrap();
    let (mut store, _) = Store::open(dir.path(), rewriting()).unwrap();
    let first = current(dir.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.rest() {
        assert!(Instant::now() < deadline, "the rewrite does not end");
        thread::sleep(Duration::from_millis(10));
    }
    assert_ne!(current(dir.path()), first);
    // Once is enough.
    assert!(!store.rest());
    assert_eq!(store.reader().registry().unwrap().last_entry, 1_500);
    assert!(store.figures().live_bytes() > 100_000, "what was copied is known");
}

#[test]
fn what_a_small_store_holds_is_counted_at_rest_and_then_kept_count_of() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.apply(&appended(1)).unwrap();
    store.sync().unwrap();
    store.settle();
    let counted_from_nothing = store.figures().live_bytes();
    store.close().unwrap();
    let (mut store, _) = open(dir.path());
    assert_eq!(store.figures().live_bytes(), 0, "not counted yet");
    while store.rest() {
        thread::sleep(Duration::from_millis(1));
    }
    let counted = store.figures().live_bytes();
    assert!(counted > 1_000, "{counted}");
    assert_eq!(counted, counted_from_nothing);
    store.apply(&appended(2)).unwrap();
    store.sync().unwrap();
    store.settle();
    let kept = store.figures().live_bytes();
    store.close().unwrap();
    let (mut store, _) = open(dir.path());
    while store.rest() {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(store.figures().live_bytes(), kept, "counted again");
}

/// A store with files that are worth a rewrite, which is under way; the copy is made and not switched to.
fn with_a_copy(dir: &Path) -> Store {
    filled(dir);
    let (mut store, _) = Store::open(dir, Options { rewrite_floor: 1, ..rewriting() }).unwrap();
    let changes = (1..=3_000).map(|seq| Write::Change(EpochId(9), sample::change(seq, 0))).collect();
    store.apply(&WriteSet { writes: changes }).unwrap();
    store.sync().unwrap();
    store.settle();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !store.copy_is_made() {
        assert!(Instant::now() < deadline, "no copy is made");
        thread::sleep(Duration::from_millis(1));
    }
    store
}

/// Rests until nothing is under way.
fn rest(store: &mut Store) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.rest() {
        assert!(Instant::now() < deadline, "the rewrite does not end");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_was_trimmed_while_a_copy_was_made_does_not_come_back_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = with_a_copy(dir.path());
    let first = current(dir.path());
    store.apply(&WriteSet { writes: vec![Write::TrimChanges { epoch: EpochId(9), from: 1, to: 2_990 }] }).unwrap();
    store.sync().unwrap();
    rest(&mut store);
    assert_ne!(current(dir.path()), first, "it was switched to");
    assert_eq!(store.reader().changes(EpochId(9), 0, 5_000).unwrap().len(), 11);
}

#[test]
fn a_copy_that_is_given_up_leaves_nothing_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = with_a_copy(dir.path());
    assert_eq!(directories(dir.path()), 2);
    let with_both = store.reader().sizes().unwrap().sled;
    gate::refuse(&current(dir.path()), Call::Exchange, 1);
    store.apply(&appended(121)).unwrap();
    store.sync().unwrap();
    store.settle();
    assert_eq!(directories(dir.path()), 1, "the copy is gone");
    assert!(store.reader().sizes().unwrap().sled < with_both, "what it took was counted");
}

#[test]
fn a_switch_whose_name_is_not_durable_holds_and_either_name_leads_to_the_store() {
    for is_forgotten in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = with_a_copy(dir.path());
        gate::refuse(dir.path(), Call::SyncDir, 1);
        rest(&mut store);
        assert_eq!(current(dir.path()), dir.path().join("sled-1"), "it was renamed");
        for number in 121..=300 {
            store.apply(&appended(number)).unwrap();
            store.sync().unwrap();
        }
        store.close().unwrap();
        if is_forgotten {
            // As a power cut leaves it, which the checkpoint of the close outlived.
            fs::remove_file(dir.path().join("current")).unwrap();
        }
        let (store, findings) = open(dir.path());
        assert_eq!(store.reader().registry().unwrap().last_entry, 300, "{findings:?}");
        assert_eq!(store.reader().rows(EPOCH, "user", "", 10_000).unwrap().len(), 6_000, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.code == FindingCode::StoreInconsistent), "{findings:?}");
        assert_eq!(findings.len(), usize::from(is_forgotten), "{findings:?}");
    }
}

/// The directories of sled in a state directory.
fn directories(dir: &Path) -> usize {
    dir.read_dir().unwrap().filter(|file| file.as_ref().unwrap().path().is_dir()).count()
}

#[test]
fn a_kill_at_any_moment_of_a_rewrite_loses_nothing_and_leaves_one_directory() {
    let pristine = tempfile::tempdir().unwrap();
    filled(pristine.path());
    let mut dice = Dice(17);
    let mut in_the_middle = 0;
    for trial in 0..trials() {
        let dir = tempfile::tempdir().unwrap();
        copy(pristine.path(), dir.path());
        let durable = if trial % 2 == 0 {
            // The switch: create, write, sync, rename, sync of the directory.
            let (durable, died) = append_until_step(Role::Rewrite, dir.path(), "current.new", trial / 2 % 5, 1_000);
            assert!(died, "trial {trial}: the store is not rewritten");
            durable
        } else {
            // The files are large enough from the start, so the copy begins when the first groups go into sled.
            append_until_killed(Role::Rewrite, dir.path(), 5, Duration::from_micros(dice.below(30_000) as u64))
        };
        in_the_middle += usize::from(directories(dir.path()) > 1);
        assert_whole(dir.path(), durable);
        assert_eq!(directories(dir.path()), 1, "what was left of a rewrite is removed");
    }
    assert!(in_the_middle > trials() / 2, "only {in_the_middle} kills fell into a rewrite");
}
