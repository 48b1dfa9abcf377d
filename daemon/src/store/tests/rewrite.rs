//! The rewrite of sled's files: everything goes on meanwhile, and a kill at any moment loses nothing.

use std::thread;
use std::time::{Duration, Instant};

use super::super::home;
use super::child::{EPOCH, Role, appended, rewriting};
use super::kill::{append_until_killed, assert_whole};
use super::model::Model;
use super::open;
use crate::engine::view::View;
use crate::store::Store;

#[test]
fn files_that_grew_are_rewritten_while_all_goes_on_and_the_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), rewriting()).unwrap();
    let first = home::current(dir.path());
    let reader = store.reader();
    let mut model = Model::default();
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
fn a_kill_during_rewrites_loses_nothing_and_leaves_one_directory() {
    let rounds = std::env::var("AESYNC_KILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(6);
    let dir = tempfile::tempdir().unwrap();
    for round in 0..rounds {
        let durable = append_until_killed(Role::Rewrite, dir.path(), 150, Duration::from_micros(round * 733));
        assert_whole(dir.path(), durable);
        let directories = dir.path().read_dir().unwrap().filter(|file| file.as_ref().unwrap().path().is_dir()).count();
        assert_eq!(directories, 1, "what was left of a rewrite is removed");
    }
    assert_ne!(home::current(dir.path()), dir.path().join("sled"), "it was rewritten");
}
