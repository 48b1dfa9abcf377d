//! Which directory sled lives in: another one after each rewrite, named in a file that is replaced atomically.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::format;

/// The file that names it. Without one it is [`FIRST`].
const POINTER: &str = "current";
/// The first directory; those that follow have a number behind it.
const FIRST: &str = "sled";

/// Where sled lives. Any answer is safe: one that is not the right one does not have what the journal says that it must have.
pub(super) fn current(dir: &Path) -> PathBuf {
    let named = fs::read_to_string(dir.join(POINTER)).ok().and_then(|text| number_of(text.trim()));
    dir.join(name(named.unwrap_or(0)))
}

/// Where a rewrite goes. What an earlier one left there is removed.
pub(super) fn next(dir: &Path) -> io::Result<PathBuf> {
    let current = current(dir);
    let number = current.file_name().and_then(|name| number_of(&name.to_string_lossy())).unwrap_or(0);
    let next = dir.join(name(number.saturating_add(1)));
    match fs::remove_dir_all(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(next),
    }
}

/// Makes `path` the current one, durably.
pub(super) fn switch(dir: &Path, path: &Path) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format::replace(dir, POINTER, name.as_bytes())
}

/// Removes what rewrites left behind that were cut short.
pub(super) fn remove_others(dir: &Path) -> io::Result<()> {
    let current = current(dir);
    for file in dir.read_dir()? {
        let path = file?.path();
        let is_one = path.file_name().is_some_and(|name| number_of(&name.to_string_lossy()).is_some());
        if is_one && path != current && path.is_dir() {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn name(number: u64) -> String {
    if number == 0 { FIRST.to_owned() } else { format!("{FIRST}-{number}") }
}

fn number_of(name: &str) -> Option<u64> {
    let rest = name.strip_prefix(FIRST)?;
    if rest.is_empty() { Some(0) } else { rest.strip_prefix('-')?.parse().ok() }
}
