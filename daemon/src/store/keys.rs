//! Where each value stands in its tree. Numbers are big-endian, so that keys sort as what they name.
//!
//! | tree | key | value |
//! |---|---|---|
//! | replica | epoch `b` type id | base row |
//! | replica | epoch `o` type id | overlay |
//! | outbox | epoch `e` number | entry |
//! | outbox | epoch `s` state number | nothing: the index by state |
//! | outbox | epoch `a` request id | first answer |
//! | feed | epoch seq | change |
//! | meta | `a` | notices |
//! | meta | `c` epoch type | cursor |
//! | meta | `f` | format |
//! | meta | `l` epoch | ledger |
//! | meta | `n` | the number of the last write set |
//! | meta | `r` | registry |
//!
//! What ends with a number is stored in [blocks](super::packed), but for what is in `meta`. What is in `replica` has [shorter
//! ids](super::compact) there.

use aesync_protocol::response::EntryState;

use super::database::{Place, Tree};
use crate::engine::durable::EpochId;

/// The format's key.
pub(super) const FORMAT: &[u8] = b"f";
/// The key of the last write set's number.
pub(super) const NUMBER: &[u8] = b"n";
/// The key of the notices.
pub(super) const NOTICES: &[u8] = b"a";
/// The registry's key.
pub(super) const REGISTRY: &[u8] = b"r";

/// What the journal keeps of the bookkeeping: whose the outbox is, and what nobody has acknowledged.
pub(super) const JOURNALED_META: [&[u8]; 2] = [REGISTRY, NOTICES];

/// Every state, in the order of its number in the index. The order is on disk: only append.
pub(super) const STATES: [EntryState; 9] = [
    EntryState::Pending,
    EntryState::Sent,
    EntryState::InDoubt,
    EntryState::Acked,
    EntryState::Confirmed,
    EntryState::Quarantined,
    EntryState::Blocked,
    EntryState::Conflict,
    EntryState::Discarded,
];

/// Bytes before the length of a type: those of the epoch and of the kind.
const TYPED: usize = 5;

/// Whether the journal keeps what stands at a place: what can't be fetched again, the registry, which says whose it is, and what nobody
/// has acknowledged.
pub(super) fn is_journaled((tree, key): &Place) -> bool {
    *tree == Tree::Outbox || (*tree == Tree::Meta && JOURNALED_META.contains(&key.as_slice()))
}

/// What all base rows of a type begin with.
pub(super) fn rows(epoch: EpochId, entity_type: &str) -> Vec<u8> {
    row(epoch, entity_type, "")
}

/// A base row.
pub(super) fn row(epoch: EpochId, entity_type: &str, id: &str) -> Vec<u8> {
    typed(epoch, b'b', entity_type, id)
}

/// What all overlays of a type begin with.
pub(super) fn overlays(epoch: EpochId, entity_type: &str) -> Vec<u8> {
    overlay(epoch, entity_type, "")
}

/// An overlay.
pub(super) fn overlay(epoch: EpochId, entity_type: &str, id: &str) -> Vec<u8> {
    typed(epoch, b'o', entity_type, id)
}

/// What all entries of an epoch begin with.
pub(super) fn entries(epoch: EpochId) -> Vec<u8> {
    outbox(epoch, b'e', &[])
}

/// An entry.
pub(super) fn entry(epoch: EpochId, number: u64) -> Vec<u8> {
    outbox(epoch, b'e', &number.to_be_bytes())
}

/// What all places of a state in the index begin with.
pub(super) fn places(epoch: EpochId, state: EntryState) -> Vec<u8> {
    outbox(epoch, b's', &[state_number(state)])
}

/// An entry's place in the index.
pub(super) fn place(epoch: EpochId, state: EntryState, number: u64) -> Vec<u8> {
    [&epoch.0.to_be_bytes()[..], &[b's', state_number(state)], &number.to_be_bytes()].concat()
}

/// The prefix of an epoch's stored answers.
pub(super) fn answers(epoch: EpochId) -> Vec<u8> {
    answer(epoch, "")
}

/// A stored answer.
pub(super) fn answer(epoch: EpochId, request_id: &str) -> Vec<u8> {
    outbox(epoch, b'a', request_id.as_bytes())
}

/// What all changes of an epoch begin with.
pub(super) fn changes(epoch: EpochId) -> Vec<u8> {
    epoch.0.to_be_bytes().to_vec()
}

/// A change.
pub(super) fn change(epoch: EpochId, seq: u64) -> Vec<u8> {
    [epoch.0.to_be_bytes().as_slice(), &seq.to_be_bytes()].concat()
}

/// A ledger.
pub(super) fn ledger(epoch: EpochId) -> Vec<u8> {
    [b"l", epoch.0.to_be_bytes().as_slice()].concat()
}

/// What all cursors of an epoch begin with.
pub(super) fn cursors(epoch: EpochId) -> Vec<u8> {
    cursor(epoch, "")
}

/// A cursor.
pub(super) fn cursor(epoch: EpochId, entity_type: &str) -> Vec<u8> {
    [b"c", epoch.0.to_be_bytes().as_slice(), entity_type.as_bytes()].concat()
}

/// Whether a key of the outbox ends with an entry's number: it is that of an entry, or of its place in the index.
pub(super) fn is_numbered(key: &[u8]) -> bool {
    matches!((key.get(4), key.len()), (Some(b'e'), 13) | (Some(b's'), 14))
}

