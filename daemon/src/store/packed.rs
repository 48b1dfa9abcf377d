//! What has numbers that rise, changes and outbox entries, is packed: up to sixty-four of them, whose numbers differ in their last six bits
//! alone, are one value, a block. They come, change and go in order, and many at a time, so that sled has one place for all of them instead
//! of one for each, and the changes compress well together.
//!
//! ```text
//! key    what the keys begin with, number / 64: u64   big-endian
//! block  1, bytes when unpacked: u32, lz4             numbers little-endian
//! value  number % 64: u8, length: u32, value          what a block unpacks to, in order
//! ```
//!
//! A value that is [large](inline) stands apart, with its mark in its place in the block.

use std::collections::BTreeMap;

use super::database::Tree;
use super::keys;

/// Values in a block.
const SLOTS: u64 = 64;
/// The version of a block.
const VERSION: u8 = 1;
/// What stands before each value of a block.
const HEADER: usize = 5;
/// A change of more bytes than this stands apart, so that no block is large.
const INLINE_CHANGE: usize = 4_096;
/// Other values of more bytes than this do, blocks among them: what changes must not take with it what is around it.
pub(super) const INLINE: usize = 128;
/// The bookkeeping is little, and often written anew.
const INLINE_META: usize = 1_024;
/// The most that a block unpacks to, in bytes.
const MOST: usize = 64 * (HEADER + INLINE_CHANGE);

/// Values of a tree of more bytes than this stand apart.
pub(super) const fn inline(tree: Tree) -> usize {
    match tree {
        Tree::Feed => INLINE_CHANGE,
        Tree::Meta => INLINE_META,
        Tree::Replica | Tree::Outbox => INLINE,
    }
}

/// Whether a key of a tree is that of a value in a block, or of a block: they look the same.
pub(super) fn is_packed(tree: Tree, key: &[u8]) -> bool {
    match tree {
        Tree::Feed => keys::parse_change(key).is_some(),
        Tree::Outbox => keys::is_numbered(key),
        Tree::Replica | Tree::Meta => false,
    }
}

/// The key of the block that a value is in, and its slot there; none when it is in no block.
pub(super) fn place(tree: Tree, key: &[u8]) -> Option<(Vec<u8>, u8)> {
    let (prefix, number) = key.split_last_chunk::<8>().filter(|_| is_packed(tree, key))?;
    let number = u64::from_be_bytes(*number);
    let block = [prefix, &(number / SLOTS).to_be_bytes()].concat();
    Some((block, u8::try_from(number % SLOTS).ok()?))
}

/// No block with a value that is not before `key` has a key before this. `key` is that of a value, or what some begin with.
pub(super) fn floor(tree: Tree, key: &[u8]) -> Vec<u8> {
    place(tree, key).map_or_else(|| key.to_vec(), |(block, _)| block)
}

/// The key of a value of the block at `block`; none when no number has such a block.
pub(super) fn key(block: &[u8], slot: u8) -> Option<Vec<u8>> {
    let (prefix, number) = block.split_last_chunk::<8>()?;
    let number = u64::from_be_bytes(*number).checked_mul(SLOTS)?.checked_add(u64::from(slot))?;
    Some([prefix, &number.to_be_bytes()].concat())
}

/// Values, or their marks, by their slots in a block.
pub(super) type Slots = BTreeMap<u8, Vec<u8>>;

/// A block of these values.
pub(super) fn pack(slots: &Slots) -> Vec<u8> {
    let mut unpacked = Vec::with_capacity(slots.values().map(|value| HEADER.saturating_add(value.len())).sum());
    for (slot, value) in slots {
        unpacked.push(*slot);
        // What is longer stands apart.
        unpacked.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        unpacked.extend_from_slice(value);
    }
    let mut block = vec![VERSION];
    block.extend_from_slice(&lz4_flex::block::compress_prepend_size(&unpacked));
    block
}

