//! Which of a journal's writes are still true, told by the file alone: sled is not asked.
//!
//! A place is known by a keyed hash of 128 bits, and the places are taken in parts that fit in memory: the file is read once for each.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::path::Path;

use super::super::database::Place;
use super::super::fault::Fault;
use super::super::keys;
use super::frames::{Frames, parse_write};
use super::read::{Survey, replay_at, unreadable};

/// Places of one part at most: some 26 MB. Tests have parts of a few places.
const PLACES: usize = if cfg!(test) { 8 } else { 900_000 };

/// Hashes whose keys are this process's own: nobody outside can make two places meet.
#[derive(Debug, Default)]
pub(in crate::store) struct Hasher(RandomState, RandomState);

impl Hasher {
    fn place(&self, (tree, key): &Place) -> (u64, u64) {
        (self.0.hash_one((*tree, key)), self.1.hash_one((*tree, key)))
    }

    /// A value's hash.
    pub(in crate::store) fn content(&self, value: &[u8]) -> u64 {
        self.0.hash_one(value)
    }
}

/// Places and values summed up, in whatever order: two that are equal are of the same ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Digest {
    values: u64,
    sum: u64,
}

impl Digest {
    /// Takes a place and the [content](Hasher::content) of its value in.
    pub(in crate::store) fn add(&mut self, hasher: &Hasher, place: &Place, content: u64) {
        self.add_hashed(hasher, hasher.place(place), content);
    }

    fn add_hashed(&mut self, hasher: &Hasher, place: (u64, u64), content: u64) {
        self.values = self.values.saturating_add(1);
        self.sum = self.sum.wrapping_add(hasher.1.hash_one((place, content)));
    }
}

/// The places whose hashes begin with a number of a range, each with what is known of its last write. What was removed is not there.
#[derive(Debug)]
pub(in crate::store) struct Part<'h> {
    hasher: &'h Hasher,
    from: u64,
    to: u64,
    known: HashMap<(u64, u64), u64>,
}

impl Part<'_> {
    /// Whether a place is of this part, if the journal has it.
    pub(in crate::store) fn covers(&self, place: &Place) -> bool {
        (self.from..=self.to).contains(&self.hasher.place(place).0)
    }

    /// The [content](Hasher::content) of what the journal has for a place.
    pub(in crate::store) fn content(&self, place: &Place) -> Option<u64> {
        self.known.get(&self.hasher.place(place)).copied()
    }

    /// Leaves a place out from now on.
    pub(in crate::store) fn forget(&mut self, place: &Place) {
        self.known.remove(&self.hasher.place(place));
    }

    /// Whether no place is left.
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Notes a write to a place; what is to be known of it is asked for only if the place is of this part.
    fn note(&mut self, place: &Place, known: impl FnOnce() -> Option<u64>) {
        let hash = self.hasher.place(place);
        if !(self.from..=self.to).contains(&hash.0) {
            return;
        }
        match known() {
            Some(known) => self.known.insert(hash, known),
            None => self.known.remove(&hash),
        };
        while self.known.len() > PLACES && self.from < self.to {
            let to = self.from.saturating_add(self.to.saturating_sub(self.from) / 2);
            self.to = to;
            self.known.retain(|hash, _| hash.0 <= to);
        }
    }
}

/// Gives the places that the journal keeps with the content of each, in parts.
pub(in crate::store) fn each_part(
    path: &Path,
    survey: Survey,
    hasher: &Hasher,
    each: impl FnMut(&mut Part<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    parts(path, survey, hasher, |_, value| hasher.content(value), each)
}

/// The digest of what the journal keeps.
pub(in crate::store) fn digest(path: &Path, survey: Survey, hasher: &Hasher) -> Result<Digest, Fault> {
    let mut digest = Digest::default();
    each_part(path, survey, hasher, |part| {
        for (place, content) in &part.known {
            digest.add_hashed(hasher, *place, *content);
        }
        Ok(())
    })?;
    Ok(digest)
}

/// Gives each value that the journal keeps, once.
pub(super) fn each_live(
    path: &Path,
    survey: Survey,
    mut each: impl FnMut(&Place, &[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    parts(
        path,
        survey,
        &Hasher::default(),
        |at, _| at,
        |part| {
            let mut offsets: Vec<u64> = std::mem::take(&mut part.known).into_values().collect();
            offsets.sort_unstable();
            let Some(mut frames) = Frames::open(path).map_err(unread)? else { return Ok(()) };
            for at in offsets {
                frames.skip_to(at).map_err(unread)?;
                let (place, value) = frames.next().map_err(unread)?.and_then(parse_write).ok_or_else(|| unreadable(at))?;
                each(&place, value.ok_or_else(|| unreadable(at))?)?;
            }
            Ok(())
        },
    )
}

fn parts(
    path: &Path,
    survey: Survey,
    hasher: &Hasher,
    known: impl Fn(u64, &[u8]) -> u64,
    mut each: impl FnMut(&mut Part<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (mut from, mut width) = (0_u64, u64::MAX);
    loop {
        let mut part = Part { hasher, from, to: from.saturating_add(width), known: HashMap::new() };
        replay_at(path, survey, 0, |at, place, value| {
            if keys::is_journaled(&place) {
                part.note(&place, || value.map(|value| known(at, value)));
            }
            Ok(())
        })
        .map_err(|fault| if let Fault::Io(error) = fault { unread(error) } else { fault })?;
        each(&mut part)?;
        let Some(next) = part.to.checked_add(1) else { return Ok(()) };
        (from, width) = (next, part.to.saturating_sub(part.from));
    }
}

/// What read before does not any more: that is no failure of whoever writes the values elsewhere.
fn unread(error: io::Error) -> Fault {
    Fault::Damaged(format!("reading the outbox journal: {error}"))
}
