//! The database with writes over it that it does not have yet.

use std::ops::Bound;

use super::database::{Database, Tree, Writes};
use super::fault::Fault;
use super::over::Over;

/// Reads see the newest writes where there are some, and else the database.
#[derive(Clone, Copy)]
pub(super) struct Layered<'a> {
    database: &'a Database,
    /// What is durable and not in the database yet.
    over: &'a Over,
    /// What is not durable yet.
    staged: Option<&'a Writes>,
}

impl<'a> Layered<'a> {
    pub(super) const fn new(database: &'a Database, over: &'a Over, staged: Option<&'a Writes>) -> Self {
        Self { database, over, staged }
    }

    fn newest_first(&self) -> impl Iterator<Item = &'a Writes> {
        let over = self.over;
        self.staged.into_iter().chain(over.newest_first()).filter(|layer| !layer.is_empty())
    }

    /// The value at a place.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let over = Some(self.over).filter(|over| over.may_hold(tree, key));
        let staged = self.staged.filter(|staged| !staged.is_empty());
        if over.is_some() || staged.is_some() {
            let place = (tree, key.to_vec());
            let mut layers = staged.into_iter().chain(over.into_iter().flat_map(Over::newest_first));
            if let Some(written) = layers.find_map(|layer| layer.get(&place)) {
                return Ok(written.clone());
            }
        }
        self.database.get(tree, key)
    }

    /// The keys and values that begin with `prefix`, in order, as long as `each` wants more.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        from: Bound<&[u8]>,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Fault> {
        let start = from.map(|key| (tree, key.to_vec()));
        let layers = self.newest_first().map(|layer| {
            let range = layer.range((start.clone(), Bound::Unbounded));
            range
                .take_while(|((of, key), _)| *of == tree && key.starts_with(prefix))
                .map(|((_, key), value)| (key.as_slice(), value.as_deref()))
                .peekable()
        });
        let mut layers: Vec<_> = layers.filter_map(|mut layer| layer.peek().is_some().then_some(layer)).collect();
        // The next write over the database, up to `end`; older ones of the same key are passed over.
        let mut next = |end: Bound<&[u8]>| {
            let first = layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| *key)).min()?;
            let is_before = match end {
                Bound::Unbounded => true,
                Bound::Included(end) => first <= end,
                Bound::Excluded(end) => first < end,
            };
            if !is_before {
                return None;
            }
            layers.iter_mut().fold(None, |newest, layer| newest.or(layer.next_if(|(key, _)| *key == first)))
        };
        let mut wants_more = true;
        self.database.scan(tree, prefix, from, &mut |key, value| {
            while wants_more && let Some((before, written)) = next(Bound::Excluded(key)) {
                wants_more = written.is_none_or(|written| each(before, written));
            }
            if wants_more {
                wants_more = match next(Bound::Included(key)) {
                    Some((_, written)) => written.is_none_or(|written| each(key, written)),
                    None => each(key, value),
                };
            }
            wants_more
        })?;
        while wants_more && let Some((key, written)) = next(Bound::Unbounded) {
            wants_more = written.is_none_or(|written| each(key, written));
        }
        Ok(())
    }
}
