//! A check of all checksums while the store serves, in slices that hold nobody up.

use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, Instant};

use aesync_protocol::response::{CheckedSlice, DamagedValue, Remedy, StorePart};

use super::database::{Database, Tree};
use super::fault::Fault;
use super::journal;
use super::reader::Slot;
use super::{keys, value};

/// A slice ends when it took so long.
const SLICE: Duration = Duration::from_millis(50);
/// A slice ends when it found so many damaged values.
const DAMAGED: usize = 100;
/// The parts, in the order in which they are checked.
const PARTS: [StorePart; 5] = [StorePart::Replica, StorePart::Outbox, StorePart::Feed, StorePart::Meta, StorePart::Journal];

/// Where a slice begins. On the wire it is a part, a colon, and a key in hexadecimal; for the journal, the file's number and an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Behind a key of a part in sled; at its beginning without one.
    Behind(StorePart, Option<Vec<u8>>),
    /// At an offset of a journal file.
    Journal { file: u64, at: u64 },
}

impl Position {
    /// Where a check begins.
    pub(super) const START: Self = Self::Behind(StorePart::Replica, None);

    /// Reads what [`to_wire`](Self::to_wire) wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (part, rest) = text.split_once(':')?;
        let part = PARTS.into_iter().find(|known| known.as_str() == part)?;
        if part == StorePart::Journal {
            let (file, at) = rest.split_once('-')?;
            return Some(Self::Journal { file: file.parse().ok()?, at: at.parse().ok()? });
        }
        Some(Self::Behind(part, Some(from_hex(rest)?).filter(|key| !key.is_empty())))
    }

    fn to_wire(&self) -> String {
        match self {
            Self::Behind(part, key) => format!("{}:{}", part.as_str(), to_hex(key.as_deref().unwrap_or_default())),
            Self::Journal { file, at } => format!("{}:{file}-{at}", StorePart::Journal.as_str()),
        }
    }

    /// Where the part after `part` begins.
    fn after(part: StorePart) -> Option<Self> {
        let next = PARTS.into_iter().skip_while(|known| *known != part).nth(1)?;
        Some(match next {
            StorePart::Journal => Self::Journal { file: 0, at: 0 },
            part => Self::Behind(part, None),
        })
    }
}

/// Checks one slice. What is damaged is left to the writer to mend.
///
/// # Errors
/// When the disk does not let it read.
pub(super) fn check(slot: &Slot, database: &Database, journal: &Path, position: Position) -> Result<CheckedSlice, Fault> {
    let end = Instant::now() + SLICE;
    match position {
        Position::Behind(part, after) => match tree_of(part) {
            Some(tree) => check_part(slot, database, (part, tree), after, end),
            None => check_journal(slot, journal, (0, 0), end),
        },
        Position::Journal { file, at } => check_journal(slot, journal, (file, at), end),
    }
}

fn check_part(
    slot: &Slot,
    database: &Database,
    (part, tree): (StorePart, Tree),
    after: Option<Vec<u8>>,
    end: Instant,
) -> Result<CheckedSlice, Fault> {
    let mut slice = CheckedSlice { part, values: 0, bytes: 0, damaged: Vec::new(), next: None };
    let mut last = after.clone();
    let mut ended_early = false;
    let after = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut each = |key: &[u8], bytes: &[u8]| {
        slice.values = slice.values.saturating_add(1);
        slice.bytes = slice.bytes.saturating_add(key.len() as u64).saturating_add(bytes.len() as u64);
        if let Err(damage) = value::whole(key, bytes) {
            slot.damaged.note((tree, key.to_vec()));
            slice.damaged.push(DamagedValue {
                what: keys::describe(tree, key),
                reason: damage.to_string(),
                remedy: remedy(tree),
            });
        }
        last = Some(key.to_vec());
        ended_early = slice.damaged.len() >= DAMAGED || Instant::now() >= end;
        !ended_early
    };
    match database.scan(tree, &[], after, &mut each) {
        Ok(()) => {}
        // The keys of what can't be read are not known either, so the rest of the part is passed over.
        Err(Fault::Damaged(reason)) => {
            ended_early = false;
            let place = last.as_deref().filter(|key| !key.is_empty());
            let what =
                place.map_or_else(|| "its beginning".to_owned(), |key| format!("what follows {}", keys::describe(tree, key)));
            slice.damaged.push(DamagedValue { what, reason, remedy: Remedy::Restart });
        }
        Err(fault) => return Err(fault),
    }
    let next = if ended_early { Some(Position::Behind(part, last)) } else { Position::after(part) };
    slice.next = next.map(|position| position.to_wire());
    Ok(slice)
}

fn check_journal(slot: &Slot, path: &Path, from: (u64, u64), end: Instant) -> Result<CheckedSlice, Fault> {
    let checked = journal::check(path, &slot.journal, from, || Instant::now() < end)?;
    let damaged = checked.damaged_at.map(|at| DamagedValue {
        what: format!("the entry at byte {at}"),
        reason: "it does not read, and what follows it is not reached".to_owned(),
        remedy: Remedy::Restart,
    });
    Ok(CheckedSlice {
        part: StorePart::Journal,
        values: checked.frames,
        bytes: checked.bytes,
        damaged: damaged.into_iter().collect(),
        next: checked.next.map(|at| Position::Journal { file: checked.file, at }.to_wire()),
    })
}

const fn tree_of(part: StorePart) -> Option<Tree> {
    match part {
        StorePart::Replica => Some(Tree::Replica),
        StorePart::Outbox => Some(Tree::Outbox),
        StorePart::Feed => Some(Tree::Feed),
        StorePart::Meta => Some(Tree::Meta),
        StorePart::Journal => None,
    }
}

/// What [`mend`](super::mend::mend) does with a damaged value of a tree.
const fn remedy(tree: Tree) -> Remedy {
    match tree {
        Tree::Replica | Tree::Feed => Remedy::Fetched,
        Tree::Outbox => Remedy::Restored,
        Tree::Meta => Remedy::Restart,
    }
}

/// Bytes in lower-case hexadecimal.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_as_it_was_written_and_nothing_else_passes_for_one() {
        let positions = [
            Position::START,
            Position::Behind(StorePart::Feed, Some(vec![0, 255, 7])),
            Position::Journal { file: 4, at: 1 << 40 },
        ];
        for position in positions {
            assert_eq!(Position::parse(&position.to_wire()), Some(position));
        }
        for text in [
            "",
            "replica",
            "replica:0",
            "replica:0g",
            "replica:+1",
            "replica:ü",
            "nothing:00",
            "journal:",
            "journal:1",
            "journal:-1",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_check_goes_through_every_part_once() {
        let mut seen = vec![StorePart::Replica];
        while let Some(next) = Position::after(*seen.last().expect("a part")) {
            seen.push(match next {
                Position::Behind(part, None) => part,
                Position::Journal { file: 0, at: 0 } => StorePart::Journal,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen, PARTS);
    }
}
