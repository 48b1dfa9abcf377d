//! The outbox once more, beside sled: an append-only file from which the outbox can always be rebuilt (rule R44).
//!
//! It mirrors what is written to the places of [`keys::is_journaled`], so it knows of keys and bytes only. One frame for each
//! write, then one that commits the group with the number of its last write set; what follows the last commit never happened.
//!
//! ```text
//! file   "AESYNCJ1" frame*
//! frame  length: u32, crc32 of the payload: u32, payload        numbers little-endian
//! write  tree: u8, put: u8, key length: u32, key, value
//! commit 0xFF, number: u64
//! ```
//!
//! The number is also the witness against sled: cut or damaged files make sled return to an earlier state without a word.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::database::{Database, Fault, Place, Tree, sync_dir};
use super::keys;

const MAGIC: &[u8; 8] = b"AESYNCJ1";
/// The first byte of a commit's payload; trees have small numbers.
const COMMIT: u8 = 0xFF;
/// What stands before a payload.
const FRAME_HEADER: u64 = 8;
/// What stands in a write's payload before its key.
const WRITE_HEADER: u64 = 6;
/// A smaller file is never compacted.
const COMPACT_FLOOR: u64 = 1024 * 1024;

/// What a journal file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// The number of the last committed write set; 0 when there is none.
    pub(super) number: u64,
    /// Where the last commit ends; 0 when not even the file's beginning reads.
    pub(super) end: u64,
    /// The file's size.
    pub(super) size: u64,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// The frames of the group that is not committed yet.
    pending: Vec<u8>,
    /// Bytes up to the last commit.
    len: u64,
    /// Bytes of frames that are still true, the pending ones included.
    live: u64,
    /// Compaction waits until the file is larger than this.
    floor: u64,
}

impl Journal {
    /// Appends to the journal at `path` behind `survey.end`; what stands behind it is cut off.
    pub(super) fn open(path: &Path, survey: Survey, database: &Database) -> Result<Self, Fault> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if survey.size > survey.end {
            file.set_len(survey.end)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::End(0))?;
        let mut live = 0_u64;
        each_live(database, |place, value| {
            live = live.saturating_add(frame_len(&place.1, value));
            Ok(())
        })?;
        Ok(Self { path: path.to_path_buf(), file, pending: Vec::new(), len: survey.end, live, floor: COMPACT_FLOOR })
    }

    /// Writes a new journal of what the database holds, and puts it in the place of the one at `path`.
    pub(super) fn rewrite(path: &Path, database: &Database, number: u64) -> Result<Self, Fault> {
        let fresh = path.with_extension("new");
        let mut out = BufWriter::new(File::create(&fresh)?);
        out.write_all(MAGIC)?;
        let mut live = 0_u64;
        each_live(database, |place, value| {
            live = live.saturating_add(frame_len(&place.1, value));
            out.write_all(&write_frame(place, Some(value))?)
        })?;
        out.write_all(&commit_frame(number)?)?;
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let len = file.stream_position()?;
        fs::rename(&fresh, path)?;
        if let Some(dir) = path.parent() {
            sync_dir(dir)?;
        }
        Ok(Self { path: path.to_path_buf(), file, pending: Vec::new(), len, live, floor: COMPACT_FLOOR })
    }

    /// Notes a write for the next commit, where it is one to be kept. `previous` is what stood there.
    pub(super) fn record(&mut self, place: &Place, value: Option<&[u8]>, previous: Option<&[u8]>) -> io::Result<()> {
        if !keys::is_journaled(place) {
            return Ok(());
        }
        self.pending.extend_from_slice(&write_frame(place, value)?);
        let len = |value: Option<&[u8]>| value.map_or(0, |value| frame_len(&place.1, value));
        self.live = self.live.saturating_add(len(value)).saturating_sub(len(previous));
        Ok(())
    }

    /// Makes the group durable, with one fdatasync. After an error the journal must be rewritten.
    pub(super) fn commit(&mut self, number: u64) -> io::Result<()> {
        self.pending.extend_from_slice(&commit_frame(number)?);
        if let Err(error) = self.file.write_all(&self.pending).and_then(|()| self.file.sync_data()) {
            // The group is taken back, so no later start may find it here.
            self.file.set_len(self.len)?;
            return Err(error);
        }
        self.len = self.len.saturating_add(self.pending.len() as u64);
        self.pending.clear();
        Ok(())
    }

    /// Rewrites the journal when more than half of it is no longer true; on failure the old one stays.
    pub(super) fn compact(&mut self, database: &Database, number: u64) -> Result<(), Fault> {
        if self.len <= self.floor || self.len / 2 <= self.live {
            return Ok(());
        }
        self.floor = self.len.saturating_mul(2);
        *self = Self::rewrite(&self.path, database, number)?;
        Ok(())
    }
}

