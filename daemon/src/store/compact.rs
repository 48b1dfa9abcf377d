//! The keys of base rows and overlays, as they stand in sled: their ids take five bits for each character that ids usually have, a digit, a
//! dash or a letter from `a` to `f`, and thirteen for any other byte. sled keeps the end of a key with the key's node only up to
//! twenty-two bytes, and one allocation for each that is longer; the thirty-six characters of a UUID are twenty-three bytes so, of which a
//! node's keys share the first ones.
//!
//! Such keys sort as what they stand for.

use std::borrow::Cow;

use super::database::Tree;
use super::keys;

/// Bits of a code.
const BITS: u32 = 5;
/// The codes of what stands between the usual characters, in their order; the byte itself follows.
const BELOW_DASH: u8 = 1;
const BELOW_DIGITS: u8 = 3;
const BELOW_LETTERS: u8 = 14;
const ABOVE_LETTERS: u8 = 21;

/// What stands in a tree under a key. Where a key is cut short, as a bound may be, it sorts before what it is the beginning of.
pub(super) fn stored(tree: Tree, key: &[u8]) -> Cow<'_, [u8]> {
    let Some((head, id)) = split(tree, key) else { return Cow::Borrowed(key) };
    let mut bits = Bits { bytes: Vec::with_capacity(key.len()), last: 0, free: u8::BITS };
    bits.bytes.extend_from_slice(head);
    for byte in id {
        let (code, is_usual) = code(*byte);
        bits.push(code, BITS);
        if !is_usual {
            bits.push(*byte, u8::BITS);
        }
    }
    Cow::Owned(bits.finish())
}

/// The key that is [`stored`] so.
pub(super) fn key(tree: Tree, stored: &[u8]) -> Cow<'_, [u8]> {
    let Some((head, id)) = split(tree, stored) else { return Cow::Borrowed(stored) };
    let mut key = Vec::with_capacity(stored.len().saturating_mul(2));
    key.extend_from_slice(head);
    let mut at = 0;
    // A code of zeros is what fills up the last byte.
    while let Some(code) = read(id, at, BITS).filter(|code| *code != 0) {
        at = at.saturating_add(BITS as usize);
        match usual(code) {
            Some(byte) => key.push(byte),
            None => {
                key.extend(read(id, at, u8::BITS));
                at = at.saturating_add(u8::BITS as usize);
            }
        }
    }
    Cow::Owned(key)
}

fn split(tree: Tree, key: &[u8]) -> Option<(&[u8], &[u8])> {
    if tree == Tree::Replica { keys::split_typed(key) } else { None }
}

/// A byte's code, and whether it says all of it.
const fn code(byte: u8) -> (u8, bool) {
    match byte {
        ..b'-' => (BELOW_DASH, false),
        b'-' => (BELOW_DASH + 1, true),
        b'.'..b'0' => (BELOW_DIGITS, false),
        b'0'..=b'9' => (BELOW_DIGITS + 1 + (byte - b'0'), true),
        b':'..b'a' => (BELOW_LETTERS, false),
        b'a'..=b'f' => (BELOW_LETTERS + 1 + (byte - b'a'), true),
        b'g'.. => (ABOVE_LETTERS, false),
    }
}

/// The byte that a code says all of.
fn usual(of: u8) -> Option<u8> {
    let byte = match of {
        ..BELOW_DIGITS => b'-',
        BELOW_DIGITS..BELOW_LETTERS => of.wrapping_sub(BELOW_DIGITS + 1).wrapping_add(b'0'),
        BELOW_LETTERS.. => of.wrapping_sub(BELOW_LETTERS + 1).wrapping_add(b'a'),
    };
    (code(byte) == (of, true)).then_some(byte)
}

/// Bits in their order, the highest of each byte first.
struct Bits {
    bytes: Vec<u8>,
    /// The byte that is not full yet.
    last: u8,
    /// Its bits that are free: 1 to 8.
    free: u32,
}

