//! The journal: torn, flipped, truncated, compacted, and the only thing that is left.

use std::fs;
use std::path::Path;

use aesync_protocol::response::EntryState;

use super::super::FindingCode;
use super::super::database::{Database, Place};
use super::super::journal::{Journal, replay, survey};
use super::damage::copy;
use super::{open, sample};
use crate::engine::durable::{Entry, EpochId};
use crate::engine::view::View;
use crate::engine::write_set::{Write, WriteSet};

const EPOCH: EpochId = EpochId(7);

fn entry(number: u64) -> Entry {
    sample::entry(EPOCH, number, EntryState::Pending, number)
}

fn enqueued(number: u64) -> WriteSet {
    WriteSet { writes: vec![Write::Registry(sample::registry(number)), Write::Entry(entry(number))] }
}

/// A closed store with the entries 1 to `last`, each synced by itself.
fn filled(dir: &Path, last: u64) {
    let (mut store, _) = open(dir);
    for number in 1..=last {
        store.apply(&enqueued(number)).unwrap();
        store.sync().unwrap();
    }
    store.close().unwrap();
}

fn entries(dir: &Path) -> (Vec<Entry>, Vec<FindingCode>) {
    let (store, findings) = open(dir);
    let entries = store.reader().entries(EPOCH, 0, 1_000).unwrap();
    for entry in &entries {
        assert_eq!(store.reader().entries_in(EPOCH, entry.state, entry.number - 1, 1).unwrap(), std::slice::from_ref(entry));
    }
    store.close().unwrap();
    (entries, findings.iter().map(|finding| finding.code).collect())
}

type Written = (Place, Option<Vec<u8>>);

/// What a journal file gives back, by place; the number of its last set.
fn contents(path: &Path) -> (u64, Vec<Written>) {
    let found = survey(path).unwrap();
    let mut writes = Vec::new();
    replay(path, found, 0, |place, value| {
        writes.push((place, value.map(<[u8]>::to_vec)));
        Ok(())
    })
    .unwrap();
    (found.number, writes)
}

#[test]
fn the_outbox_comes_from_the_journal_when_sled_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 12);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let (found, codes) = entries(dir.path());
    assert_eq!(found, (1..=12).map(entry).collect::<Vec<_>>());
    assert_eq!(codes, [FindingCode::StoreDamaged, FindingCode::OutboxRestored]);
    let (store, findings) = open(dir.path());
    assert_eq!(findings, []);
    assert_eq!(store.reader().registry().unwrap(), sample::registry(12));
    assert_eq!(store.reader().ledger(EPOCH).unwrap().outbox.pending, 12);
}

#[test]
fn an_answer_that_was_given_is_kept_with_the_outbox_and_one_that_was_forgotten_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let answer = |id: &str, n| Write::Answer(EPOCH, id.to_owned(), sample::answer(n));
    store.apply(&WriteSet { writes: vec![answer("kept", 1), answer("gone", 2)] }).unwrap();
    store.apply(&WriteSet { writes: vec![Write::RemoveAnswer(EPOCH, "gone".to_owned())] }).unwrap();
    store.sync().unwrap();
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(store.reader().answer(EPOCH, "kept").unwrap(), Some(sample::answer(1)));
    assert_eq!(store.reader().answer(EPOCH, "gone").unwrap(), None);
}

#[test]
fn a_sled_that_went_back_in_time_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let log = dir.path().join("sled/db");
    let earlier = fs::read(&log).unwrap();
    filled(dir.path(), 9);
    fs::write(&log, earlier).unwrap();
    let (found, codes) = entries(dir.path());
    assert_eq!(found, (1..=9).map(entry).collect::<Vec<_>>());
    assert_eq!(codes, [FindingCode::StoreDamaged, FindingCode::OutboxRestored]);
}

