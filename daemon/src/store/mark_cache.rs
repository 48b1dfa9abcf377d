//! Where base rows and overlays stand, for those who would else look for it in a leaf of sled that is in no cache: of a million rows that are
//! read or written in any order, most are.
//!
//! Twelve bytes to a place: 32 bits of its hash, and its mark. Two places may have the same hash, so that a mark is but a hint, and whoever
//! follows it holds the value's checksum against the key. That nothing is there is no hint: it is told only as long as every place that
//! was ever written has a slot of its own or shares one that says no more than to ask sled.

use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use super::values::Mark;

/// Parts, each with a lock of its own and grown by itself, so that little memory is held twice while one grows.
const SHARDS: usize = 64;
/// Bytes of a slot.
const SLOT: u64 = 12;
/// Slots that a shard begins with.
const FIRST: usize = 16;
/// Bits of a length.
const LENGTH_BITS: u32 = 24;
/// Nothing was ever here.
const EMPTY: u64 = u64::MAX;
/// What was here is gone.
const GONE: u64 = u64::MAX - 1;
/// Ask sled.
const ASK: u64 = u64::MAX - 2;
/// Offsets from here on can't be told from what is above.
const MOST_OFFSET: u64 = (1 << (u64::BITS - LENGTH_BITS)) - 1;

/// What is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Most likely its value is here.
    At(Mark),
    /// There is nothing.
    Absent,
    /// sled knows. With how many writes there were so far, for [`MarkCache::read`].
    Unknown(u64),
}

/// Of all places that fit into a bound.
#[derive(Debug)]
pub(super) struct MarkCache {
    shards: Vec<Mutex<Shard>>,
    /// The most slots of a shard.
    most: usize,
}

#[derive(Debug)]
struct Shard {
    /// Of each slot: bits of its place's hash, and the mark, packed.
    tags: Vec<u32>,
    marks: Vec<u64>,
    /// Slots that are not empty.
    used: usize,
    /// Those of them whose value is gone.
    gone: usize,
    /// Whether every place with a value has a slot.
    is_whole: bool,
    /// Writes so far.
    writes: u64,
}

impl MarkCache {
    /// One of at most `bytes` bytes. It is whole from the start when nothing is stored yet.
    pub(super) fn new(bytes: u64, is_whole: bool) -> Self {
        let shard = || Mutex::new(Shard { tags: Vec::new(), marks: Vec::new(), used: 0, gone: 0, is_whole, writes: 0 });
        let most = usize::try_from(bytes / SLOT / SHARDS as u64).unwrap_or(usize::MAX);
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), most }
    }

    /// What is known of the place at a key.
    pub(super) fn find(&self, key: &[u8]) -> Known {
        let Some((shard, tag)) = self.shard(key) else { return Known::Unknown(0) };
        match shard.find(tag).and_then(|slot| shard.marks.get(slot)).copied() {
            None | Some(GONE) if shard.is_whole => Known::Absent,
            None | Some(EMPTY | GONE | ASK) => Known::Unknown(shard.writes),
            Some(packed) => Known::At(unpack(packed)),
        }
    }

    /// sled was told of a write: what stands at the key now, and what did before.
    pub(super) fn wrote(&self, key: &[u8], stored: Option<&[u8]>, previous: Option<&[u8]>) {
        let Some((mut shard, tag)) = self.shard(key) else { return };
        shard.writes = shard.writes.wrapping_add(1);
        let (new, old) = (stored.map(pack), previous.map(pack));
        let Some(slot) = shard.find(tag) else {
            if let Some(new) = new {
                shard.insert(tag, new, self.most);
            }
            return;
        };
        let is_gone = new.is_none();
        let Some(mark) = shard.marks.get_mut(slot) else { return };
        let was_gone = *mark == GONE;
        // Where the slot says something else than sled did, another place has it too. Then it can't tell of either any more.
        let is_its_own = was_gone || (*mark != ASK && (Some(*mark) == old || Some(*mark) == new));
        *mark = if is_its_own { new.unwrap_or(GONE) } else { ASK };
        shard.gone = shard.gone.saturating_sub(usize::from(was_gone)).saturating_add(usize::from(is_its_own && is_gone));
    }

    /// sled was read of a place that was [unknown](Known::Unknown) after `writes` writes, and this stands there.
    pub(super) fn read(&self, key: &[u8], stored: &[u8], writes: u64) {
        let Some((mut shard, tag)) = self.shard(key) else { return };
        if shard.writes == writes && shard.find(tag).is_none() {
            shard.insert(tag, pack(stored), self.most);
        }
    }

    /// The shard of a key, and its tag there.
    fn shard(&self, key: &[u8]) -> Option<(MutexGuard<'_, Shard>, u32)> {
        let hash = xxh3_64(key);
        let shard = self.shards.get(usize::try_from(hash >> 32).ok()? % SHARDS)?;
        let tag = u32::try_from(hash & u64::from(u32::MAX)).ok()?;
        Some((shard.lock().unwrap_or_else(PoisonError::into_inner), tag))
    }
}

