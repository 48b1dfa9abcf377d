//! What was written and synced on this thread, in order, and what a power cut may leave of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::values;

/// What a disk writes at once: whole or not at all.
const SECTOR: usize = 512;

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Cut(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir,
    /// sled's files as they are durable.
    Database(Image),
    /// sled's files as they are before it is told of what the next step writes.
    Seen(Image),
}

/// The files of a directory that sled writes, by name, without those in directories below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<String, Vec<u8>>);

impl Image {
    pub(crate) fn of(dir: &Path) -> Self {
        let files = dir.read_dir().into_iter().flatten().filter_map(Result::ok);
        // What stands apart from sled is written, and recorded, step by step.
        let files = files.filter(|file| file.path().is_file() && file.file_name() != values::NAME);
        Self(files.filter_map(|file| Some((file.file_name().into_string().ok()?, fs::read(file.path()).ok()?))).collect())
    }
}

/// The name of a file, and the step on it or after it at which this process kills itself.
type Death = (String, Option<usize>, usize);

thread_local! {
    static DEATH: RefCell<Option<Death>> = const { RefCell::new(None) };
    static OPS: RefCell<Option<Vec<Op>>> = const { RefCell::new(None) };
}

/// Begins to record what this thread does; forgets what was recorded.
pub(crate) fn start() {
    OPS.with_borrow_mut(|ops| *ops = Some(Vec::new()));
}

/// What was recorded since [`start`].
pub(crate) fn stop() -> Vec<Op> {
    OPS.with_borrow_mut(Option::take).unwrap_or_default()
}

pub(crate) fn record(op: impl FnOnce() -> Op) {
    if OPS.with_borrow(Option::is_none) && DEATH.with_borrow(Option::is_none) {
        return;
    }
    let op = op();
    die(&op);
    OPS.with_borrow_mut(|ops| ops.as_mut().map_or((), |ops| ops.push(op)));
}

/// Lets this process kill itself `steps` steps after this thread created a file of this name.
pub(crate) fn die_after(file: &str, steps: usize) {
    DEATH.set(Some((file.to_owned(), None, steps)));
}

fn die(op: &Op) {
    DEATH.with_borrow_mut(|death| {
        let Some((file, done, steps)) = death else { return };
        match op {
            Op::Create(path) if path.ends_with(&*file) => *done = Some(0),
            _ => *done = done.map(|done| done + 1),
        }
        if *done >= Some(*steps) {
            nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    });
}

/// A file as the disk has it: what is durable, and what was written since.
#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    /// Writes at a place, and cuts without content.
    since: Vec<(u64, Option<Vec<u8>>)>,
}

impl Inode {
    fn apply(content: &mut Vec<u8>, at: usize, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            None => content.resize(at, 0),
        }
    }

    fn sync(&mut self) {
        for (at, bytes) in std::mem::take(&mut self.since) {
            Self::apply(&mut self.durable, usize::try_from(at).expect("small"), bytes.as_deref());
        }
    }

    /// What is durable, and of the rest some sectors, in any order.
    fn after_cut(&self, dice: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (at, bytes) in &self.since {
            let at = usize::try_from(*at).expect("small");
            match bytes {
                None => {
                    if dice(2) == 0 {
                        Self::apply(&mut content, at, None);
                    }
                }
                Some(bytes) => match dice(3) {
                    0 => {}
                    1 => Self::apply(&mut content, at, Some(bytes)),
                    _ => {
                        for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                            if dice(2) == 0 {
                                Self::apply(&mut content, at + number * SECTOR, Some(sector));
                            }
                        }
                    }
                },
            }
        }
        content
    }
}

/// The files that a power cut after the first `count` steps leaves: what was synced, and of the rest whatever the dice say.
/// Changes of a directory reach the disk in their order; how many of them is for the dice, too.
pub(crate) fn after_power_cut(ops: &[Op], count: usize, dice: &mut impl FnMut(usize) -> usize) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut inodes: Vec<Inode> = Vec::new();
    let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut durable_names = names.clone();
    // Names as they were after each change of a directory that is not durable yet.
    let mut later: Vec<BTreeMap<PathBuf, usize>> = Vec::new();
    for op in &ops[..count] {
        match op {
            Op::Create(path) => {
                inodes.push(Inode::default());
                names.insert(path.clone(), inodes.len() - 1);
                later.push(names.clone());
            }
            Op::Write(path, at, bytes) => inodes[names[path]].since.push((*at, Some(bytes.clone()))),
            Op::Cut(path, end) => inodes[names[path]].since.push((*end, None)),
            Op::Sync(path) => inodes[names[path]].sync(),
            Op::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
                later.push(names.clone());
            }
            Op::Remove(path) => {
                names.remove(path);
                later.push(names.clone());
            }
            Op::SyncDir => {
                durable_names.clone_from(&names);
                later.clear();
            }
            Op::Database(_) | Op::Seen(_) => {}
        }
    }
    let reached = dice(later.len() + 1);
    let names = reached.checked_sub(1).and_then(|last| later.get(last)).unwrap_or(&durable_names);
    names.iter().map(|(path, inode)| (path.clone(), inodes[*inode].after_cut(dice))).collect()
}

/// sled's file after a power cut: each sector as it was when it was last synced, or as it is now, or gone; the file ends
/// anywhere behind what was synced.
pub(crate) fn mixed(durable: &[u8], now: &[u8], dice: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let end = if now.len() > durable.len() { durable.len() + dice(now.len() - durable.len() + 1) } else { now.len() };
    let mut content = now[..end].to_vec();
    let how = dice(3);
    for start in (0..end).step_by(SECTOR) {
        let stop = (start + SECTOR).min(end);
        let old = durable.get(start..stop);
        if old == Some(&content[start..stop]) {
            continue;
        }
        let keep = match how {
            0 => false,
            1 => true,
            _ => dice(2) == 0,
        };
        if !keep {
            match old {
                Some(old) => content[start..stop].copy_from_slice(old),
                None => content[start..stop].fill(0),
            }
        }
    }
    content
}

/// The steps since [`start`].
pub(crate) fn count() -> usize {
    OPS.with_borrow(|ops| ops.as_ref().map_or(0, Vec::len))
}
