//! What is durable in the journal and not in the database yet: the last groups, over the database until they are written into it together.
//! What one of them writes and a later one writes again, as an entry does on its way through the outbox, then never gets there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::database::{Place, Tree, Writes};
use super::traces::Traces;

/// Groups that lie over the database at most: each is looked into by every read.
const GROUPS: usize = if cfg!(test) { 4 } else { 64 };
/// Writes in them at which they go into the database: some 30 ms of work, for which the next group waits.
const WRITES: usize = 4_096;
/// And bytes of their keys and values, for the sake of memory.
const BYTES: usize = 4 * 1024 * 1024;

/// The groups, oldest first. Cheap to clone: readers hold on to the ones that they began with.
#[derive(Clone, Debug, Default)]
pub(super) struct Over {
    groups: Arc<Vec<Arc<Writes>>>,
    /// Of the places in them; none without groups.
    traces: Option<Traces>,
    writes: usize,
    bytes: usize,
}

impl Over {
    /// These groups with a newer one.
    pub(super) fn with(&self, group: Writes) -> Self {
        let bytes: usize = group.iter().map(|((_, key), value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        let (writes, bytes) = (self.writes.saturating_add(group.len()), self.bytes.saturating_add(bytes));
        let traces = self.traces.clone().unwrap_or_else(Traces::new);
        group.keys().for_each(|place| traces.leave(place));
        let groups = self.groups.iter().cloned().chain([Arc::new(group)]).collect();
        Self { groups: Arc::new(groups), traces: Some(traces), writes, bytes }
    }

    /// Whether it is time to write them into the database.
    pub(super) fn is_full(&self) -> bool {
        self.groups.len() >= GROUPS || self.writes >= WRITES || self.bytes >= BYTES
    }

    /// Bytes of their keys and values.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether one of them may write to a place; false only when none does.
    pub(super) fn may_hold(&self, tree: Tree, key: &[u8]) -> bool {
        self.traces.as_ref().is_some_and(|traces| traces.lead_to(tree, key))
    }

    /// The groups, newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Writes> {
        self.groups.iter().rev().map(|group| &**group)
    }

    /// All of it as one group: of two writes to a place, the newer.
    pub(super) fn merged(&self) -> BTreeMap<&Place, Option<&[u8]>> {
        self.groups.iter().flat_map(|group| group.iter()).map(|(place, value)| (place, value.as_deref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(writes: impl IntoIterator<Item = (u32, Option<usize>)>) -> Writes {
        let place = |key: u32| (Tree::Outbox, key.to_be_bytes().to_vec());
        writes.into_iter().map(|(key, length)| (place(key), length.map(|length| vec![0; length]))).collect()
    }

    #[test]
    fn of_two_writes_to_a_place_the_newer_counts() {
        let over = Over::default().with(group([(1, Some(5)), (2, Some(5))])).with(group([(1, None), (3, Some(7))]));
        let lengths: Vec<_> = over.merged().values().map(|value| value.map(<[u8]>::len)).collect();
        assert_eq!(lengths, [None, Some(5), Some(7)]);
        assert!((1..=3_u32).all(|key| over.may_hold(Tree::Outbox, &key.to_be_bytes())));
        let newest = over.newest_first().next().expect("two groups");
        assert_eq!(newest, &group([(1, None), (3, Some(7))]));
    }

    #[test]
    fn it_is_full_with_so_many_groups_or_writes_or_bytes() {
        let small = (1..GROUPS).fold(Over::default(), |over, _| over.with(group([(1, Some(1))])));
        assert!(!small.is_full());
        assert!(small.with(group([(1, Some(1))])).is_full());
        let many = |count: u32| Over::default().with(group((0..count).map(|key| (key, None))));
        let most = u32::try_from(WRITES).expect("a small number");
        assert!(!many(most - 1).is_full() && many(most).is_full());
        assert!(Over::default().with(group([(1, Some(BYTES))])).is_full());
    }
}