impl Bits {
    /// Appends the lowest `count` bits of a value, of at most 8.
    fn push(&mut self, value: u8, count: u32) {
        let value = u16::from(value) << (u16::BITS - count);
        let both = (u16::from(self.last) << u8::BITS) | (value >> (u8::BITS - self.free));
        let [last, next] = both.to_be_bytes();
        if count < self.free {
            self.last = last;
            self.free -= count;
        } else {
            self.bytes.push(last);
            self.last = next;
            self.free = (self.free + u8::BITS).saturating_sub(count);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.free < u8::BITS {
            self.bytes.push(self.last);
        }
        self.bytes
    }
}

/// The `count` bits from the bit `at`, of at most 8; none when there are not so many.
fn read(bytes: &[u8], at: usize, count: u32) -> Option<u8> {
    let (byte, bit) = (at / 8, u32::try_from(at % 8).ok()?);
    let first = *bytes.get(byte)?;
    let second = bytes.get(byte.saturating_add(1)).copied();
    if second.is_none() && bit.saturating_add(count) > u8::BITS {
        return None;
    }
    let both = u16::from_be_bytes([first, second.unwrap_or(0)]);
    u8::try_from((both << bit) >> (u16::BITS - count)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::durable::EpochId;
    use proptest::prelude::*;

    fn row(id: &str) -> Vec<u8> {
        keys::row(EpochId(3), "end_user", id)
    }

    #[test]
    fn the_id_of_a_row_takes_five_bits_a_character_where_it_is_a_uuid() {
        let id = "0b1f5a3e-7c42-4d8a-9e06-f3a1b2c4d5e6";
        let row = row(id);
        let stored = stored(Tree::Replica, &row);
        assert_eq!(row.len() - stored.len(), 13);
        assert_eq!(key(Tree::Replica, &stored), row);
    }

    #[test]
    fn every_byte_has_a_code_and_they_rise() {
        let codes: Vec<u8> = (0..=u8::MAX).map(|byte| code(byte).0).collect();
        assert!(codes.is_sorted() && codes.iter().all(|code| (1..32).contains(code)));
        for byte in 0..=u8::MAX {
            let (code, is_usual) = code(byte);
            assert_eq!(usual(code), is_usual.then_some(byte), "{byte}");
        }
        assert!((ABOVE_LETTERS..32).all(|code| usual(code).is_none()), "what nobody writes is no character");
    }

    #[test]
    fn what_is_no_row_and_no_overlay_stands_as_it_is() {
        for tree in [Tree::Outbox, Tree::Feed, Tree::Meta] {
            assert_eq!((&*stored(tree, &row("a")), &*key(tree, &row("a"))), (&*row("a"), &*row("a")));
        }
        for short in 0..row("").len() {
            let cut = &row("")[..short];
            assert_eq!((&*stored(Tree::Replica, cut), &*key(Tree::Replica, cut)), (cut, cut));
        }
    }

    proptest! {
        #[test]
        fn a_key_is_what_it_was_stored_as(id in "[-0-9a-f./g\u{0}\u{e9}]{0,40}") {
            let row = row(&id);
            let stored = stored(Tree::Replica, &row);
            prop_assert_eq!(&*key(Tree::Replica, &stored), &*row);
        }

        #[test]
        fn stored_keys_sort_as_the_keys(one in "[-.0-9:_af-g\u{0}\u{1}\u{e9}]{0,9}", other in "[-.0-9:_af-g\u{0}\u{1}\u{e9}]{0,9}") {
            let stored = |id: &str| stored(Tree::Replica, &row(id)).into_owned();
            prop_assert_eq!(stored(&one).cmp(&stored(&other)), one.cmp(&other));
            let longer = format!("{one}{other}");
            prop_assert_eq!(stored(&one).cmp(&stored(&longer)), one.cmp(&longer));
        }

        #[test]
        fn bytes_that_nobody_stored_give_some_key(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let bytes = [row(""), bytes].concat();
            let _ = key(Tree::Replica, &bytes);
        }
    }
}