/// The number that ends a key of an entry, a place or a change.
pub(super) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Whose change it is, and its seq.
pub(super) fn parse_change(key: &[u8]) -> Option<(EpochId, u64)> {
    let (epoch, seq) = key.split_first_chunk::<4>()?;
    Some((EpochId(u32::from_be_bytes(*epoch)), u64::from_be_bytes(seq.try_into().ok()?)))
}

/// Whose and of what type a base row or an overlay is, and whether it is a base row.
pub(super) fn parse_typed(key: &[u8]) -> Option<(EpochId, bool, &str)> {
    let (head, _) = split_typed(key)?;
    let (epoch, rest) = head.split_first_chunk::<4>()?;
    let (which, rest) = rest.split_first()?;
    let is_row = match which {
        b'b' => true,
        b'o' => false,
        _ => return None,
    };
    Some((EpochId(u32::from_be_bytes(*epoch)), is_row, std::str::from_utf8(rest.get(4..)?).ok()?))
}

/// What the key of a base row or an overlay has before its id, and the id.
pub(super) fn split_typed(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = key.get(TYPED..)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (length <= rest.len()).then(|| key.split_at_checked(TYPED.checked_add(4)?.checked_add(length)?))?
}

/// What stands under a key, for people.
pub(super) fn describe(tree: Tree, key: &[u8]) -> String {
    let named = match tree {
        Tree::Replica => parse_typed(key).zip(split_typed(key)).map(|((_, is_row, entity_type), (_, id))| {
            let id = String::from_utf8_lossy(id);
            if is_row { format!("{entity_type} {id}") } else { format!("the local changes of {entity_type} {id}") }
        }),
        Tree::Outbox => match key.split_at_checked(4).and_then(|(_, rest)| rest.split_first()) {
            Some((b'e', _)) => last_number(key).map(|number| format!("outbox entry {number}")),
            Some((b's', _)) => last_number(key).map(|number| format!("outbox entry {number} in the index by state")),
            Some((b'a', id)) => Some(format!("the answer to request {:?}", String::from_utf8_lossy(id))),
            _ => None,
        },
        Tree::Feed => last_number(key).map(|seq| format!("change {seq}")),
        Tree::Meta => match key {
            FORMAT => Some("the format".to_owned()),
            NUMBER => Some("the number of the last write set".to_owned()),
            NOTICES => Some("what nobody has acknowledged".to_owned()),
            REGISTRY => Some("the registry".to_owned()),
            [b'l', ..] => Some("the counts of an epoch".to_owned()),
            [b'c', rest @ ..] => rest.get(4..).map(|name| format!("the cursor of {}", String::from_utf8_lossy(name))),
            _ => None,
        },
    };
    named.unwrap_or_else(|| key.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The text that follows `prefix` in a key.
pub(super) fn text_after<'a>(key: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    std::str::from_utf8(key.strip_prefix(prefix)?).ok()
}

/// `epoch kind length type id`: the length keeps a type from being the beginning of another one.
fn typed(epoch: EpochId, which: u8, entity_type: &str, id: &str) -> Vec<u8> {
    let length = u32::try_from(entity_type.len()).unwrap_or(u32::MAX);
    [&epoch.0.to_be_bytes()[..], &[which], &length.to_be_bytes(), entity_type.as_bytes(), id.as_bytes()].concat()
}

fn outbox(epoch: EpochId, which: u8, rest: &[u8]) -> Vec<u8> {
    [epoch.0.to_be_bytes().as_slice(), &[which], rest].concat()
}

const fn state_number(state: EntryState) -> u8 {
    match state {
        EntryState::Pending => 0,
        EntryState::Sent => 1,
        EntryState::InDoubt => 2,
        EntryState::Acked => 3,
        EntryState::Confirmed => 4,
        EntryState::Quarantined => 5,
        EntryState::Blocked => 6,
        EntryState::Conflict => 7,
        EntryState::Discarded => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_the_number_of_its_place_in_the_list() {
        for (number, state) in STATES.into_iter().enumerate() {
            assert_eq!(usize::from(state_number(state)), number, "{state}");
        }
    }

    #[test]
    fn no_type_is_the_beginning_of_another_one() {
        let epoch = EpochId(1);
        assert!(!row(epoch, "ab", "c").starts_with(&rows(epoch, "a")));
        assert!(row(epoch, "a", "bc").starts_with(&rows(epoch, "a")));
    }

    #[test]
    fn the_key_of_a_row_tells_whose_and_of_what_type_it_is() {
        assert_eq!(parse_typed(&row(EpochId(9), "ab", "c")), Some((EpochId(9), true, "ab")));
        assert_eq!(parse_typed(&overlay(EpochId(9), "ab", "c")), Some((EpochId(9), false, "ab")));
        assert_eq!(parse_typed(&entry(EpochId(9), 1)), None);
    }

    #[test]
    fn keys_sort_by_epoch_then_number() {
        let epoch = EpochId;
        assert!(change(epoch(1), 256) > change(epoch(1), 255));
        assert!(change(epoch(256), 0) > change(epoch(255), u64::MAX));
        assert_eq!(last_number(&entry(epoch(3), 77)), Some(77));
    }
}