/// Looks through a journal file; a missing one is empty. What is torn or damaged ends it.
pub(super) fn survey(path: &Path) -> io::Result<Survey> {
    let Some(mut frames) = Frames::open(path)? else { return Ok(Survey::default()) };
    let mut survey = Survey { number: 0, end: frames.at, size: frames.size };
    while let Some(payload) = frames.next()? {
        if let Some((&COMMIT, number)) = payload.split_first()
            && let Ok(number) = number.try_into()
        {
            survey = Survey { number: u64::from_le_bytes(number), end: frames.at, ..survey };
        }
    }
    Ok(survey)
}

/// Gives the writes up to `survey.end`, in order.
pub(super) fn replay(
    path: &Path,
    survey: Survey,
    mut each: impl FnMut(Place, Option<&[u8]>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(mut frames) = Frames::open(path)? else { return Ok(()) };
    while frames.at < survey.end
        && let Some(payload) = frames.next()?
    {
        if payload.first() == Some(&COMMIT) {
            continue;
        }
        let (place, value) =
            parse_write(payload).ok_or_else(|| Fault::Damaged("a frame of the journal is no write".to_owned()))?;
        each(place, value)?;
    }
    Ok(())
}

/// The frames of a file, up to the first that is not whole.
struct Frames {
    file: BufReader<File>,
    payload: Vec<u8>,
    /// Where the next frame begins; 0 when the file does not begin as a journal.
    at: u64,
    size: u64,
}

impl Frames {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let mut magic = [0; MAGIC.len()];
        let begins = read_whole(&mut file, &mut magic)? && &magic == MAGIC;
        Ok(Some(Self { file, payload: Vec::new(), at: if begins { MAGIC.len() as u64 } else { 0 }, size }))
    }

    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut header = [0; 8];
        if self.at == 0 || !read_whole(&mut self.file, &mut header)? {
            return Ok(None);
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3] = header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let rest = self.size.saturating_sub(self.at).saturating_sub(FRAME_HEADER);
        let Ok(wanted) = usize::try_from(length) else { return Ok(None) };
        // Zeros pass for an empty frame with a fitting checksum, and a torn length must not reserve memory.
        if length == 0 || u64::from(length) > rest {
            return Ok(None);
        }
        self.payload.resize(wanted, 0);
        let whole = read_whole(&mut self.file, &mut self.payload)?
            && crc32fast::hash(&self.payload) == u32::from_le_bytes([c0, c1, c2, c3]);
        if !whole {
            return Ok(None);
        }
        self.at = self.at.saturating_add(FRAME_HEADER).saturating_add(u64::from(length));
        Ok(Some(&self.payload))
    }
}

/// Fills `buffer`, or says that the file ends before.
fn read_whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
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

const fn frame_len(key: &[u8], value: &[u8]) -> u64 {
    FRAME_HEADER + WRITE_HEADER + key.len() as u64 + value.len() as u64
}

fn write_frame((tree, key): &Place, value: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let key_length = u32::try_from(key.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let put = u8::from(value.is_some());
    frame(&[&[*tree as u8, put], &key_length.to_le_bytes(), key, value.unwrap_or_default()])
}

fn commit_frame(number: u64) -> io::Result<Vec<u8>> {
    frame(&[&[COMMIT], &number.to_le_bytes()])
}

fn frame(parts: &[&[u8]]) -> io::Result<Vec<u8>> {
    let payload = parts.concat();
    let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok([&length.to_le_bytes(), &crc32fast::hash(&payload).to_le_bytes(), payload.as_slice()].concat())
}

fn parse_write(payload: &[u8]) -> Option<(Place, Option<&[u8]>)> {
    let ([tree, put], rest) = payload.split_first_chunk::<2>()?;
    let (key_length, rest) = rest.split_first_chunk::<4>()?;
    let (key, value) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*key_length)).ok()?)?;
    Some(((Tree::from_number(*tree)?, key.to_vec()), (*put == 1).then_some(value)))
}