impl Shard {
    /// Where a tag would best be, of so many slots.
    fn home(tag: u32, slots: usize) -> usize {
        usize::try_from((u64::from(tag).saturating_mul(slots as u64)) >> u32::BITS).unwrap_or(0)
    }

    /// The slots in which a tag may be, in the order in which they are taken.
    fn probe(tag: u32, slots: usize) -> impl Iterator<Item = usize> {
        let home = Self::home(tag, slots);
        (home..slots).chain(0..home)
    }

    /// The slot of a tag.
    fn find(&self, tag: u32) -> Option<usize> {
        for slot in Self::probe(tag, self.tags.len()) {
            if *self.marks.get(slot)? == EMPTY {
                return None;
            }
            if self.tags.get(slot) == Some(&tag) {
                return Some(slot);
            }
        }
        None
    }

    /// Takes a tag in that is not there.
    fn insert(&mut self, tag: u32, mark: u64, most: usize) {
        self.make_room(most);
        let slots = self.tags.len();
        let has_room = self.used.saturating_add(1) < slots;
        let free = || Self::probe(tag, slots).find(|slot| self.marks.get(*slot) == Some(&EMPTY));
        let slot = if has_room { free() } else { None };
        self.used = self.used.saturating_add(usize::from(slot.is_some()));
        // Without room it takes the place of another one, which is then to be looked for in sled.
        self.is_whole &= slot.is_some();
        let slot = slot.unwrap_or_else(|| Self::home(tag, slots));
        if let Some((place, of)) = self.marks.get_mut(slot).zip(self.tags.get_mut(slot)) {
            self.gone = self.gone.saturating_sub(usize::from(*place == GONE));
            (*place, *of) = (mark, tag);
        }
    }

    /// Grows before it gets slow, or throws out what is gone.
    fn make_room(&mut self, most: usize) {
        let slots = self.tags.len();
        let is_full = |used: usize| used.saturating_add(1).saturating_mul(8) > slots.saturating_mul(7);
        if !is_full(self.used) {
            return;
        }
        if self.gone.saturating_mul(4) >= self.used.max(1) {
            self.rebuild(slots);
        } else if slots < most {
            self.rebuild(slots.saturating_add(slots / 2).max(FIRST).min(most));
        }
    }

    fn rebuild(&mut self, slots: usize) {
        let (tags, marks) =
            (std::mem::replace(&mut self.tags, vec![0; slots]), std::mem::replace(&mut self.marks, vec![EMPTY; slots]));
        (self.used, self.gone) = (0, 0);
        for (tag, mark) in tags.into_iter().zip(marks).filter(|(_, mark)| !matches!(*mark, EMPTY | GONE)) {
            let free = Self::probe(tag, slots).find(|slot| self.marks.get(*slot) == Some(&EMPTY));
            if let Some((place, of)) = free.and_then(|slot| self.marks.get_mut(slot).zip(self.tags.get_mut(slot))) {
                (*place, *of) = (mark, tag);
                self.used = self.used.saturating_add(1);
            }
        }
    }
}

/// The mark for which `stored` stands, when it is one and fits.
fn pack(stored: &[u8]) -> u64 {
    let fits = |mark: &Mark| mark.offset < MOST_OFFSET && mark.length >> LENGTH_BITS == 0;
    Mark::parse(stored).filter(fits).map_or(ASK, |mark| (mark.offset << LENGTH_BITS) | u64::from(mark.length))
}

