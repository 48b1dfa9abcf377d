//! Which places may be written over the database: most reads are of places that are not, and need not look through every group for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::database::{Place, Tree};

/// Bits: sixteen for each of the writes that usually come together, so that one miss in some two hundred is taken for a hit.
const BITS: u64 = 1 << 16;

/// A Bloom filter of two bits to a place. It only ever gains places, so that whoever holds an earlier state of the groups reads it as well.
/// Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Traces(Arc<[AtomicU64]>);

impl Traces {
    /// Of nothing.
    pub(super) fn new() -> Self {
        Self((0..BITS / 64).map(|_| AtomicU64::new(0)).collect())
    }

    /// Leaves a place's trace. To be done before its group is shown.
    pub(super) fn leave(&self, (tree, key): &Place) {
        for (word, bit) in self.bits(*tree, key) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether something may be there; false only when nothing is.
    pub(super) fn lead_to(&self, tree: Tree, key: &[u8]) -> bool {
        self.bits(tree, key).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn bits(&self, tree: Tree, key: &[u8]) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let hash = xxh3_64_with_seed(key, tree as u64);
        [hash, hash >> 32].into_iter().filter_map(|half| {
            let at = half % BITS;
            Some((self.0.get(usize::try_from(at / 64).ok()?)?, 1 << (at % 64)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    #[test]
    fn they_lead_to_every_place_that_left_one_and_to_few_others() {
        const PLACES: u32 = 4_096;
        let traces = Traces::new();
        for number in 0..PLACES {
            traces.leave(&(Tree::Outbox, key(number)));
        }
        assert!((0..PLACES).all(|number| traces.lead_to(Tree::Outbox, &key(number))));
        let misled = (0..PLACES).filter(|number| traces.lead_to(Tree::Feed, &key(*number))).count();
        assert!(misled < 200, "{misled} of {PLACES}");
    }
}
