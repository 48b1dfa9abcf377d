//! The journal: torn, flipped, truncated, compacted, and the only thing that is left.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use aesync_protocol::response::EntryState;

use super::super::FindingCode;
use super::super::database::{Place, Tree};
use super::super::disk::gate::{self, Call};
use super::super::journal::{Journal, Source, replay, survey};
use super::super::{Store, keys};
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
    Journal::rewrite(&path, Source::Journal(survey(&path).unwrap()), 4).unwrap();
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

/// Writes an entry anew until the journal is another file; gives the number of the last set that was acknowledged.
fn until_compacted(store: &mut Store, dir: &Path, first: u64) -> u64 {
    let path = dir.join("journal");
    let (mut largest, mut number) = (0, first);
    while path.metadata().unwrap().len() >= largest {
        largest = path.metadata().unwrap().len();
        assert!(number < first + 4_000, "it is never compacted");
        let again = Write::Entry(Entry { bytes: number, ..entry(9_000) });
        store.apply(&WriteSet { writes: vec![again] }).unwrap();
        store.sync().unwrap();
        number += 1;
    }
    number
}

#[test]
fn a_journal_whose_name_is_not_durable_takes_nothing_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let (mut acknowledged, mut refused) = (0, 0);
    gate::refuse(dir.path(), Call::SyncDir, 3);
    for number in 1..=3_000_u64 {
        let mut set = enqueued(number);
        set.writes.extend(number.checked_sub(3).map(|old| Write::RemoveEntry(EPOCH, old)));
        match store.apply(&set).and_then(|()| store.sync()) {
            Ok(()) => acknowledged = number,
            Err(_) => refused += 1,
        }
        let found = survey(&dir.path().join("journal")).unwrap();
        assert!(found.number + refused >= acknowledged, "{acknowledged} was acknowledged, the journal ends at {}", found.number);
    }
    assert_eq!(acknowledged, 3_000);
    assert!(refused >= 1, "it was refused while the name was not durable");
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    assert_eq!(entries(dir.path()).0.last(), Some(&entry(3_000)));
}

#[test]
fn a_compaction_does_not_believe_sled() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    for number in 1..=30 {
        store.apply(&enqueued(number)).unwrap();
    }
    store.sync().unwrap();
    store.settle();
    // One is damaged, one is gone, and one is what belongs elsewhere.
    store.spoil((Tree::Outbox, keys::entry(EPOCH, 7)));
    let other = store.database_in_use().get(Tree::Outbox, &keys::entry(EPOCH, 9)).unwrap().map(|bytes| bytes.to_vec());
    let lost: Place = (Tree::Outbox, keys::entry(EPOCH, 8));
    store.database_in_use().write(&[(lost, None), ((Tree::Outbox, keys::entry(EPOCH, 10)), other)].into()).unwrap();
    until_compacted(&mut store, dir.path(), 31);
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let (mut found, _) = entries(dir.path());
    assert_eq!(found.pop().map(|entry| entry.number), Some(9_000));
    assert_eq!(found, (1..=30).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_journal_that_is_damaged_while_it_is_written_is_compacted_from_values_that_are_whole_or_not_at_all() {
    for is_sled_whole in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path());
        for number in 1..=30 {
            store.apply(&enqueued(number)).unwrap();
            store.sync().unwrap();
        }
        store.settle();
        let path = dir.path().join("journal");
        flip(&path, 2_000);
        if is_sled_whole {
            until_compacted(&mut store, dir.path(), 31);
            drop(store);
            fs::remove_dir_all(dir.path().join("sled")).unwrap();
            let (found, _) = entries(dir.path());
            assert_eq!(found.iter().map(|entry| entry.number).collect::<Vec<_>>(), (1..=30).chain([9_000]).collect::<Vec<_>>());
        } else {
            store.spoil((Tree::Outbox, keys::entry(EPOCH, 7)));
            let before = fs::read(&path).unwrap();
            for number in 31..1_500 {
                store.apply(&WriteSet { writes: vec![Write::Entry(Entry { bytes: number, ..entry(9_000) })] }).unwrap();
                store.sync().unwrap();
            }
            let written = survey_bytes(&before);
            assert_eq!(fs::read(&path).unwrap()[..written], before[..written], "the evidence is not cut");
        }
    }
}