fn unpack(packed: u64) -> Mark {
    let length = packed & ((1 << LENGTH_BITS) - 1);
    Mark { offset: packed >> LENGTH_BITS, length: u32::try_from(length).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn mark(offset: u64) -> Mark {
        Mark { offset, length: 500 }
    }

    fn key(number: u16) -> [u8; 2] {
        number.to_be_bytes()
    }

    /// What it may say of a place at which `stored` stands.
    fn is_true(known: Known, stored: Option<&Vec<u8>>) -> bool {
        match known {
            // A hint that is wrong is found out by the checksum of the value.
            Known::At(_) | Known::Unknown(_) => true,
            Known::Absent => stored.is_none(),
        }
    }

    #[test]
    fn what_was_written_is_found_and_what_was_not_is_absent() {
        let cache = MarkCache::new(1 << 20, true);
        for number in 0..10_000 {
            cache.wrote(&key(number), Some(&mark(u64::from(number)).bytes()), None);
        }
        let found = (0..10_000).filter(|number| cache.find(&key(*number)) == Known::At(mark(u64::from(*number)))).count();
        assert!(found >= 9_998, "{found}: some may share a hash");
        assert!((10_000..20_000).filter(|number| cache.find(&key(*number)) == Known::Absent).count() >= 9_998);
    }

    #[test]
    fn a_value_that_moves_is_found_where_it_is_now_and_one_that_goes_is_absent() {
        let cache = MarkCache::new(1 << 20, true);
        let [one, two] = [mark(1).bytes(), mark(2).bytes()];
        cache.wrote(b"k", Some(&one), None);
        cache.wrote(b"k", Some(&two), Some(&one));
        assert_eq!(cache.find(b"k"), Known::At(mark(2)));
        cache.wrote(b"k", None, Some(&two));
        assert_eq!(cache.find(b"k"), Known::Absent);
        cache.wrote(b"k", Some(&one), None);
        assert_eq!(cache.find(b"k"), Known::At(mark(1)));
    }

    #[test]
    fn what_stands_in_sled_itself_or_too_far_away_is_asked_of_sled() {
        let cache = MarkCache::new(1 << 20, true);
        let far = Mark { offset: MOST_OFFSET, length: 1 };
        let long = Mark { offset: 1, length: 1 << LENGTH_BITS };
        for (key, stored) in [(b"a", vec![1, 2, 3]), (b"b", far.bytes().to_vec()), (b"c", long.bytes().to_vec())] {
            cache.wrote(key, Some(&stored), None);
            assert!(matches!(cache.find(key), Known::Unknown(_)));
            cache.wrote(key, None, Some(&stored));
            assert!(matches!(cache.find(key), Known::Unknown(_)), "another place may say the same");
        }
        let last = Mark { offset: MOST_OFFSET - 1, length: (1 << LENGTH_BITS) - 1 };
        cache.wrote(b"d", Some(&last.bytes()), None);
        assert_eq!(cache.find(b"d"), Known::At(last));
    }

    #[test]
    fn of_two_places_that_share_a_slot_neither_is_ever_absent() {
        let cache = MarkCache::new(1 << 20, true);
        let [one, two] = [mark(1).bytes(), mark(2).bytes()];
        cache.wrote(b"k", Some(&one), None);
        // As if another place with the same hash were written, and gone again.
        cache.wrote(b"k", Some(&two), None);
        assert!(matches!(cache.find(b"k"), Known::Unknown(_)));
        cache.wrote(b"k", None, Some(&two));
        assert!(matches!(cache.find(b"k"), Known::Unknown(_)), "the first one is still there");
    }

    #[test]
    fn a_store_that_was_there_before_is_learned_by_reading_but_not_over_a_write() {
        let cache = MarkCache::new(1 << 20, false);
        let Known::Unknown(writes) = cache.find(b"k") else { panic!("nothing is known") };
        cache.read(b"k", &mark(1).bytes(), writes);
        assert_eq!(cache.find(b"k"), Known::At(mark(1)));
        let Known::Unknown(writes) = cache.find(b"other") else { panic!("nothing is known") };
        cache.wrote(b"other", None, Some(&mark(2).bytes()));
        cache.read(b"other", &mark(2).bytes(), writes);
        assert!(matches!(cache.find(b"other"), Known::Unknown(_)), "it went after it was read");
    }

    #[test]
    fn what_is_written_and_gone_again_and_again_takes_no_more_memory() {
        let cache = MarkCache::new(1 << 20, true);
        for round in 0..200_u64 {
            for number in 0..1_000_u16 {
                let key = [round.to_be_bytes().as_slice(), &key(number)].concat();
                let stored = mark(round).bytes();
                cache.wrote(&key, Some(&stored), None);
                cache.wrote(&key, None, Some(&stored));
            }
        }
        let slots: usize = cache.shards.iter().map(|shard| shard.lock().expect("no panic").tags.len()).sum();
        assert!(slots <= SHARDS * FIRST * 4, "{slots} slots");
    }

    proptest! {
        #[test]
        fn it_never_says_that_something_is_absent_that_is_there_and_stays_within_its_bound(
            most in 0_u64..40,
            steps in proptest::collection::vec((0_u16..60, proptest::option::of(0_u64..5)), 0..200),
        ) {
            let bytes = most * SLOT * SHARDS as u64;
            let cache = MarkCache::new(bytes, true);
            let mut stored: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
            for (number, offset) in steps {
                let new = offset.map(|offset| if offset == 0 { vec![1] } else { mark(offset).bytes().to_vec() });
                let previous = match &new {
                    Some(new) => stored.insert(number, new.clone()),
                    None => stored.remove(&number),
                };
                cache.wrote(&key(number), new.as_deref(), previous.as_deref());
                for number in 0..60 {
                    prop_assert!(is_true(cache.find(&key(number)), stored.get(&number)), "{number}");
                }
            }
            for shard in &cache.shards {
                prop_assert!(shard.lock().expect("no panic").tags.len() as u64 <= most);
            }
        }
    }
}
