//! Damaged files: an open either repairs, or moves the store aside and starts fresh; it never dies, hangs or lies.

use std::fs;
use std::path::{Path, PathBuf};

use super::child::{self, EPOCH, Role, appended};
use super::dice::Dice;
use super::{open, options, sample, trials};
use crate::engine::view::View;
use crate::store::{FindingCode, OpenError, Options, Store};

/// The write sets of the store that is damaged; it has some segments.
const SETS: u64 = 120;

/// That store, closed.
pub(super) fn filled(dir: &Path) {
    let (mut store, _) = open(dir);
    for number in 1..=SETS {
        store.apply(&appended(number)).unwrap();
        store.sync().unwrap();
    }
    store.close().unwrap();
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in from.read_dir().unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}

/// sled's files.
fn files(dir: &Path) -> Vec<PathBuf> {
    files_in(&dir.join("sled"))
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        dir.read_dir().unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn damage(dice: &mut Dice, path: &Path, kind: usize) -> String {
    let mut bytes = fs::read(path).unwrap();
    let what = match kind {
        0 => {
            let end = dice.below(bytes.len());
            bytes.truncate(end);
            format!("cut at {end}")
        }
        1 => {
            let at = dice.below(bytes.len());
            let bit = dice.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of {at} flipped")
        }
        2 => {
            let at = dice.below(bytes.len());
            let end = (at + 1 + dice.below(8192)).min(bytes.len());
            bytes[at..end].fill(0);
            format!("{at}..{end} zeroed")
        }
        3 => {
            bytes.fill(0);
            "all zeroed".to_owned()
        }
        _ => {
            bytes.clear();
            "emptied".to_owned()
        }
    };
    fs::write(path, bytes).unwrap();
    format!("{} {what}", path.file_name().unwrap().to_string_lossy())
}

/// The outbox is there, and everything else is, or the store says that it started fresh, or that it will fetch again what is missing.
fn assert_truthful(dir: &Path, what: &str) {
    let aside = dir.read_dir().unwrap().any(|file| file.unwrap().file_name().to_string_lossy().starts_with("damaged-"));
    let (store, _) = open(dir);
    let reader = store.reader();
    let numbers: Vec<u64> = reader.entries(EPOCH, 0, 1_000).unwrap().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (SETS - 19..=SETS).collect::<Vec<_>>(), "the outbox after {what}");
    assert_eq!(reader.registry().unwrap(), sample::registry(SETS), "the registry after {what}");
    let rows = reader.rows(EPOCH, "user", "", 10_000).unwrap().len() as u64;
    let changes = reader.changes(EPOCH, 0, 1_000).unwrap().len() as u64;
    let is_owed = reader.cursor(EPOCH, "user").unwrap().listing_owed;
    let is_anew = reader.ledger(EPOCH).unwrap().log != "feed";
    let expected = if aside { 0 } else { 20 * SETS };
    assert!(rows == expected || (is_owed && rows < expected), "the replica after {what}: {rows}");
    assert_eq!(changes, if aside || is_anew { 0 } else { SETS }, "the feed after {what}");
    store.close().unwrap();
}

/// Every file of a state directory but the lock, whose content is for people.
fn all_files(dir: &Path) -> Vec<PathBuf> {
    let own = dir.read_dir().unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file() && !path.ends_with("lock"));
    let mut files: Vec<PathBuf> = own.chain(files(dir)).collect();
    files.retain(|path| path.metadata().unwrap().len() > 0);
    files.sort();
    files
}

#[test]
fn no_file_that_is_cut_off_takes_an_outbox_entry() {
    assert_kept_with(0);
}

#[test]
fn no_file_with_a_flipped_bit_takes_an_outbox_entry() {
    assert_kept_with(1);
}

#[test]
fn no_file_with_zeros_in_it_takes_an_outbox_entry() {
    assert_kept_with(2);
}

fn assert_kept_with(kind: usize) {
    let pristine = tempfile::tempdir().unwrap();
    filled(pristine.path());
    let mut dice = Dice(3 + kind as u64);
    for trial in 0..trials() {
        let dir = tempfile::tempdir().unwrap();
        copy(pristine.path(), dir.path());
        let files = all_files(dir.path());
        let what = format!("trial {trial}: {}", damage(&mut dice, &files[trial % files.len()], kind));
        let (store, findings) = match Store::open(dir.path(), options()) {
            Ok(opened) => opened,
            // A flipped bit can make a version of 2 a newer one.
            Err(OpenError::NewerFormat { .. }) if what.contains("format") => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        let reader = store.reader();
        let numbers: Vec<u64> = reader.entries(EPOCH, 0, 1_000).unwrap().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (SETS - 19..=SETS).collect::<Vec<_>>(), "{what}: {findings:?}");
        assert_eq!(reader.registry().unwrap(), sample::registry(SETS), "{what}: {findings:?}");
        let rows = reader.rows(EPOCH, "user", "", 10_000).unwrap().len() as u64;
        let lost = findings.iter().any(|f| matches!(f.code, FindingCode::StoreDamaged | FindingCode::StoreInconsistent));
        assert!(rows == 20 * SETS || lost, "{what}: {rows} rows without a word: {findings:?}");
        store.close().unwrap();
    }
}

