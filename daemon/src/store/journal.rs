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
mod fresh;
mod live;
mod read;
mod watch;

use std::io;
use std::path::{Path, PathBuf};

#[cfg(test)]
use super::database::Tree;
use super::database::{Database, Place, Writes};
use super::disk::{Output, sync_dir};
use super::fault::Fault;
use super::keys;
#[cfg(test)]
use super::without::{Rule, is_out};
use frames::{CHECKPOINT, COMMIT, COMMIT_FRAME, frame_len, push_commit, push_write};

pub(super) use fresh::Source;
pub(super) use live::{Digest, Hasher, Part, digest, each_part};
pub(super) use read::{Survey, replay, survey};
pub(super) use watch::{Seen, check};

/// A smaller file is never compacted. Tests compact all the time.
const COMPACT_FLOOR: u64 = if cfg!(test) { 64 * 1024 } else { CHECKPOINT_BYTES };
/// sled is made durable when this much was written since: what a start after a crash replays, about 0.3 s of work.
const CHECKPOINT_BYTES: u64 = 8 * 1024 * 1024;
/// Zeros that are written at once, ahead of groups of up to [`SMALL`] bytes.
const AHEAD: usize = if cfg!(test) { 8 * 1024 } else { 1024 * 1024 };
const SMALL: usize = AHEAD / 8;
/// Memory that is kept for the frames of the next group at most, in bytes.
const FRAMES_KEPT: usize = 1024 * 1024;

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
    /// The file took the place of another one, and a power cut may bring that one back.
    unnamed: bool,
    /// A group's frames: memory of this size comes from the system each time, and is filled with zeros before it is used.
    frames: Vec<u8>,
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
        fresh::each_stored(database, |place, value| {
            live = live.saturating_add(frame_len(&place.1, value.len()));
            Ok(())
        })?;
        Ok(Self::over(path, file, committed, live))
    }

    fn over(path: &Path, file: Output, committed: Survey, live: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            file,
            committed,
            filled: 0,
            live,
            floor: COMPACT_FLOOR,
            suspect: false,
            unnamed: false,
            frames: Vec::new(),
        }
    }

    /// Writes a new journal of what `source` has, and puts it in the place of the one at `path`. The database must have everything up to
    /// `number` durably: the new journal begins with a checkpoint.
    ///
    /// # Errors
    /// The journal at `path` is what it was. When only the new one's name is not durable, that is no error but [`is_suspect`](Self::is_suspect).
    pub(super) fn rewrite(path: &Path, source: Source<'_>, number: u64) -> Result<Self, Fault> {
        let (mut file, live) = fresh::write(path, source, number)?;
        file.rename(path)?;
        let end = file.position();
        let committed = Survey { number, end, checkpoint: number, checkpoint_end: end, beyond: None, size: end };
        let unnamed = sync_parent(path).is_err();
        Ok(Self { unnamed, ..Self::over(path, file, committed, live) })
    }

    /// Makes the file's name durable, if it is not.
    pub(super) fn make_name_durable(&mut self) -> io::Result<()> {
        if self.unnamed {
            sync_parent(&self.path)?;
            self.unnamed = false;
        }
        Ok(())
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
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        frames.reserve(usize::try_from(length).unwrap_or(0).saturating_add(COMMIT_FRAME));
        for (place, value) in group {
            push_write(&mut frames, place, value.as_deref())?;
        }
        push_commit(&mut frames, COMMIT, number)?;
        self.append(&frames)?;
        self.committed = Survey { number, ..self.committed };
        if frames.capacity() <= FRAMES_KEPT {
            self.frames = frames;
        }
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
        if self.is_suspect() {
            return Err(io::Error::other("the journal is to be made durable first"));
        }
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

    /// Keeps count of what is still true, once a value of this length is in the database, where one of the length `previous` had been.
    pub(super) fn account(&mut self, place: &Place, value: Option<usize>, previous: Option<usize>) {
        if keys::is_journaled(place) {
            let len = |value: Option<usize>| value.map_or(0, |length| frame_len(&place.1, length));
            self.live = self.live.saturating_add(len(value)).saturating_sub(len(previous));
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

    /// Whether nothing can be committed until [`make_name_durable`](Self::make_name_durable), and maybe a rewrite, were done.
    pub(super) const fn is_suspect(&self) -> bool {
        self.suspect || self.unnamed
    }

    /// Whether only a rewritten journal is sure.
    pub(super) const fn wants_rewrite(&self) -> bool {
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

    /// Rewrites it, when it wants that, beside a database that has everything durably.
    ///
    /// # Errors
    /// The old one stays; after a failure that leaves the journal [suspect](Self::is_suspect), the new one is in its place.
    pub(super) fn compact(&mut self, database: &Database) -> Result<(), Fault> {
        if !self.wants_compaction() {
            return Ok(());
        }
        self.floor = self.committed.end.saturating_mul(2);
        self.rewrite_here(database)
    }

    /// Rewrites it from what it holds itself. Where it does not read back, the database has all that is behind, and only whole values of
    /// it are taken.
    ///
    /// # Errors
    /// As [`compact`](Self::compact).
    pub(super) fn rewrite_here(&mut self, database: &Database) -> Result<(), Fault> {
        let number = self.committed.number;
        let rewritten = match Self::rewrite(&self.path, Source::Journal(self.committed), number) {
            Err(Fault::Damaged(reason)) => {
                tracing::error!(
                    reason,
                    "the outbox journal is damaged; it is written anew from the store, whose values are checked"
                );
                Self::rewrite(&self.path, Source::Checked(database), number)
            }
            rewritten => rewritten,
        };
        *self = rewritten?;
        if self.unnamed {
            return Err(Fault::Io(io::Error::other("the new journal's name is not durable")));
        }
        Ok(())
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_dir)
}
