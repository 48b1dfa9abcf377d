//! The journal's frames: how a write and a commit are put into bytes, and read from a file again.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::super::database::{Place, Tree};

pub(super) const MAGIC: &[u8; 8] = b"AESYNCJ1";
/// The first byte of a commit's payload; trees have small numbers.
pub(super) const COMMIT: u8 = 0xFE;
/// The first byte of a checkpoint's payload.
pub(super) const CHECKPOINT: u8 = 0xFF;
/// Bytes that are read at once.
const READ_AHEAD: usize = 128 * 1024;
/// What stands before a payload.
const FRAME_HEADER: u64 = 8;
/// What stands in a write's payload before its key.
const WRITE_HEADER: u64 = 6;
/// A whole commit frame, in bytes.
pub(super) const COMMIT_FRAME: usize = 17;

/// The frames of a file, up to the first that is not whole.
pub(super) struct Frames {
    file: BufReader<File>,
    payload: Vec<u8>,
    /// Where the next frame begins; 0 when the file does not begin as a journal.
    pub(super) at: u64,
    pub(super) size: u64,
}

impl Frames {
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        let mut file = BufReader::with_capacity(READ_AHEAD, file);
        let mut magic = [0; MAGIC.len()];
        let begins = read_whole(&mut file, &mut magic)? && &magic == MAGIC;
        Ok(Some(Self { file, payload: Vec::new(), at: if begins { MAGIC.len() as u64 } else { 0 }, size }))
    }

    /// Goes on at a place where a frame begins.
    pub(super) fn skip_to(&mut self, at: u64) -> io::Result<()> {
        if at > self.at && self.at > 0 {
            let ahead = i64::try_from(at.saturating_sub(self.at)).map_err(|_| io::ErrorKind::InvalidInput)?;
            // Within what was read already it costs nothing.
            self.file.seek_relative(ahead)?;
            self.at = at;
        }
        Ok(())
    }

    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut header = [0; 8];
        if self.at == 0 || !read_whole(&mut self.file, &mut header)? {
            return Ok(None);
        }
        let [l0, l1, l2, l3, ..] = header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let rest = self.size.saturating_sub(self.at).saturating_sub(FRAME_HEADER);
        let Ok(wanted) = usize::try_from(length) else { return Ok(None) };
        // Zeros pass for an empty frame with a fitting checksum, and a torn length must not reserve memory.
        if length == 0 || u64::from(length) > rest {
            return Ok(None);
        }
        self.payload.resize(wanted, 0);
        if !read_whole(&mut self.file, &mut self.payload)? || !is_whole(&header, &self.payload) {
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

pub(super) const fn frame_len(key: &[u8], value_len: usize) -> u64 {
    FRAME_HEADER + WRITE_HEADER + key.len() as u64 + value_len as u64
}

pub(super) fn push_write(out: &mut Vec<u8>, (tree, key): &Place, value: Option<&[u8]>) -> io::Result<()> {
    let key_length = u32::try_from(key.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let put = u8::from(value.is_some());
    push_frame(out, &[&[*tree as u8, put], &key_length.to_le_bytes(), key, value.unwrap_or_default()])
}

pub(super) fn push_commit(out: &mut Vec<u8>, kind: u8, number: u64) -> io::Result<()> {
    push_frame(out, &[&[kind], &number.to_le_bytes()])
}

fn push_frame(out: &mut Vec<u8>, parts: &[&[u8]]) -> io::Result<()> {
    let length = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
    let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Whether a payload is the one that its header was written for.
pub(super) fn is_whole(header: &[u8; 8], payload: &[u8]) -> bool {
    let [.., c0, c1, c2, c3] = *header;
    crc32fast::hash(payload) == u32::from_le_bytes([c0, c1, c2, c3])
}

pub(super) fn parse_commit(payload: &[u8]) -> Option<(u8, u64)> {
    let (&kind, number) = payload.split_first()?;
    matches!(kind, COMMIT | CHECKPOINT).then_some(())?;
    Some((kind, u64::from_le_bytes(number.try_into().ok()?)))
}

pub(super) fn parse_write(payload: &[u8]) -> Option<(Place, Option<&[u8]>)> {
    let ([tree, put], rest) = payload.split_first_chunk::<2>()?;
    let (key_length, rest) = rest.split_first_chunk::<4>()?;
    let (key, value) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*key_length)).ok()?)?;
    Some(((Tree::from_number(*tree)?, key.to_vec()), (*put == 1).then_some(value)))
}