/// The bytes before the zeros that are written ahead.
fn survey_bytes(file: &[u8]) -> usize {
    file.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_outbox_of_any_size_is_held_against_its_journal_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let large = |number: u64| {
        let mut entry = entry(number);
        Arc::make_mut(&mut entry.fields).insert("body".to_owned(), "x".repeat(4 << 20).into());
        entry
    };
    let (mut store, _) = open(dir.path());
    for number in 1..=9 {
        let writes = vec![Write::Registry(sample::registry(number)), Write::Entry(large(number))];
        store.apply(&WriteSet { writes }).unwrap();
        store.sync().unwrap();
    }
    store.settle();
    store.spoil((Tree::Outbox, keys::entry(EPOCH, 7)));
    let lost: Place = (Tree::Outbox, keys::entry(EPOCH, 8));
    let surplus: Place = (Tree::Outbox, keys::place(EPOCH, EntryState::Conflict, 9));
    store.database_in_use().write(&[(lost, None), (surplus, Some(vec![1]))].into()).unwrap();
    store.close().unwrap();
    assert!(dir.path().join("journal").metadata().unwrap().len() > 32 << 20);
    let (store, findings) = open(dir.path());
    let messages: Vec<_> = findings.iter().map(|finding| (finding.code, finding.message.as_str())).collect();
    let [(FindingCode::OutboxRestored, message)] = messages[..] else { panic!("{messages:?}") };
    assert!(message.contains("in 3 values"), "{message}");
    assert_eq!(store.reader().entry(EPOCH, 7).unwrap(), Some(large(7)));
    assert_eq!(store.reader().entry(EPOCH, 8).unwrap(), Some(large(8)));
    assert_eq!(store.reader().entries_in(EPOCH, EntryState::Conflict, 0, 9).unwrap(), []);
    store.close().unwrap();
    assert_eq!(open(dir.path()).1, []);
}

#[test]
fn a_group_that_is_dropped_is_told_to_everyone_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.apply(&enqueued(1)).unwrap();
    store.sync().unwrap();
    store.apply(&enqueued(2)).unwrap();
    gate::refuse(dir.path().join("sled").as_path(), Call::Exchange, 1);
    store.settle();
    store.sync().expect_err("the group is gone");
    store.sync().expect("nothing is left to be told");
    assert_eq!(store.reader().registry().unwrap(), sample::registry(1));

    store.apply(&enqueued(2)).unwrap();
    store.sync().unwrap();
    store.apply(&enqueued(3)).unwrap();
    gate::refuse(dir.path().join("sled").as_path(), Call::Exchange, 1);
    store.settle();
    store.apply(&enqueued(4)).expect_err("the group is gone");
    store.apply(&enqueued(3)).expect("another one begins");
    store.sync().unwrap();
    assert_eq!(store.reader().registry().unwrap(), sample::registry(3));
}

#[test]
fn a_power_cut_in_a_group_of_many_sectors_is_no_damage_and_a_hole_before_more_groups_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    let path = dir.path().join("journal");
    let mut ends = Vec::new();
    for group in 0..3 {
        for number in 1..=20 {
            store.apply(&enqueued(group * 20 + number)).unwrap();
        }
        store.sync().unwrap();
        ends.push(usize::try_from(survey(&path).unwrap().end).unwrap());
    }
    drop(store);
    let whole = fs::read(&path).unwrap()[..ends[2]].to_vec();
    let hole = |at: usize| {
        let mut torn = whole.clone();
        torn[at..at + 512].fill(0);
        fs::write(&path, &torn).unwrap();
        survey(&path).unwrap()
    };
    for sector in ends[1].div_ceil(512)..ends[2] / 512 {
        let found = hole(sector * 512);
        assert_eq!((found.number, found.beyond), (40, None), "sector {sector} of the last group");
    }
    for sector in ends[0].div_ceil(512)..ends[1] / 512 {
        let found = hole(sector * 512);
        assert_eq!((found.number, found.beyond), (20, Some(60)), "sector {sector} of the group before");
    }
    // The commit of the group before: what is behind it was written later.
    let mut torn = whole.clone();
    torn[ends[1] - 1] ^= 1;
    fs::write(&path, &torn).unwrap();
    assert_eq!(survey(&path).unwrap().beyond, Some(60));
}

#[test]
fn only_after_a_clean_stop_a_lost_journal_is_said_to_have_held_nothing_more() {
    for is_clean in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 5);
        if !is_clean {
            fs::remove_file(dir.path().join("clean")).unwrap();
        }
        fs::remove_file(dir.path().join("journal")).unwrap();
        let (_store, findings) = open(dir.path());
        let finding = findings.iter().find(|finding| finding.code == FindingCode::JournalDamaged).expect("a finding");
        let says_nothing = finding.message.contains("nothing is lost");
        assert_eq!(says_nothing, is_clean, "{}", finding.message);
        assert!(is_clean || finding.message.contains("nothing up to change 5 is lost, and whether"), "{}", finding.message);
    }
}
