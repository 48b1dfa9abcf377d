//! Readers beside the writer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::child::{EPOCH, appended};
use super::open;
use crate::engine::view::View;

#[test]
fn readers_beside_the_writer_see_each_set_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.apply(&appended(1)).unwrap();
    store.sync().unwrap();
    let reader = store.reader();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            let (reader, done) = (reader.clone(), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    // Whatever one read saw of a set, a later read sees the rest of it.
                    let last = reader.ledger(EPOCH).unwrap().last_seq;
                    assert_eq!(reader.changes(EPOCH, last - 1, 1).unwrap()[0].seq, last);
                    assert!(reader.registry().unwrap().last_entry >= last);
                    assert!(reader.row(EPOCH, "user", &format!("{:08}", last * 20 + 19)).unwrap().is_some());
                    assert!(!reader.entries(EPOCH, 0, 100).unwrap().is_empty());
                }
            });
        }
        for number in 2..=300 {
            store.apply(&appended(number)).unwrap();
            if number % 3 == 0 {
                store.sync().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_reader_outlives_the_store_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.apply(&appended(1)).unwrap();
    let reader = store.reader();
    store.close().unwrap();
    let error = reader.registry().expect_err("closed");
    assert_eq!(error.what, "the registry");
    open(dir.path());
}
