//! All values but the smallest stand in one file beside sled, which keeps where each of them is: a mark.
//!
//! sled keeps sixteen values to a leaf and writes all of them anew whenever ten changed, so that what it holds itself must be small; and
//! a leaf of more than 64 KB goes into a file of its own, which its cache does not count. The file is only ever appended to. What no mark
//! names any more goes with the next rewrite of the whole database.
//!
//! ```text
//! mark   0xA8, offset: u64 big-endian, length: u32 big-endian
//! ```
//!
//! A mark may outlive its bytes in a power cut, and other ones may come to stand in their place. Each value's checksum covers its key, so
//! that it does not pass for what the mark meant, and the journal has it as long as that can happen.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::{Input, Output};
#[cfg(test)]
use super::without::{Rule, is_out};

/// The file's name.
pub(super) const NAME: &str = "values";
/// What a mark begins with. Values begin with their version, which is a small number.
const MARK: u8 = 0xA8;
/// A whole mark, in bytes.
const MARK_BYTES: usize = 13;

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where it begins in the file, in bytes.
    pub(super) offset: u64,
    /// The value's length, in bytes.
    pub(super) length: u32,
}

impl Mark {
    /// The mark, when that is what stands in a tree.
    pub(super) fn parse(stored: &[u8]) -> Option<Self> {
        let (kind, rest) = stored.split_first()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let length = u32::from_be_bytes(rest.try_into().ok()?);
        (*kind == MARK).then(|| Self { offset: u64::from_be_bytes(*offset), length })
    }

    /// What stands in the tree.
    pub(super) fn bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [MARK; MARK_BYTES];
        let content = self.offset.to_be_bytes().into_iter().chain(self.length.to_be_bytes());
        bytes.iter_mut().skip(1).zip(content).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// Whether a value could be taken for a mark, of this format or of one before it.
    pub(super) fn is_like(value: &[u8]) -> bool {
        matches!(value.first(), Some(&(MARK | super::legacy::MARK)))
    }
}

/// The length of the value for which `stored` stands in a tree, in bytes.
pub(super) fn length(stored: &[u8]) -> usize {
    Mark::parse(stored).map_or(stored.len(), |mark| usize::try_from(mark.length).unwrap_or(usize::MAX))
}

/// The open file.
#[derive(Debug)]
pub(super) struct Values {
    input: Input,
    output: Mutex<Output>,
}

impl Values {
    /// The file in `dir`, which is made when it is missing: its name is durable once the directory is.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        let output = match path.metadata() {
            Ok(found) => Output::open(&path, found.len())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Output::create(&path)?,
            Err(error) => return Err(error),
        };
        Ok(Self { input: Input::open(&path)?, output: Mutex::new(output) })
    }

    /// The bytes at a mark; none when the file ends before.
    pub(super) fn get(&self, mark: Mark) -> io::Result<Option<Vec<u8>>> {
        self.input.read(mark.offset, mark.length)
    }

    /// The end of the file, for whoever appends to it.
    pub(super) fn end(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync(&self.end())
    }
}

/// Makes what was appended to the file durable, for whoever holds its [end](Values::end).
pub(super) fn sync(end: &Output) -> io::Result<()> {
    #[cfg(test)]
    if is_out(Rule::ValuesDurableFirst) {
        return Ok(());
    }
    end.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_as_it_was_written_and_nothing_else_passes_for_one() {
        let mark = Mark { offset: (7 << 40) | 9, length: 20_000 };
        assert_eq!(Mark::parse(&mark.bytes()), Some(mark));
        assert_eq!(Mark::parse(&mark.bytes()[..12]), None);
        assert_eq!(Mark::parse(&[mark.bytes().as_slice(), &[0]].concat()), None);
        assert_eq!(Mark::parse(&[1; MARK_BYTES]), None);
        assert!(Mark::is_like(&[MARK]), "so that it is not taken for a mark");
        assert_eq!((length(&mark.bytes()), length(&[1; 5])), (20_000, 5));
    }

    #[test]
    fn what_was_appended_is_found_again_and_what_lies_behind_the_end_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        for (offset, value) in [(0, b"one".as_slice()), (3, b"three")] {
            let values = Values::open(dir.path()).expect("opened, and opened again");
            assert_eq!(values.end().position(), offset);
            values.end().write(value).expect("written");
            let mark = Mark { offset, length: u32::try_from(value.len()).expect("short") };
            assert_eq!(values.get(mark).expect("readable").as_deref(), Some(value));
            assert_eq!(values.get(Mark { length: mark.length + 1, ..mark }).expect("readable"), None);
            assert_eq!(values.get(Mark { offset: u64::MAX, ..mark }).expect("readable"), None);
            assert_eq!(values.get(Mark { length: u32::MAX, ..mark }).expect("readable"), None, "and no memory is taken for it");
        }
    }
}
