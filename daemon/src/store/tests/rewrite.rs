//! The rewrite of sled's files: everything goes on meanwhile, and a kill at any moment loses nothing.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::super::home;
use super::child::{EPOCH, Role, appended, rewriting};
use super::damage::{copy, filled};
use super::dice::Dice;
use super::kill::{append_until_killed, append_until_step, assert_whole};
use super::{open, trials};
use crate::engine::memory::Memory;
use crate::engine::view::View;
use crate::store::{Options, Store};

#[test]
fn files_that_grew_are_rewritten_while_all_goes_on_and_the_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), rewriting()).unwrap();
    let first = home::current(dir.path());
    let reader = store.reader();
    let mut model = Memory::default();
    let mut number = 0;
    while home::current(dir.path()) == first {
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
    let first = home::current(dir.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.rest() {
        assert!(Instant::now() < deadline, "the rewrite does not end");
        thread::sleep(Duration::from_millis(10));
    }
    assert_ne!(home::current(dir.path()), first);
    // Once is enough.
    assert!(!store.rest());
    assert_eq!(store.reader().registry().unwrap().last_entry, 1_500);
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
            // The files are large enough from the start, so the copy begins with the first sync.
            append_until_killed(Role::Rewrite, dir.path(), 1, Duration::from_micros(dice.below(30_000) as u64))
        };
        in_the_middle += usize::from(directories(dir.path()) > 1);
        assert_whole(dir.path(), durable);
        assert_eq!(directories(dir.path()), 1, "what was left of a rewrite is removed");
    }
    assert!(in_the_middle > trials() / 2, "only {in_the_middle} kills fell into a rewrite");
}
