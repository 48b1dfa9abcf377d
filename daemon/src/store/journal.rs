//! The write-ahead log: what is written goes here first, with one fdatasync for a whole group, and into sled after that.
//!
//! Of what sled may lose it holds everything: every write since sled was last made durable (a checkpoint), and before that what can't
//! be fetched again, which is the outbox and the registry (rule R44). It knows of keys and bytes only. One frame for each write,
//! then one that commits the group with the number of its last write set; what follows the last commit never happened.
//!
//! ```text
//! file   "AESYNCJ1" frame*
//! frame  length: u32, crc32 of the payload: u32, payload        numbers little-endian
//! write  tree: u8, put: u8, key length: u32, key, value
//! commit 0xFE, number: u64
//! checkpoint 0xFF, number: u64        commits as well; sled has everything up to here durably
//! ```
//!
//! While groups are small, zeros are written ahead of them: to write over what a file has already leaves its metadata as it is, without
//! which fdatasync takes about half the time.
//!
//! The numbers are also the witness against sled: cut or damaged files make sled return to an earlier state without a word.

mod frames;
mod watch;

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::database::{Database, Fault, Place, Tree, Writes};
use super::disk::{self, Output, sync_dir};
use super::keys;
#[cfg(test)]
use super::without::{Rule, is_out};
use frames::{
    CHECKPOINT, COMMIT, COMMIT_FRAME, Frames, MAGIC, frame_len, is_whole, parse_commit, parse_write, push_commit, push_write,
};

pub(super) use watch::{Seen, check};

/// A smaller file is never compacted. Tests compact all the time.
const COMPACT_FLOOR: u64 = if cfg!(test) { 64 * 1024 } else { CHECKPOINT_BYTES };
/// sled is made durable when this much was written since: what a start after a crash replays, about 0.3 s of work.
const CHECKPOINT_BYTES: u64 = 8 * 1024 * 1024;
/// Zeros that are written at once, ahead of groups of up to [`SMALL`] bytes.
const AHEAD: usize = if cfg!(test) { 8 * 1024 } else { 1024 * 1024 };
const SMALL: usize = AHEAD / 8;
/// A rewrite writes this much at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// What a journal file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// The number of the last committed write set; 0 when there is none.
    pub(super) number: u64,
    /// Where the last commit ends; 0 when not even the file's beginning reads.
    pub(super) end: u64,
    /// The number of the last write set before the last checkpoint.
    pub(super) checkpoint: u64,
    /// Where the last checkpoint ends.
    pub(super) checkpoint_end: u64,
    /// The number of the last commit behind a place that does not read: the file was damaged, not torn by a power cut.
    pub(super) beyond: Option<u64>,
    /// The file's size.
    pub(super) size: u64,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Output,
    /// What stands up to the last commit.
    committed: Survey,
    /// Up to where there are zeros, if that is behind what is committed.
    filled: u64,
    /// Bytes of frames that are still true.
    live: u64,
    /// Compaction waits until the file is larger than this.
    floor: u64,
    /// A sync failed, so the file may lack what was synced before: only a new one is sure.
    suspect: bool,
}

impl Journal {
    /// Appends to the journal at `path` behind `survey.end`; what stands behind it is cut off.
    pub(super) fn open(path: &Path, survey: Survey, database: &Database) -> Result<Self, Fault> {
        let mut file = Output::open(path, survey.end)?;
        if survey.size > survey.end {
            file.cut(survey.end)?;
            file.sync()?;
        }
        let committed = Survey { size: survey.end, beyond: None, ..survey };
        let mut live = 0_u64;
        each_live(database, |place, value| {
            live = live.saturating_add(frame_len(&place.1, value.len()));
            Ok(())
        })?;
        Ok(Self { path: path.to_path_buf(), file, committed, filled: 0, live, floor: COMPACT_FLOOR, suspect: false })
    }

