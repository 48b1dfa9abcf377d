//! Checks of the journal while it is written: every frame up to the last commit must read.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::frames::{Frames, parse_commit, parse_write};

/// How often is looked whether a file that takes the journal's place is there.
const MOVING_POLL: Duration = Duration::from_millis(5);

/// Which file the journal is, and up to where it must read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Extent {
    /// Counts the files that had the journal's name. It is odd while one takes the place of another.
    pub(in crate::store) file: u64,
    /// Where a commit ends that is durable, in bytes.
    end: u64,
}

/// The journal's extent, as whoever does not write it may know it.
#[derive(Debug, Default)]
pub(in crate::store) struct Seen(Mutex<Extent>);

impl Seen {
    pub(in crate::store) fn get(&self) -> Extent {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// More was made durable.
    pub(in crate::store) fn reaches(&self, end: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).end = end;
    }

    /// Another file is about to take the journal's place.
    pub(in crate::store) fn moves(&self) {
        let mut extent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        extent.file = extent.file.wrapping_add(1);
    }

    /// It did, or it stays the same after all.
    pub(in crate::store) fn moved(&self, end: u64) {
        self.moves();
        self.reaches(end);
    }
}

/// A part of the journal that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Checked {
    /// The file's number, for the next part.
    pub(in crate::store) file: u64,
    /// Writes and commits that read.
    pub(in crate::store) frames: u64,
    /// Their bytes.
    pub(in crate::store) bytes: u64,
    /// Where the next part begins; absent at the end.
    pub(in crate::store) next: Option<u64>,
    /// Where a frame does not read, although it was durable.
    pub(in crate::store) damaged_at: Option<u64>,
}

/// Checks the frames from `at` of file number `file` on, as long as `wants_more`. When the journal is another file by now, the check begins
/// with that one.
pub(in crate::store) fn check(
    path: &Path,
    seen: &Seen,
    (file, at): (u64, u64),
    mut wants_more: impl FnMut() -> bool,
) -> io::Result<Checked> {
    let mut extent = seen.get();
    while extent.file % 2 == 1 && wants_more() {
        thread::sleep(MOVING_POLL);
        extent = seen.get();
    }
    let again = |extent: Extent| Checked { file: extent.file, frames: 0, bytes: 0, next: Some(0), damaged_at: None };
    let from = if extent.file == file { at } else { 0 };
    let read = read(path, from, extent.end, &mut wants_more)?;
    // What was read in a file that was about to go says nothing about the one that has come.
    let now = seen.get();
    Ok(if now.file != extent.file || extent.file % 2 == 1 { again(now) } else { Checked { file: extent.file, ..read } })
}

fn read(path: &Path, from: u64, end: u64, wants_more: &mut dyn FnMut() -> bool) -> io::Result<Checked> {
    let mut checked = Checked { file: 0, frames: 0, bytes: 0, next: None, damaged_at: None };
    let Some(mut frames) = Frames::open(path)? else {
        checked.damaged_at = Some(0).filter(|_| end > 0);
        return Ok(checked);
    };
    frames.skip_to(from)?;
    let begin = frames.at;
    while frames.at < end {
        let is_one = frames.next()?.map(|payload| parse_commit(payload).is_some() || parse_write(payload).is_some());
        if is_one != Some(true) {
            checked.damaged_at = Some(frames.at);
            return Ok(checked);
        }
        checked.frames = checked.frames.saturating_add(1);
        checked.bytes = frames.at.saturating_sub(begin);
        if !wants_more() {
            checked.next = Some(frames.at).filter(|at| *at < end);
            break;
        }
    }
    Ok(checked)
}
