//! Power cuts at any step: of what was not synced, each sector is dropped, kept or torn as the dice say. What was acknowledged is there.

use std::fs;
use std::path::{Path, PathBuf};

use aesync_protocol::status::OutboxStatus;

use super::super::disk::recorder::{self, Image, Op, after_power_cut, mixed};
use super::super::without::{self, Rule};
use super::child::{self, EPOCH, Role, appended};
use super::dice::Dice;
use super::{open, options, sample};
use crate::engine::durable::{Cursor, Ledger};
use crate::engine::memory::Memory;
use crate::engine::view::View;
use crate::store::keys::STATES;
use crate::store::{Finding, FindingCode, Store};

/// Cuts of one kind in a run; `AESYNC_POWER_CUTS` sets another number.
const CUTS: u64 = 200;

fn cuts() -> u64 {
    std::env::var("AESYNC_POWER_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(CUTS)
}

/// A run of the store up to some moment: what was done to its files, and the last set that was acknowledged before each step.
struct Run {
    dir: tempfile::TempDir,
    ops: Vec<Op>,
    /// By number of steps that were done: the sets that were acknowledged by then.
    acknowledged: Vec<(usize, u64)>,
    /// sled's files after each acknowledgement, by number of steps.
    images: Vec<(usize, Image)>,
}

/// Groups of one to three sets; every `closed` groups the store is closed and opened again.
fn run(groups: u64, closed: u64) -> Run {
    let dir = tempfile::tempdir().unwrap();
    recorder::start();
    let (mut store, _) = open(dir.path());
    let (mut number, mut acknowledged, mut images) = (0, vec![(recorder::count(), 0)], Vec::new());
    for group in 1..=groups {
        for _ in 0..=group % 3 {
            number += 1;
            store.apply(&appended(number)).unwrap();
        }
        store.sync().unwrap();
        acknowledged.push((recorder::count(), number));
        images.push((recorder::count(), Image::of(&dir.path().join("sled"))));
        if group % closed == 0 {
            store.close().unwrap();
            images.push((recorder::count(), Image::of(&dir.path().join("sled"))));
            (store, _) = open(dir.path());
        }
    }
    drop(store);
    Run { dir, ops: recorder::stop(), acknowledged, images }
}

/// Writes what a cut after `count` steps leaves into a fresh directory.
fn cut(run: &Run, count: usize, dice: &mut Dice) -> tempfile::TempDir {
    let mut below = |end| dice.below(end);
    let left = tempfile::tempdir().unwrap();
    let sled = left.path().join("sled");
    for (path, bytes) in after_power_cut(&run.ops, count, &mut below) {
        let path = left.path().join(path.strip_prefix(run.dir.path()).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let durable = run.ops[..count].iter().rev().find_map(|op| if let Op::Database(image) = op { Some(image) } else { None });
    let now = run.images.iter().find(|(steps, _)| *steps >= count);
    let until = now.map_or(run.ops.len(), |(steps, _)| *steps);
    let seen = run.ops[count..until].iter().find_map(|op| if let Op::Seen(image) = op { Some(image) } else { None });
    let now = seen.or(now.map(|(_, image)| image));
    let (Some(durable), Some(now)) = (durable, now.or(durable)) else { return left };
    fs::create_dir_all(&sled).unwrap();
    for (name, bytes) in &durable.0 {
        fs::write(sled.join(name), bytes).unwrap();
    }
    for (name, bytes) in &now.0 {
        let was = durable.0.get(name).map(Vec::as_slice).unwrap_or_default();
        fs::write(sled.join(name), mixed(was, bytes, &mut below)).unwrap();
    }
    left
}

fn model(last: u64) -> Memory {
    let mut model = Memory::default();
    for number in 1..=last {
        model.apply(&appended(number));
    }
    model
}

/// Opens what is left. The outbox is that of some set since the last acknowledged one, whole; the rest is of the same set, or the store
/// said that it was damaged and began anew.
fn assert_kept(left: &Path, acknowledged: u64, what: &str) {
    let (store, findings) = Store::open(left, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let codes: Vec<FindingCode> = findings.iter().map(|finding| finding.code).collect();
    let reader = store.reader();
    let last = reader.registry().unwrap().last_entry;
    assert!(
        (acknowledged..=acknowledged + 3).contains(&last),
        "{what}: {acknowledged} was acknowledged, it ends at {last}: {findings:?}"
    );
    let model = model(last);
    assert_eq!(reader.entries(EPOCH, 0, usize::MAX), model.entries(EPOCH, 0, usize::MAX), "{what}: {findings:?}");
    for state in STATES {
        assert_eq!(reader.entries_in(EPOCH, state, 0, 1_000), model.entries_in(EPOCH, state, 0, 1_000), "{what}: {findings:?}");
    }
    // assert! rather than assert_eq!: the values would fill pages.
    let same_rows = reader.rows(EPOCH, "user", "", usize::MAX) == model.rows(EPOCH, "user", "", usize::MAX);
    let same_feed = reader.changes(EPOCH, 0, usize::MAX) == model.changes(EPOCH, 0, usize::MAX);
    if codes.contains(&FindingCode::StoreDamaged) {
        assert!(codes.contains(&FindingCode::OutboxRestored), "{what}: {findings:?}");
        assert_eq!(reader.rows(EPOCH, "user", "", usize::MAX), Ok(vec![]), "{what}");
    } else if codes.contains(&FindingCode::StoreInconsistent) {
        let owed = Cursor { listing_owed: true, ..Cursor::default() };
        assert_eq!(reader.cursor(EPOCH, "user").unwrap(), owed, "{what}: it is pulled again");
        assert_ne!(reader.ledger(EPOCH).unwrap().log, "feed", "{what}: subscribers begin anew");
    } else {
        assert!(same_rows && same_feed, "{what}: {same_rows} {same_feed} {findings:?}");
        // Restored entries are counted, which those who wrote these made-up ones did not.
        let ledger = Ledger { outbox: OutboxStatus::default(), ..reader.ledger(EPOCH).unwrap() };
        assert_eq!(ledger, model.ledger(EPOCH).unwrap(), "{what}: {findings:?}");
    }
    if last > 0 {
        assert_eq!(reader.registry().unwrap(), sample::registry(last), "{what}");
    }
    store.close().unwrap();
    assert_eq!(open(left).1, [], "{what}: it is sound from then on");
}

#[test]
fn no_power_cut_takes_an_acknowledged_change_or_tears_a_set() {
    let run = run(45, 9);
    let mut dice = Dice(11);
    for trial in 0..cuts() {
        let count = 1 + dice.below(run.ops.len());
        let acknowledged = run.acknowledged.iter().rev().find(|(steps, _)| *steps <= count).map_or(0, |(_, number)| *number);
        let left = cut(&run, count, &mut dice);
        assert_kept(left.path(), acknowledged, &format!("trial {trial}, cut after step {count} of {}", run.ops.len()));
    }
}

/// What the cuts leave inconsistent, so that it has to be fetched again.
fn inconsistent(run: &Run) -> Vec<String> {
    let mut dice = Dice(11);
    let found = |trial: u64| {
        let count = 1 + dice.below(run.ops.len());
        let left = cut(run, count, &mut dice);
        let (_, findings) = open(left.path());
        let is_inconsistent = |finding: &Finding| finding.code == FindingCode::StoreInconsistent;
        let found = findings.into_iter().find(is_inconsistent)?;
        Some(format!("trial {trial}, cut after step {count} of {}: {}", run.ops.len(), found.message))
    };
    (0..cuts()).filter_map(found).collect()
}

#[test]
fn a_power_cut_never_takes_a_value_from_under_its_mark_and_it_is_noticed_when_it_does() {
    assert_eq!(inconsistent(&run(45, 9)), [""; 0]);
    let without = inconsistent(&without::rule(Rule::ValuesDurableFirst, || run(45, 9)));
    assert!(!without.is_empty(), "no cut shows that the rule is gone");
}

#[test]
fn what_is_left_of_a_power_cut_neither_kills_nor_hangs_the_store() {
    let run = run(30, 7);
    let mut dice = Dice(5);
    for trial in 0..cuts().div_ceil(20) {
        let count = 1 + dice.below(run.ops.len());
        let left = cut(&run, count, &mut dice);
        let said = child::run(Role::Use, left.path()).unwrap_or_else(|error| panic!("trial {trial}: {error}"));
        assert!(said.ends_with("0 bad reads, written"), "trial {trial}: {said}");
    }
}

fn notices_without(rule: Rule) -> bool {
    let run = without::rule(rule, || run(45, 9));
    let mut dice = Dice(11);
    let notices = |_| {
        let count = 1 + dice.below(run.ops.len());
        let acknowledged = run.acknowledged.iter().rev().find(|(steps, _)| *steps <= count).map_or(0, |(_, number)| *number);
        let left = cut(&run, count, &mut dice);
        std::panic::catch_unwind(|| assert_kept(left.path(), acknowledged, "a mutant")).is_err()
    };
    (0..cuts()).any(notices)
}

#[test]
fn without_r1_a_power_cut_takes_what_was_acknowledged_and_it_is_noticed() {
    assert!(notices_without(Rule::DurableBeforeTheAnswer), "no cut shows that the rule is gone");
}

#[test]
fn without_r23_a_power_cut_leaves_the_cursor_ahead_of_its_rows_and_it_is_noticed() {
    assert!(notices_without(Rule::OneWrite), "no cut shows that the rule is gone");
}

/// The double itself: it would be of no use if it kept what was never synced.
#[test]
fn the_double_drops_what_was_not_synced_and_keeps_what_was() {
    let (path, other) = (PathBuf::from("/d/a"), PathBuf::from("/d/b"));
    let ops = [
        Op::Create(path.clone()),
        Op::Write(path.clone(), 0, vec![1; 600]),
        Op::Sync(path.clone()),
        Op::SyncDir,
        Op::Write(path.clone(), 600, vec![2; 2_000]),
        Op::Rename(path.clone(), other.clone()),
    ];
    let mut never = |_: usize| 0;
    let left = after_power_cut(&ops, ops.len(), &mut never);
    assert_eq!(left.get(&path), Some(&vec![1; 600]));
    let mut all = |end: usize| 1.min(end - 1);
    let left = after_power_cut(&ops, ops.len(), &mut all);
    assert_eq!(left.get(&other).map(Vec::len), Some(2_600));
    assert_eq!(after_power_cut(&ops, 2, &mut never).len(), 0);
}
