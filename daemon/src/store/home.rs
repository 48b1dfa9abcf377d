//! Which directory sled lives in: another one after each rewrite, named in a file that is replaced atomically.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::format;

/// The file that names it. Without one it is [`FIRST`].
const POINTER: &str = "current";
/// The first directory; those that follow have a number behind it.
const FIRST: &str = "sled";
/// What a directory's name ends with while it is removed: half of one must not pass for a whole.
const GOING: &str = ".old";

/// The directories that sled may live in.
#[derive(Debug)]
pub(super) struct Homes {
    /// The most likely one first; there is always one, which may be missing.
    pub(super) paths: Vec<PathBuf>,
    /// The first is the one that is named, or there is none at all.
    pub(super) is_sure: bool,
}

/// Looks where sled may live.
pub(super) fn find(dir: &Path) -> io::Result<Homes> {
    let mut numbers = numbers(dir)?;
    numbers.sort_unstable_by(|one, two| two.cmp(one));
    let named = named(dir);
    let is_there = named.is_some_and(|named| numbers.contains(&named));
    if is_there {
        numbers.sort_by_key(|number| Some(*number) != named);
    }
    let is_sure = is_there || numbers.is_empty();
    if numbers.is_empty() {
        numbers.push(named.unwrap_or(0));
    }
    Ok(Homes { paths: numbers.into_iter().map(|number| dir.join(name(number))).collect(), is_sure })
}

/// Where a rewrite goes: a name that nothing has.
pub(super) fn next(dir: &Path) -> io::Result<PathBuf> {
    let last = numbers(dir)?.into_iter().max().unwrap_or(0);
    Ok(dir.join(name(last.saturating_add(1))))
}

/// Makes `path` the current one, durably. After an error [`is_current`] tells whether it is.
pub(super) fn switch(dir: &Path, path: &Path) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format::replace(dir, POINTER, name.as_bytes())
}

/// Whether the next start finds that `path` is named.
pub(super) fn is_current(dir: &Path, path: &Path) -> bool {
    named(dir).is_some_and(|number| dir.join(name(number)) == path)
}

/// Removes a directory of sled's; a missing one is no error.
pub(super) fn discard(path: &Path) -> io::Result<()> {
    let mut going = path.as_os_str().to_owned();
    going.push(GOING);
    let going = PathBuf::from(going);
    // Where it can't be renamed, it is removed as it is.
    let path = if fs::rename(path, &going).is_ok() { going.as_path() } else { path };
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes what was being removed when the last stop came.
pub(super) fn remove_going(dir: &Path) -> io::Result<()> {
    for file in dir.read_dir()? {
        let file = file?;
        if file.file_name().to_string_lossy().strip_suffix(GOING).is_some_and(|name| number_of(name).is_some()) {
            fs::remove_dir_all(file.path())?;
        }
    }
    Ok(())
}

/// Whether a name in the state directory is that of a directory of sled's, even of one that is being removed.
pub(super) fn is_sled(name: &str) -> bool {
    number_of(name.strip_suffix(GOING).unwrap_or(name)).is_some()
}

/// The number of the directory that is named; none when the file does not read.
fn named(dir: &Path) -> Option<u64> {
    match fs::read(dir.join(POINTER)) {
        Ok(bytes) => number_of(std::str::from_utf8(&bytes).ok()?.trim()),
        Err(error) => (error.kind() == io::ErrorKind::NotFound).then_some(0),
    }
}

/// The numbers of the directories that are there.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in dir.read_dir()? {
        let file = file?;
        numbers.extend(number_of(&file.file_name().to_string_lossy()).filter(|_| file.path().is_dir()));
    }
    Ok(numbers)
}

fn name(number: u64) -> String {
    if number == 0 { FIRST.to_owned() } else { format!("{FIRST}-{number}") }
}

fn number_of(text: &str) -> Option<u64> {
    let rest = text.strip_prefix(FIRST)?;
    let number = if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse().ok()? };
    (name(number) == text).then_some(number)
}
