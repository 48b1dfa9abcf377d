//! The version of the layout, in a file of its own: it must be readable when sled is not.

use std::fs;
use std::io;
use std::path::Path;

use super::disk::{Output, sync_dir};
use super::error::OpenError;

/// The version of the layout that this build writes. Since 2 the journal is ahead of sled, which version 1 would not believe;
/// since 3 large values stand apart; since 4 all but the smallest do, in a file of their own, and the feed is packed; since 5 the ids in
/// sled's keys are shorter.
pub(super) const FORMAT: u32 = 5;
/// What the file begins with.
const TITLE: &str = "aesyncd state ";

/// Refuses a newer format (rule R46), and writes down this one where none is.
///
/// A file that does not read as a format proves nothing: sled's own copy is held against this build later.
pub(super) fn check(dir: &Path) -> Result<(), OpenError> {
    let path = dir.join("format");
    let found = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().strip_prefix(TITLE).and_then(|version| version.parse::<u32>().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(OpenError::Io { doing: "reading", path, source }),
    };
    match found {
        Some(found) if found > FORMAT => Err(OpenError::NewerFormat { dir: dir.to_path_buf(), found, known: FORMAT }),
        Some(FORMAT) => Ok(()),
        _ => replace(dir, "format", format!("{TITLE}{FORMAT}\n").as_bytes()).map_err(OpenError::io("writing", &path)),
    }
}

/// Writes a small file so that after a power cut either the old or the new content is there.
pub(super) fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let mut file = Output::create(&dir.join(format!("{name}.new")))?;
    file.write(content)?;
    file.sync()?;
    file.rename(&dir.join(name))?;
    sync_dir(dir)
}