    /// Writes a new journal of what the database holds, and puts it in the place of the one at `path`. The database must be durable:
    /// the new journal begins with a checkpoint.
    pub(super) fn rewrite(path: &Path, database: &Database, number: u64) -> Result<Self, Fault> {
        let fresh = path.with_extension("new");
        let rewritten = Self::write_fresh(&fresh, database, number).and_then(|(mut file, live)| {
            file.rename(path)?;
            if let Some(dir) = path.parent() {
                sync_dir(dir)?;
            }
            let end = file.position();
            let committed = Survey { number, end, checkpoint: number, checkpoint_end: end, beyond: None, size: end };
            Ok(Self { path: path.to_path_buf(), file, committed, filled: 0, live, floor: COMPACT_FLOOR, suspect: false })
        });
        if rewritten.is_err() && fresh.exists() {
            // On a full disk it stands in the way of what would help.
            let _ = disk::remove(&fresh);
        }
        rewritten
    }

    fn write_fresh(path: &Path, database: &Database, number: u64) -> Result<(Output, u64), Fault> {
        let mut file = Output::create(path)?;
        let mut chunk = MAGIC.to_vec();
        let mut live = 0_u64;
        each_live(database, |place, value| {
            live = live.saturating_add(frame_len(&place.1, value.len()));
            push_write(&mut chunk, place, Some(value))?;
            if chunk.len() >= CHUNK {
                file.write(&chunk)?;
                chunk.clear();
            }
            Ok(())
        })?;
        push_commit(&mut chunk, CHECKPOINT, number)?;
        file.write(&chunk)?;
        file.sync()?;
        Ok((file, live))
    }

    /// Makes a group durable, with one fdatasync.
    ///
    /// # Errors
    /// Nothing of the group is committed then. When [`is_suspect`](Self::is_suspect), the journal must be rewritten.
    pub(super) fn commit(&mut self, group: &Writes, number: u64) -> io::Result<()> {
        #[cfg(test)]
        if is_out(Rule::OneWrite) && group.keys().any(|(tree, _)| *tree == Tree::Replica) {
            let (first, rest) = group.clone().into_iter().partition(|((tree, _), _)| matches!(tree, Tree::Meta | Tree::Feed));
            self.commit_at_once(&first, number)?;
            return self.commit_at_once(&rest, number);
        }
        self.commit_at_once(group, number)
    }

    fn commit_at_once(&mut self, group: &Writes, number: u64) -> io::Result<()> {
        let length = group.iter().map(|((_, key), value)| frame_len(key, value.as_ref().map_or(0, Vec::len))).sum::<u64>();
        let mut frames = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(COMMIT_FRAME));
        for (place, value) in group {
            push_write(&mut frames, place, value.as_deref())?;
        }
        push_commit(&mut frames, COMMIT, number)?;
        self.append(&frames)?;
        self.committed = Survey { number, ..self.committed };
        Ok(())
    }

    /// Notes that the database has everything up to the last commit durably.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(super) fn checkpoint(&mut self) -> io::Result<()> {
        let mut frame = Vec::new();
        push_commit(&mut frame, CHECKPOINT, self.committed.number)?;
        self.append(&frame)?;
        self.committed.checkpoint = self.committed.number;
        self.committed.checkpoint_end = self.committed.end;
        Ok(())
    }

    fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let end = self.committed.end;
        self.fill_ahead(frames.len());
        if let Err(error) = self.file.write(frames) {
            // A part of it may be there; it is no group without its commit, but the next one must not stand behind it.
            self.suspect |= self.cut(end).is_err();
            return Err(error);
        }
        if let Err(error) = self.sync() {
            self.suspect = true;
            // The group is taken back, so no later start may find it here.
            self.cut(end)?;
            return Err(error);
        }
        self.committed.end = self.file.position();
        self.committed.size = self.committed.end;
        Ok(())
    }

    /// Makes sure that what is about to be written has zeros in its place.
    fn fill_ahead(&mut self, length: usize) {
        let end = self.committed.end;
        if length > SMALL || end.saturating_add(length as u64) <= self.filled {
            return;
        }
        // Where there is no room for them, there may be some for the group.
        self.filled = match self.file.fill(AHEAD) {
            Ok(()) => end.saturating_add(AHEAD as u64),
            Err(_) => self.cut(end).map_or(0, |()| end),
        };
    }

    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.filled = 0;
        self.file.cut(end)
    }

    /// Takes away what zeros are left, at a clean stop. A start does the same.
    pub(super) fn cut_ahead(&mut self) -> io::Result<()> {
        if self.filled > self.committed.end { self.cut(self.committed.end) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        if is_out(Rule::DurableBeforeTheAnswer) {
            return Ok(());
        }
        self.file.sync()
    }

    /// Keeps count of what is still true, once a write is in the database: `previous` is the length of what stood there.
    pub(super) fn account(&mut self, place: &Place, value: Option<&[u8]>, previous: Option<usize>) {
        if keys::is_journaled(place) {
            let len = |value: Option<usize>| value.map_or(0, |length| frame_len(&place.1, length));
            self.live = self.live.saturating_add(len(value.map(<[u8]>::len))).saturating_sub(len(previous));
        }
    }

    /// What stands up to the last commit.
    pub(super) const fn committed(&self) -> Survey {
        self.committed
    }

    /// Bytes of frames that are still true, without those that only wait for a checkpoint.
    pub(super) const fn live(&self) -> u64 {
        self.live
    }

    /// Whether only a rewritten journal is sure.
    pub(super) const fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether much was written since the database was last made durable.
    pub(super) const fn wants_checkpoint(&self) -> bool {
        self.committed.end.saturating_sub(self.committed.checkpoint_end) > CHECKPOINT_BYTES || self.wants_compaction()
    }

    /// Whether more than half of it is no longer true.
    pub(super) const fn wants_compaction(&self) -> bool {
        self.committed.end > self.floor && self.committed.end / 2 > self.live
    }

    /// Rewrites it, when it wants that, from a database that is durable; on failure the old one stays.
    pub(super) fn compact(&mut self, database: &Database) -> Result<(), Fault> {
        if !self.wants_compaction() {
            return Ok(());
        }
        self.floor = self.committed.end.saturating_mul(2);
        *self = Self::rewrite(&self.path, database, self.committed.number)?;
        Ok(())
    }
}