#[test]
fn a_journal_that_was_damaged_or_removed_while_the_store_is_whole_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5);
    let path = dir.path().join("journal");
    for damage in [None, Some(vec![]), Some(b"AESYNCJ1".to_vec()), Some(vec![0; 500])] {
        match &damage {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        let (found, codes) = entries(dir.path());
        assert_eq!(found.len(), 5, "{damage:?}");
        assert_eq!(codes, [FindingCode::JournalDamaged], "{damage:?}");
        assert!(contents(&path).0 > 0);
    }
}

#[test]
fn a_tail_torn_at_any_byte_gives_the_groups_before_it() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 4);
    let path = dir.path().join("journal");
    let whole = fs::read(&path).unwrap();
    let (_, all) = contents(&path);
    let mut seen = Vec::new();
    for end in 0..=whole.len() {
        for tail in [0, 64] {
            let torn = [&whole[..end], &vec![0; tail]].concat();
            fs::write(&path, &torn).unwrap();
            let (number, writes) = contents(&path);
            assert!(all.starts_with(&writes), "torn at {end}");
            let believed = usize::try_from(survey(&path).unwrap().end).unwrap();
            assert_eq!(torn[..believed], whole[..believed], "torn at {end}");
            if tail == 0 {
                seen.push(number);
            }
        }
    }
    assert!(seen.is_sorted(), "a longer file never holds less");
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn what_stands_behind_a_hole_of_zeros_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2);
    let path = dir.path().join("journal");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..8], &[0; 64], &whole[8..]].concat()).unwrap();
    assert_eq!(contents(&path), (0, vec![]));
}

#[test]
fn no_flipped_bit_passes() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let path = dir.path().join("journal");
    let whole = fs::read(&path).unwrap();
    let (_, all) = contents(&path);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        let (number, writes) = contents(&path);
        // The last frame is the checkpoint of the close, behind all three groups.
        let in_groups = at < whole.len() - 17;
        assert!(number == if in_groups { number.min(2) } else { 3 } && all.starts_with(&writes), "byte {at}");
    }
}

#[test]
fn it_is_compacted_once_it_is_mostly_history() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let path = dir.path().join("journal");
    let mut largest = 0;
    for number in 1..=4_000_u64 {
        let mut set = enqueued(number);
        set.writes.extend(number.checked_sub(3).map(|old| Write::RemoveEntry(EPOCH, old)));
        store.apply(&set).unwrap();
        if number % 2 == 0 {
            store.sync().unwrap();
            largest = largest.max(path.metadata().unwrap().len());
        }
    }
    assert!(largest < 1_300_000, "{largest} bytes");
    assert!(path.metadata().unwrap().len() < largest);
    store.close().unwrap();
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    assert_eq!(entries(dir.path()).0, (3_998..=4_000).map(entry).collect::<Vec<_>>());
}

/// The steps of a rewrite: the new file is torn anywhere, whole but not renamed, or in place.
#[test]
fn a_compaction_that_is_killed_at_any_step_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 4);
    let path = dir.path().join("journal");
    let old = fs::read(&path).unwrap();
    let database = Database::open(&dir.path().join("sled"), 1 << 20).unwrap();
    Journal::rewrite(&path, &database, 4).unwrap();
    drop(database);
    let new = fs::read(&path).unwrap();
    for (journal, unfinished) in [(&old, Some(0)), (&old, Some(new.len() / 2)), (&old, Some(new.len())), (&new, None)] {
        // What one of them finds is kept in its own store.
        let killed = tempfile::tempdir().unwrap();
        copy(dir.path(), killed.path());
        fs::write(killed.path().join("journal"), journal).unwrap();
        if let Some(end) = unfinished {
            fs::write(killed.path().join("journal.new"), &new[..end]).unwrap();
        }
        let (found, codes) = entries(killed.path());
        assert_eq!((found.len(), codes), (4, vec![]));
        fs::remove_dir_all(killed.path().join("sled")).unwrap();
        assert_eq!(entries(killed.path()).0, (1..=4).map(entry).collect::<Vec<_>>());
    }
}
