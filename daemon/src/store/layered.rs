//! The database with writes over it that it does not have yet.

use std::ops::Bound;

use super::database::{Database, Fault, Tree, Writes};

/// Reads see the writes where there are some, and else the database.
#[derive(Clone, Copy)]
pub(super) struct Layered<'a> {
    database: &'a Database,
    over: &'a Writes,
}

impl<'a> Layered<'a> {
    pub(super) const fn new(database: &'a Database, over: &'a Writes) -> Self {
        Self { database, over }
    }

    /// The value at a place.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<sled::IVec>, Fault> {
        if !self.over.is_empty()
            && let Some(over) = self.over.get(&(tree, key.to_vec()))
        {
            return Ok(over.as_deref().map(sled::IVec::from));
        }
        self.database.get(tree, key)
    }

    /// The keys and values that begin with `prefix`, in order, as long as `each` wants more.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
        from: Bound<&[u8]>,
        mut each: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Fault> {
        let start = from.map(|key| (tree, key.to_vec()));
        let over = self.over.range((start, Bound::Unbounded));
        let mut over = over
            .take_while(|((of, key), _)| *of == tree && key.starts_with(prefix))
            .map(|((_, key), value)| (key, value))
            .peekable();
        let mut wants_more = true;
        self.database.scan(tree, prefix, from, |key, value| {
            while wants_more && let Some((before, written)) = over.next_if(|(before, _)| before.as_slice() < key) {
                wants_more = written.as_deref().is_none_or(|written| each(before, written));
            }
            if wants_more {
                wants_more = match over.next_if(|(same, _)| same.as_slice() == key) {
                    Some((_, written)) => written.as_deref().is_none_or(|written| each(key, written)),
                    None => each(key, value),
                };
            }
            wants_more
        })?;
        while wants_more && let Some((key, written)) = over.next() {
            wants_more = written.as_deref().is_none_or(|written| each(key, written));
        }
        Ok(())
    }
}