/// Looks through a journal file; a missing one is empty. What is torn or damaged ends it.
pub(super) fn survey(path: &Path) -> io::Result<Survey> {
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
        survey.beyond = last_commit_behind(path, survey)?;
    }
    Ok(survey)
}

/// The number of the last commit that stands whole behind the end of what reads, of a group that is not in front of it.
fn last_commit_behind(path: &Path, survey: Survey) -> io::Result<Option<u64>> {
    let mut file = BufReader::with_capacity(CHUNK, File::open(path)?);
    io::copy(&mut file.by_ref().take(survey.end), &mut io::sink())?;
    let mut window = Vec::with_capacity(CHUNK.saturating_mul(2));
    let mut found = None;
    loop {
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut window)?;
        for candidate in window.windows(COMMIT_FRAME) {
            if let Some((header, payload)) = candidate.split_first_chunk::<8>()
                && header.starts_with(&9_u32.to_le_bytes())
                && is_whole(header, payload)
                && let Some((_, number)) = parse_commit(payload)
            {
                found = found.max(Some(number).filter(|number| *number > survey.number));
            }
        }
        if read == 0 {
            return Ok(found);
        }
        let keep = window.len().saturating_sub(COMMIT_FRAME.saturating_sub(1));
        window.drain(..keep);
    }
}

/// Gives the writes between `from` and `survey.end`, in order.
pub(super) fn replay(
    path: &Path,
    survey: Survey,
    from: u64,
    mut each: impl FnMut(Place, Option<&[u8]>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(mut frames) = Frames::open(path)? else { return Ok(()) };
    frames.skip_to(from)?;
    while frames.at < survey.end
        && let Some(payload) = frames.next()?
    {
        if parse_commit(payload).is_some() {
            continue;
        }
        let (place, value) =
            parse_write(payload).ok_or_else(|| Fault::Damaged("a frame of the journal is no write".to_owned()))?;
        each(place, value)?;
    }
    Ok(())
}

/// The values that the journal keeps, as the database has them.
fn each_live(database: &Database, mut each: impl FnMut(&Place, &[u8]) -> io::Result<()>) -> Result<(), Fault> {
    let mut outcome = Ok(());
    for tree in [Tree::Outbox, Tree::Meta] {
        database.scan(tree, &[], Bound::Unbounded, |key, value| {
            let place = (tree, key.to_vec());
            if keys::is_journaled(&place) {
                outcome = each(&place, value);
            }
            outcome.is_ok()
        })?;
    }
    outcome.map_err(Fault::Io)
}
