//! What a journal file holds, up to where it reads.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::super::database::Place;
use super::super::fault::Fault;
use super::frames::{CHECKPOINT, COMMIT_FRAME, Frames, is_whole, parse_commit, parse_write};

/// Commits are looked for in so many bytes at a time.
const CHUNK: usize = 256 * 1024;
/// What a commit's frame begins with: the length of its payload.
const COMMIT_PAYLOAD: [u8; 4] = 9_u32.to_le_bytes();

/// What a journal file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Survey {
    /// The number of the last committed write set; 0 when there is none.
    pub(in crate::store) number: u64,
    /// Where the last commit ends; 0 when not even the file's beginning reads.
    pub(in crate::store) end: u64,
    /// The number of the last write set before the last checkpoint.
    pub(in crate::store) checkpoint: u64,
    /// Where the last checkpoint ends.
    pub(in crate::store) checkpoint_end: u64,
    /// The number of the last commit behind a place that does not read: the file was damaged, not torn by a power cut.
    pub(in crate::store) beyond: Option<u64>,
    /// The file's size.
    pub(in crate::store) size: u64,
}

/// Looks through a journal file; a missing one is empty. What is torn or damaged ends it.
pub(in crate::store) fn survey(path: &Path) -> io::Result<Survey> {
    let Some(mut frames) = Frames::open(path)? else { return Ok(Survey::default()) };
    let begin = frames.at;
    let mut survey = Survey { end: begin, checkpoint_end: begin, size: frames.size, ..Survey::default() };
    while let Some(payload) = frames.next()? {
        if let Some((kind, number)) = parse_commit(payload) {
            survey = Survey { number, end: frames.at, ..survey };
            if kind == CHECKPOINT {
                survey = Survey { checkpoint: number, checkpoint_end: frames.at, ..survey };
            }
        }
    }
    if survey.size > survey.end {
        survey.beyond = last_commit_behind(path, survey, frames.at)?;
    }
    Ok(survey)
}

/// The number of the last commit that stands whole behind the end of what reads, when two groups or more were there: one is what a power
/// cut leaves of the group that was being written, whose sectors reach the disk in any order. Reading ended with the frame at `stop`.
fn last_commit_behind(path: &Path, survey: Survey, stop: u64) -> io::Result<Option<u64>> {
    let mut file = BufReader::with_capacity(CHUNK, File::open(path)?);
    file.seek(SeekFrom::Start(survey.end))?;
    let mut window = Vec::with_capacity(CHUNK.saturating_mul(2));
    let (mut last, mut groups) = (None, usize::from(is_commit_at(path, stop)?));
    loop {
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut window)?;
        for candidate in window.windows(COMMIT_FRAME) {
            if let Some((header, payload)) = candidate.split_first_chunk::<8>()
                && header.starts_with(&COMMIT_PAYLOAD)
                && is_whole(header, payload)
                && let Some((_, number)) = parse_commit(payload).filter(|(_, number)| *number > survey.number)
            {
                last = last.max(Some(number));
                groups = groups.saturating_add(1);
            }
        }
        if read == 0 {
            return Ok(last.filter(|_| groups > 1));
        }
        let keep = window.len().saturating_sub(COMMIT_FRAME.saturating_sub(1));
        window.drain(..keep);
    }
}

/// Whether the frame that does not read was a commit: what follows it is another group then.
fn is_commit_at(path: &Path, at: u64) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut length = Vec::new();
    file.take(COMMIT_PAYLOAD.len() as u64).read_to_end(&mut length)?;
    Ok(length == COMMIT_PAYLOAD)
}

/// Gives the writes between `from` and `survey.end`, in order.
///
/// # Errors
/// When `each` fails, or the file does not read that far.
pub(in crate::store) fn replay(
    path: &Path,
    survey: Survey,
    from: u64,
    mut each: impl FnMut(Place, Option<&[u8]>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    replay_at(path, survey, from, |_, place, value| each(place, value))
}

/// Like [`replay`], and tells where each write's frame begins.
pub(super) fn replay_at(
    path: &Path,
    survey: Survey,
    from: u64,
    mut each: impl FnMut(u64, Place, Option<&[u8]>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(mut frames) = Frames::open(path)? else {
        return if survey.end == 0 { Ok(()) } else { Err(unreadable(0)) };
    };
    frames.skip_to(from)?;
    while frames.at < survey.end {
        let at = frames.at;
        let payload = frames.next()?.ok_or_else(|| unreadable(at))?;
        if parse_commit(payload).is_none() {
            let (place, value) = parse_write(payload).ok_or_else(|| unreadable(at))?;
            each(at, place, value)?;
        }
    }
    Ok(())
}

pub(super) fn unreadable(at: u64) -> Fault {
    Fault::Damaged(format!("the outbox journal does not read at byte {at}"))
}