/// The values of a block; none when it does not read.
pub(super) fn unpack(block: &[u8]) -> Option<Slots> {
    let mut slots = Slots::new();
    let unpacked = decompress(block)?;
    let mut rest = unpacked.as_slice();
    while let Some((slot, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<4>()?;
        let (value, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let is_next = slots.last_key_value().is_none_or(|(last, _)| last < slot);
        if u64::from(*slot) >= SLOTS || !is_next {
            return None;
        }
        slots.insert(*slot, value.to_vec());
        rest = after;
    }
    Some(slots)
}

fn decompress(block: &[u8]) -> Option<Vec<u8>> {
    let (version, packed) = block.split_first()?;
    let (size, compressed) = packed.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
    if *version != VERSION || size > MOST {
        return None;
    }
    // The size is that of its buffer to lz4, which is content with less.
    lz4_flex::block::decompress(compressed, size).ok().filter(|unpacked| unpacked.len() == size)
}

/// What a block counts as that does not read: each value that it may have had is there, and damaged, since it is too short for one. Nobody
/// must miss one without a word.
pub(super) fn lost() -> Slots {
    (0_u8..).take_while(|slot| u64::from(*slot) < SLOTS).map(|slot| (slot, Vec::new())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::durable::EpochId;
    use aesync_protocol::response::EntryState;

    fn slots() -> Slots {
        (0..64).step_by(3).map(|slot| (slot, vec![slot; usize::from(slot) * 7])).collect()
    }

    #[test]
    fn a_block_unpacks_to_what_was_packed() {
        for slots in [Slots::new(), slots(), lost(), (0..64).map(|slot| (slot, vec![9; INLINE_CHANGE])).collect()] {
            assert_eq!(unpack(&pack(&slots)), Some(slots));
        }
    }

    #[test]
    fn a_block_that_is_cut_off_or_has_a_bit_flipped_never_panics_and_is_never_longer() {
        let block = pack(&slots());
        assert_eq!(unpack(&[VERSION, 200, 0, 0, 0, 9]), None, "what lz4 takes for the beginning of more");
        for at in 0..block.len() {
            assert_eq!(unpack(&block[..at]), None, "cut at {at}");
            for bit in 0..8 {
                let mut flipped = block.clone();
                flipped[at] ^= 1 << bit;
                // What it unpacks to has checksums of its own.
                let bytes = unpack(&flipped).map_or(0, |slots| slots.values().map(Vec::len).sum());
                assert!(bytes <= MOST, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn the_keys_of_blocks_sort_as_their_values() {
        let epoch = EpochId(3);
        for number in [0, 1, 63, 64, 65, 1 << 40, u64::MAX] {
            for (tree, whole) in [
                (Tree::Feed, keys::change(epoch, number)),
                (Tree::Outbox, keys::entry(epoch, number)),
                (Tree::Outbox, keys::place(epoch, EntryState::Sent, number)),
            ] {
                let (block, slot) = place(tree, &whole).expect("it is packed");
                assert!(is_packed(tree, &block));
                assert_eq!(key(&block, slot).as_ref(), Some(&whole));
                assert!(block <= whole && floor(tree, &whole) == block);
            }
        }
        assert_eq!(key(&keys::change(epoch, u64::MAX), 0), None, "there is no such block");
    }

    #[test]
    fn only_what_has_a_number_is_packed() {
        let epoch = EpochId(3);
        assert_eq!(place(Tree::Feed, &keys::changes(epoch)), None);
        assert_eq!(floor(Tree::Feed, &keys::changes(epoch)), keys::changes(epoch));
        for id in ["", "12345678", "e12345678"] {
            assert_eq!(place(Tree::Outbox, &keys::answer(epoch, id)), None);
        }
        assert_eq!(place(Tree::Replica, &keys::row(epoch, "t", "12345678")), None);
        assert_eq!(place(Tree::Meta, &keys::ledger(epoch)), None);
    }
}
