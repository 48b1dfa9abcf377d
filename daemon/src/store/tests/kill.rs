//! SIGKILL at any moment: what was synced is there, and nothing is there by half.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use super::child::{EPOCH, Role, appended, spawn, spawn_to_die};
use super::{open, sample, trials};
use crate::engine::memory::Memory;
use crate::engine::view::View;
use crate::store::FindingCode;
use crate::store::keys::STATES;

/// Lets the other process append, kills it after `lines` lines and a moment, and gives the last number it called durable.
pub(super) fn append_until_killed(role: Role, dir: &Path, lines: usize, moment: Duration) -> u64 {
    let mut child = spawn(role, dir);
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let durable = |line: String| line.split("DURABLE ").nth(1).and_then(|number| number.parse::<u64>().ok());
    let mut last = (0..lines).map_while(|_| out.by_ref().find_map(durable)).last().expect("it appends");
    // The moment only varies where the kill falls; nothing hangs on it.
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
    last = out.filter_map(durable).last().unwrap_or(last);
    last
}

/// Lets the other process append until it kills itself `steps` steps after it created `file`; gives the last number that it called
/// durable, and whether it came to that within `lines` lines.
pub(super) fn append_until_step(role: Role, dir: &Path, file: &str, steps: usize, lines: usize) -> (u64, bool) {
    let mut child = spawn_to_die(role, dir, file, steps);
    let out = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut durable = out.filter_map(|line| line.split("DURABLE ").nth(1).and_then(|number| number.parse::<u64>().ok()));
    let mut last = durable.by_ref().take(lines).last().unwrap_or(0);
    let died = child.try_wait().unwrap().is_some() || durable.next().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    last = durable.last().unwrap_or(last);
    (last, died)
}

#[test]
fn a_kill_at_any_step_of_a_compaction_of_the_journal_loses_nothing() {
    let mut dir = tempfile::tempdir().unwrap();
    for trial in 0..trials() {
        if trial % 20 == 0 {
            dir = tempfile::tempdir().unwrap();
        }
        // Create, write, sync, rename, sync of the directory.
        let (durable, died) = append_until_step(Role::Append, dir.path(), "journal.new", trial % 5, 200);
        assert!(died, "trial {trial}: the journal is not compacted");
        assert_whole(dir.path(), durable);
    }
}

#[test]
fn what_was_synced_before_a_kill_is_there_and_no_set_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..6_u64 {
        let durable = append_until_killed(Role::Append, dir.path(), 30, Duration::from_micros(round * 317));
        assert_whole(dir.path(), durable);
    }
}

/// Nothing that was durable is missing, and nothing is there by half.
pub(super) fn assert_whole(dir: &Path, durable: u64) {
    let (store, findings) = open(dir);
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [FindingCode::UncleanStop], "{findings:?}");
    let reader = store.reader();
    let last = reader.registry().unwrap().last_entry;
    assert!(last >= durable, "{durable} was durable, the store ends at {last}");
    let mut model = Memory::default();
    for number in 1..=last {
        model.apply(&appended(number));
    }
    assert_eq!(reader.ledger(EPOCH), model.ledger(EPOCH));
    let (cursor, before) = (reader.cursor(EPOCH, "user").unwrap(), model.cursor(EPOCH, "user").unwrap());
    assert_eq!(cursor.high_water, before.high_water.map(|at| at.plus_millis(-10_000)), "it steps back by the overlap");
    assert_eq!(cursor.canary, before.canary);
    if last > 0 {
        assert_eq!(reader.registry().unwrap(), sample::registry(last));
    }
    assert_eq!(reader.rows(EPOCH, "user", "", usize::MAX), model.rows(EPOCH, "user", "", usize::MAX));
    assert_eq!(reader.changes(EPOCH, 0, usize::MAX), model.changes(EPOCH, 0, usize::MAX));
    assert_eq!(reader.entries(EPOCH, 0, usize::MAX), model.entries(EPOCH, 0, usize::MAX));
    for state in STATES {
        assert_eq!(reader.entries_in(EPOCH, state, 0, 1_000), model.entries_in(EPOCH, state, 0, 1_000));
    }
}
