//! Large values stand apart from their keys, in pieces.
//!
//! sled keeps sixteen values to a leaf, and puts a leaf of more than 64 KB into a file of its own, which its cache does not count: a
//! thousand rows of 20 KB would stay in memory whatever the cache's bound is. So a tree holds a mark in the place of a large value, and
//! the pieces are in a tree of their own, in the order in which they were written.
//!
//! ```text
//! mark   0xA7, number: u128 big-endian, length: u32 big-endian
//! piece  number: u128, index: u32, both big-endian    at most PIECE bytes of the value
//! ```
//!
//! A number is used once: it begins with the dice of the open, so that a mark whose pieces were lost never names another value's.

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use super::database::Tree;

/// A value of the replica of more bytes than this stands apart: a leaf is written anew whenever ten of its values changed, and records change
/// in no order.
const INLINE: usize = 1_000;
/// Bytes of a piece at most: seventeen of them, the most that a leaf holds before it is split, are less than 64 KB.
const PIECE: usize = 3_000;
/// Pieces that are removed in one step.
const STEP: usize = 1_000;
/// Values of other trees come in the order of their keys, and stand apart when they are larger than a piece.
const INLINE_IN_ORDER: usize = PIECE;
/// What a mark begins with. Values begin with their version, which is a small number.
const MARK: u8 = 0xA7;
/// A whole mark, in bytes.
const MARK_BYTES: usize = 21;

/// Where a value stands that is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    number: u128,
    /// The value's length, in bytes.
    pub(super) length: u32,
}

impl Mark {
    /// The mark, when that is what stands in a tree.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (number, rest) = rest.split_first_chunk::<16>()?;
        let length = u32::from_be_bytes(*rest.first_chunk::<4>()?);
        (*kind == MARK && bytes.len() == MARK_BYTES).then(|| Self { number: u128::from_be_bytes(*number), length })
    }

    /// What stands in the tree.
    pub(super) fn bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [MARK; MARK_BYTES];
        let number = self.number.to_be_bytes();
        let content = number.into_iter().chain(self.length.to_be_bytes());
        bytes.iter_mut().skip(1).zip(content).for_each(|(place, byte)| *place = byte);
        bytes
    }

    fn piece_keys(self) -> impl Iterator<Item = [u8; 20]> {
        let pieces = self.length.div_ceil(u32::try_from(PIECE).unwrap_or(u32::MAX));
        (0..pieces).map(move |index| {
            let mut key = [0; 20];
            let content = self.number.to_be_bytes().into_iter().chain(index.to_be_bytes());
            key.iter_mut().zip(content).for_each(|(place, byte)| *place = byte);
            key
        })
    }
}

/// The tree of the pieces.
#[derive(Debug)]
pub(super) struct Apart {
    tree: sled::Tree,
    /// The upper half of the numbers that are given out.
    dice: u64,
    /// The lower half of the next one.
    next: AtomicU64,
}

impl Apart {
    /// The values that stand apart in `db`.
    pub(super) fn open(db: &sled::Db) -> sled::Result<Self> {
        let (dice, _) = uuid::Uuid::new_v4().as_u64_pair();
        Ok(Self { tree: db.open_tree("apart")?, dice, next: AtomicU64::new(0) })
    }

    /// Whether a value has to stand apart: it is large, or would pass for a mark.
    pub(super) fn takes(tree: Tree, value: &[u8]) -> bool {
        let inline = if tree == Tree::Replica { INLINE } else { INLINE_IN_ORDER };
        value.len() > inline || value.first() == Some(&MARK)
    }

    /// Stores a value; its mark is to be stored after it.
    pub(super) fn put(&self, value: &[u8]) -> sled::Result<Mark> {
        let too_long = |_| sled::Error::Unsupported("a value of 4 GiB".to_owned());
        let length = u32::try_from(value.len()).map_err(too_long)?;
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let mark = Mark { number: (u128::from(self.dice) << 64) | u128::from(next), length };
        for (key, piece) in mark.piece_keys().zip(value.chunks(PIECE)) {
            self.tree.insert(key, piece)?;
        }
        Ok(mark)
    }

    /// The value; none when not all of it is there.
    pub(super) fn get(&self, mark: Mark) -> sled::Result<Option<sled::IVec>> {
        let mut value = Vec::new();
        for key in mark.piece_keys() {
            let Some(piece) = self.tree.get(key)? else { return Ok(None) };
            value.extend_from_slice(&piece);
        }
        Ok(Some(sled::IVec::from(value)).filter(|value| u32::try_from(value.len()) == Ok(mark.length)))
    }

    /// Removes a value whose mark is gone: the pieces that are there, whatever length a damaged mark tells.
    pub(super) fn remove(&self, mark: Mark) -> sled::Result<()> {
        loop {
            let step: Vec<_> = self.tree.scan_prefix(mark.number.to_be_bytes()).keys().take(STEP).collect::<sled::Result<_>>()?;
            if step.is_empty() {
                return Ok(());
            }
            for key in step {
                self.tree.remove(key)?;
            }
        }
    }

    /// All pieces, in order, as long as `each` wants more.
    pub(super) fn scan(&self, from: Bound<&[u8]>, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> sled::Result<()> {
        for pair in self.tree.range::<&[u8], _>((from, Bound::Unbounded)) {
            let (key, piece) = pair?;
            if !each(&key, &piece) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_as_it_was_written_and_nothing_else_passes_for_one() {
        let mark = Mark { number: (7 << 64) | 9, length: 20_000 };
        assert_eq!(Mark::parse(&mark.bytes()), Some(mark));
        assert_eq!(Mark::parse(&mark.bytes()[..20]), None);
        assert_eq!(Mark::parse(&[mark.bytes().as_slice(), &[0]].concat()), None);
        assert_eq!(Mark::parse(&[1; MARK_BYTES]), None);
        assert!(Apart::takes(Tree::Meta, &[MARK]), "so that it is not taken for a mark");
    }
}
