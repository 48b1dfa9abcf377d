//! The test binary as another process: one that can be killed, and whose death or hang proves something.

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{options, sample};
use aesync_protocol::event::{Change, ChangeOp};

use crate::engine::durable::{EpochId, Ledger};
use crate::engine::view::View;
use crate::engine::write_set::{Write, WriteSet};
use crate::store::disk::recorder;
use crate::store::keys::STATES;
use crate::store::{Options, Store};

const ROLE: &str = "AESYNC_STORE_CHILD";
const DIR: &str = "AESYNC_STORE_DIR";
/// A file's name and a number of steps, as `journal.new 3`.
const DEATH: &str = "AESYNC_STORE_DEATH";
/// Far more than any open of these small stores takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// The epoch that [`Role::Append`] writes to.
pub(super) const EPOCH: EpochId = EpochId(7);

/// What the other process does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Opens, reads everything, writes, syncs, closes.
    Use,
    /// Appends one set after another until it is killed; prints each number once it is durable.
    Append,
    /// The same, with files that are rewritten again and again.
    Rewrite,
}

/// Starts this test binary in a role.
pub(super) fn spawn(role: Role, dir: &Path) -> Child {
    command(role, dir).spawn().unwrap()
}

/// The same, to kill itself some steps after it created a file of this name.
pub(super) fn spawn_to_die(role: Role, dir: &Path, file: &str, steps: usize) -> Child {
    command(role, dir).env(DEATH, format!("{file} {steps}")).spawn().unwrap()
}

fn command(role: Role, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "store::tests::child::in_a_role", "--nocapture", "--test-threads", "1"])
        .env(ROLE, format!("{role:?}"))
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The line that the other process ends with; an error when it dies or hangs.
pub(super) fn run(role: Role, dir: &Path) -> Result<String, String> {
    let mut child = spawn(role, dir);
    let deadline = Instant::now() + DEADLINE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                child.wait().unwrap();
                return Err("it hangs".to_owned());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let said: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    let last = said.iter().rev().find_map(|line| line.split("DONE ").nth(1)).map(str::to_owned);
    last.filter(|_| status.success()).ok_or(format!("{status}: {said:?}"))
}

#[test]
fn in_a_role() {
    let (Ok(role), Ok(dir)) = (env::var(ROLE), env::var(DIR)) else { return };
    let dir = PathBuf::from(dir);
    if let Ok(death) = env::var(DEATH) {
        let (file, steps) = death.split_once(' ').unwrap();
        recorder::die_after(file, steps.parse().unwrap());
    }
    match role.as_str() {
        "Use" => println!("DONE {}", make_use_of(&dir)),
        "Append" => append(&dir, options()),
        "Rewrite" => append(&dir, rewriting()),
        other => panic!("{other} is no role"),
    }
}

/// What happened, in words.
fn make_use_of(dir: &Path) -> String {
    let (mut store, findings) = match Store::open(dir, options()) {
        Ok(opened) => opened,
        Err(error) => return format!("refused: {error}"),
    };
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    let bad_reads = count_bad_reads(&store.reader());
    let row = Write::Row { epoch: EPOCH, entity_type: "new".into(), id: "n".into(), row: Some(sample::row(1)) };
    let outcome = store.apply(&WriteSet { writes: vec![row] }).and_then(|()| store.sync()).and_then(|()| store.close());
    format!("opened {codes:?}, {bad_reads} bad reads, {}", outcome.map_or_else(|error| error.to_string(), |()| "written".into()))
}

fn count_bad_reads(view: &impl View) -> usize {
    let mut bad = usize::from(view.registry().is_err()) + usize::from(view.ledger(EPOCH).is_err());
    bad += usize::from(view.entries(EPOCH, 0, 100_000).is_err()) + usize::from(view.changes(EPOCH, 0, 100_000).is_err());
    bad += usize::from(view.rows(EPOCH, "user", "", 100_000).is_err());
    for state in STATES {
        bad += usize::from(view.entries_in(EPOCH, state, 0, 100_000).is_err());
    }
    bad
}

/// The sets that [`Role::Append`] writes, by number: every part of a set says which one it belongs to.
pub(super) fn appended(number: u64) -> WriteSet {
    let id = |n: u64| format!("{n:08}");
    let row = |n: u64| Write::Row { epoch: EPOCH, entity_type: "user".into(), id: id(n), row: Some(sample::row(n)) };
    let state = |n: u64| STATES[usize::try_from(n % 3).unwrap()];
    // Every third of the rows 20 to `end` is deleted.
    let end = number * 20 + 19;
    let live = (end - 19) - (end / 3 - 19 / 3);
    let ledger = Ledger { records: [("user".to_owned(), live)].into(), ..sample::ledger(1, number) };
    let mut writes = vec![Write::Registry(sample::registry(number)), Write::Ledger(EPOCH, ledger)];
    writes.push(Write::Cursor(EPOCH, "user".into(), sample::cursor(number)));
    let first = sample::row(number * 20);
    let op = if first.is_live() { ChangeOp::Upsert } else { ChangeOp::Delete };
    let record = first.is_live().then(|| Arc::unwrap_or_clone(first.record));
    let (entity_type, first_id) = ("user".to_owned(), id(number * 20));
    let change = Change { op, entity_type, id: first_id, record, ..sample::change(number, number).decode().unwrap() };
    writes.push(Write::Change(EPOCH, sample::encoded(&change)));
    writes.push(Write::Entry(sample::entry(EPOCH, number, state(number), number)));
    if number > 5 {
        writes.push(Write::Entry(sample::entry(EPOCH, number - 5, state(number + 1), number)));
    }
    if number > 20 {
        writes.push(Write::RemoveEntry(EPOCH, number - 20));
    }
    writes.extend((0..20).map(|n| row(number * 20 + n)));
    WriteSet { writes }
}

/// Files are rewritten as soon as they hold less than half of their size.
pub(super) fn rewriting() -> Options {
    Options { rewrite_floor: 1 << 20, ..options() }
}

fn append(dir: &Path, options: Options) {
    let (mut store, _) = Store::open(dir, options).unwrap();
    let first = store.reader().registry().unwrap().last_entry + 1;
    for number in first.. {
        // Groups of one to three sets, as the writer forms them under load.
        store.apply(&appended(number)).unwrap();
        if number % 3 != 0 {
            store.sync().unwrap();
            println!("DURABLE {number}");
            std::io::stdout().flush().unwrap();
        }
    }
}