#[test]
fn no_damage_to_a_file_of_sled_makes_the_store_die_or_hang() {
    let rounds = std::env::var("AESYNC_DAMAGE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let pristine = tempfile::tempdir().unwrap();
    filled(pristine.path());
    let mut dice = Dice(1);
    for round in 0..rounds {
        for file in files(pristine.path()) {
            for kind in 0..5 {
                let dir = tempfile::tempdir().unwrap();
                copy(pristine.path(), dir.path());
                let what = damage(&mut dice, &dir.path().join("sled").join(file.file_name().unwrap()), kind);
                let first = child::run(Role::Use, dir.path()).unwrap_or_else(|error| panic!("round {round}, {what}: {error}"));
                println!("{what}: {first}");
                assert_truthful(dir.path(), &what);
                let second =
                    child::run(Role::Use, dir.path()).unwrap_or_else(|error| panic!("round {round}, {what}, again: {error}"));
                println!("    then {second}");
                assert!(second.ends_with("written"), "{what}: {first}, then {second}");
            }
        }
    }
}

/// The same store after a rewrite: its files are in `sled-1`, and `current` says so.
fn rewritten(dir: &Path) {
    filled(dir);
    let (mut store, _) = Store::open(dir, Options { rewrite_floor: 1, ..options() }).unwrap();
    while store.rest() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    store.close().unwrap();
    while dir.join("sled").exists() || dir.join("sled.old").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // What an interrupted rewrite leaves.
    copy(&dir.join("sled-1"), &dir.join("sled-2"));
    fs::write(dir.join("sled-2/db"), b"").unwrap();
    assert!(dir.join("current").exists());
}

#[test]
fn no_damage_to_the_file_that_names_the_store_takes_anything() {
    let pristine = tempfile::tempdir().unwrap();
    rewritten(pristine.path());
    let mut dice = Dice(41);
    for trial in 0..trials().min(60) {
        let dir = tempfile::tempdir().unwrap();
        copy(pristine.path(), dir.path());
        let pointer = dir.path().join("current");
        let what = match trial {
            0 => {
                fs::remove_file(&pointer).unwrap();
                "removed".to_owned()
            }
            1..8 => {
                let other = ["sled", "sled-2", "sled-3", "sled-", "sled-01", "", "\u{1F980}"][trial - 1];
                fs::write(&pointer, other).unwrap();
                format!("{other:?}")
            }
            _ => damage(&mut dice, &pointer, trial % 5),
        };
        let (store, findings) = open(dir.path());
        let reader = store.reader();
        let numbers: Vec<u64> = reader.entries(EPOCH, 0, 1_000).unwrap().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (SETS - 19..=SETS).collect::<Vec<_>>(), "{what}: {findings:?}");
        assert_eq!(reader.rows(EPOCH, "user", "", 10_000).unwrap().len() as u64, 20 * SETS, "{what}: {findings:?}");
        assert!(findings.iter().all(|finding| finding.code == FindingCode::StoreInconsistent), "{what}: {findings:?}");
        store.close().unwrap();
        assert_eq!(open(dir.path()).1, [], "{what}: it is named again");
    }
}

#[test]
fn no_damaged_file_of_a_store_that_was_rewritten_takes_an_outbox_entry() {
    let pristine = tempfile::tempdir().unwrap();
    rewritten(pristine.path());
    fs::remove_dir_all(pristine.path().join("sled-2")).unwrap();
    let mut dice = Dice(43);
    for trial in 0..trials().div_ceil(4) {
        let dir = tempfile::tempdir().unwrap();
        copy(pristine.path(), dir.path());
        let mut files = files_in(&dir.path().join("sled-1"));
        files.push(dir.path().join("journal"));
        files.retain(|path| path.metadata().unwrap().len() > 0);
        let what = format!("trial {trial}: {}", damage(&mut dice, &files[trial % files.len()], trial % 3));
        let (store, findings) = open(dir.path());
        let numbers: Vec<u64> = store.reader().entries(EPOCH, 0, 1_000).unwrap().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (SETS - 19..=SETS).collect::<Vec<_>>(), "{what}: {findings:?}");
        store.close().unwrap();
    }
}
