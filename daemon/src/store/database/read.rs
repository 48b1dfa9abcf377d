//! Reads of the database, whichever way a value is stored.

use std::ops::Bound;

use super::{Database, Place, Tree, Writes};
use crate::store::batch;
use crate::store::compact;
use crate::store::fault::{Fault, fenced};
use crate::store::keys;
use crate::store::mark_cache::Known;
use crate::store::packed::{self, Slots};
use crate::store::value;
use crate::store::values::{self, Mark};

impl Database {
    /// The value at a place.
    pub(in crate::store) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        fenced(|| {
            let Some((block, slot)) = packed::place(tree, key) else { return self.single(tree, key) };
            let stored = self.block(tree, &block)?.and_then(|mut slots| slots.remove(&slot));
            stored.map(|stored| self.whole(&stored)).transpose()
        })
    }

    /// The values at places that come in their order: a block is read once for all that are in it.
    pub(in crate::store) fn get_all(&self, places: impl Iterator<Item = Place>) -> Result<Writes, Fault> {
        let mut open: Option<(Place, Slots)> = None;
        let mut get = |(tree, key): &Place| {
            let Some((block, slot)) = packed::place(*tree, key) else { return self.single(*tree, key) };
            let block = (*tree, block);
            let slots = match open.take() {
                Some((place, slots)) if place == block => slots,
                _ => self.block(*tree, &block.1)?.unwrap_or_default(),
            };
            let value = slots.get(&slot).map(|stored| self.whole(stored)).transpose();
            open = Some((block, slots));
            value
        };
        fenced(|| places.map(|place| get(&place).map(|value| (place, value))).collect())
    }

    /// The value at a place that is in no block.
    fn single(&self, tree: Tree, key: &[u8]) -> sled::Result<Option<Vec<u8>>> {
        let place = compact::stored(tree, key);
        if tree != Tree::Replica {
            return self.tree(tree).get(&place)?.map(|stored| self.whole(&stored)).transpose();
        }
        let known = self.marks.find(&place);
        match known {
            Known::Absent => return Ok(None),
            Known::At(mark) => {
                if let Some(value) = self.values.get(mark)?.filter(|value| value::whole(key, value).is_ok()) {
                    return Ok(Some(value));
                }
            }
            Known::Unknown(_) => {}
        }
        let Some(stored) = self.tree(tree).get(&place)? else { return Ok(None) };
        if let Known::Unknown(writes) = known {
            self.marks.read(&place, &stored, writes);
        }
        self.whole(&stored).map(Some)
    }

    /// The values of a block, those that are large as their marks; of one that does not read, all damaged.
    pub(in crate::store) fn block(&self, tree: Tree, block: &[u8]) -> sled::Result<Option<Slots>> {
        self.tree(tree).get(block)?.map(|stored| self.slots(&stored)).transpose()
    }

    /// The values that are in one block with the one at a place, which is among them; that one alone when it is in no block.
    pub(in crate::store) fn beside(&self, (tree, key): &Place) -> Result<Writes, Fault> {
        let Some((block, _)) = packed::place(*tree, key) else { return self.get_all(std::iter::once((*tree, key.clone()))) };
        let slots = fenced(|| self.block(*tree, &block))?.unwrap_or_default();
        self.get_all(slots.into_keys().filter_map(|slot| Some((*tree, packed::key(&block, slot)?))))
    }

    /// The value for which `stored` stands in a tree. A mark without its value is no value, so whoever decodes it finds it damaged.
    fn whole(&self, stored: &[u8]) -> sled::Result<Vec<u8>> {
        let value = match Mark::parse(stored) {
            Some(mark) => self.values.get(mark)?,
            None => self.legacy.value(stored)?,
        };
        Ok(value.unwrap_or_else(|| stored.to_vec()))
    }

    /// The values of the block for which `stored` stands, those that are large as their marks.
    fn slots(&self, stored: &[u8]) -> sled::Result<Slots> {
        Ok(packed::unpack(&self.whole(stored)?).unwrap_or_else(packed::lost))
    }

    /// The keys and values that begin with `prefix`, in order, as long as `each` wants more.
    pub(in crate::store) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        from: Bound<&[u8]>,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Fault> {
        let is_before = |key: &[u8]| match from {
            Bound::Included(from) => key < from,
            Bound::Excluded(from) => key <= from,
            Bound::Unbounded => false,
        };
        let start = match from {
            Bound::Included(from) | Bound::Excluded(from) => compact::stored(tree, &packed::floor(tree, from)).into_owned(),
            Bound::Unbounded => Vec::new(),
        };
        // Whether it goes on.
        let mut give = |key: &[u8], stored: &[u8]| -> sled::Result<bool> {
            Ok(is_before(key) || (key.starts_with(prefix) && each(key, &self.whole(stored)?)))
        };
        fenced(|| {
            for pair in self.tree(tree).range(start..) {
                let (key, stored) = pair?;
                if !packed::is_packed(tree, &key) {
                    if !give(&compact::key(tree, &key), &stored)? {
                        return Ok(());
                    }
                    continue;
                }
                for (slot, stored) in self.slots(&stored)? {
                    let Some(key) = packed::key(&key, slot) else { continue };
                    if !give(&key, &stored)? {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// Bytes of keys and values, as they are stored; counts as long as `goes_on`.
    pub(in crate::store) fn live(&self, goes_on: impl Fn() -> bool) -> Result<u64, Fault> {
        fenced(|| {
            let mut live = 0_u64;
            for tree in [Tree::Replica, Tree::Outbox, Tree::Feed, Tree::Meta] {
                for pair in self.tree(tree).iter().take_while(|_| goes_on()) {
                    let (key, stored) = pair?;
                    let bytes = key.len().saturating_add(values::length(&stored));
                    let apart = if packed::is_packed(tree, &key) { batch::apart(&self.slots(&stored)?) } else { 0 };
                    live = live.saturating_add(bytes as u64).saturating_add(apart as u64);
                }
            }
            Ok(live)
        })
    }

    /// The first values of a tree of an older format, at most so many, to be written to another one.
    pub(in crate::store) fn first_of(&self, old: &sled::Tree, most: usize, to: Tree) -> Result<Writes, Fault> {
        let write = |pair: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, stored) = pair?;
            Ok(((to, key.to_vec()), Some(self.whole(&stored)?)))
        };
        fenced(|| old.iter().take(most).map(write).collect())
    }

    /// The seq of the last change of those whose keys begin with `prefix`.
    pub(in crate::store) fn last_change(&self, prefix: &[u8]) -> Result<Option<u64>, Fault> {
        fenced(|| {
            let Some(number) = self.last_block(prefix)? else { return Ok(None) };
            let block = [prefix, &number.to_be_bytes()].concat();
            let last = self.block(Tree::Feed, &block)?.and_then(|slots| slots.into_keys().next_back());
            Ok(last.and_then(|slot| keys::last_number(&packed::key(&block, slot)?)))
        })
    }

    /// Found by halves, looking forward: what goes backwards through a tree brings a constant of a megabyte into the program.
    fn last_block(&self, prefix: &[u8]) -> sled::Result<Option<u64>> {
        let first_from = |number: u64| {
            let from = [prefix, &number.to_be_bytes()].concat();
            let first = self.tree(Tree::Feed).range(from..).keys().next().transpose()?;
            Ok::<_, sled::Error>(first.filter(|key| key.starts_with(prefix)).map(|key| keys::last_number(&key).unwrap_or(number)))
        };
        let Some(mut last) = first_from(0)? else { return Ok(None) };
        let mut most = u64::MAX;
        while last < most {
            let middle = last.saturating_add(most.saturating_sub(last).div_ceil(2));
            match first_from(middle)? {
                Some(found) => last = found.max(middle),
                None => most = middle.saturating_sub(1),
            }
        }
        Ok(Some(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_at_the_value_of_another_place_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::open(dir.path(), 1 << 20).expect("it opens");
        let key = |id| keys::row(crate::engine::durable::EpochId(1), "user", id);
        let value = |id| value::encode(&key(id), &"x".repeat(200)).expect("a value");
        let writes = ["a", "b"].map(|id| ((Tree::Replica, key(id)), Some(value(id))));
        database.write(&writes.into()).expect("written");
        // As if they had the same hash, and the hint were of the other one.
        let stored = |id| database.tree(Tree::Replica).get(compact::stored(Tree::Replica, &key(id))).expect("readable");
        let (a, b) = (stored("a"), stored("b"));
        database.marks.wrote(&compact::stored(Tree::Replica, &key("a")), b.as_deref(), a.as_deref());
        assert_eq!(database.get(Tree::Replica, &key("a")).expect("readable"), Some(value("a")));
        assert_eq!(database.get(Tree::Replica, &key("c")).expect("readable"), None);
    }

    #[test]
    fn the_last_change_is_found_wherever_it_stands() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::open(dir.path(), 1 << 20).expect("it opens");
        let epoch = crate::engine::durable::EpochId;
        let last = || database.last_change(&keys::changes(epoch(2))).expect("readable");
        let write = |epoch, number| {
            let writes = Writes::from([((Tree::Feed, keys::change(epoch, number)), Some(vec![1]))]);
            database.write(&writes).expect("written");
        };
        write(epoch(1), u64::MAX);
        write(epoch(3), 0);
        assert_eq!(last(), None, "of others' there are some");
        for number in [0, 1, 7, 1_000, 1 << 40, u64::MAX - 1, u64::MAX] {
            write(epoch(2), number);
            assert_eq!(last(), Some(number));
        }
    }
}
