//! sled's files only grow. When they are far larger than what they hold, it is copied into a fresh directory while everything goes on.

mod copy;
mod due;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::batch::Footprint;
use super::database::{Database, Place, Tree};
use super::disk;
use super::fault::{Fault, catch_panic};
use super::home;
use super::keys;
use super::sizes::tree_bytes;
use copy::{Copied, Job};
use due::Due;

/// Places that may change during a copy; with more of them it is given up, and tried again when the files have grown.
const CHANGED: usize = 500_000;
/// Of these so many are brought over at a time, more than a group that goes into the database writes: some 60 ms of work.
const SLICE: usize = if cfg!(test) { 512 } else { 8_192 };
/// While nobody waits, so many times that.
const SLICES_AT_REST: usize = 8;

/// Watches the size of sled's files.
#[derive(Debug)]
pub(super) struct Rewriter {
    under_way: Option<UnderWay>,
    due: Due,
}

struct UnderWay {
    stage: Stage,
    /// Where the copy is; it goes with this value, unless it was taken.
    target: Option<PathBuf>,
    stop: Arc<AtomicBool>,
    /// Places that were written since it began, and are not in the copy.
    changed: BTreeSet<Place>,
}

enum Stage {
    Copying(JoinHandle<Result<Copied, Fault>>),
    CatchingUp(Box<Database>),
    Ended,
}

impl std::fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnderWay").field("changed", &self.changed.len()).finish_non_exhaustive()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It stops within a step, and lets go of both databases.
        let copy = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Copying(thread) => match thread.join() {
                Ok(Ok(Copied::Done(copy, _))) => Some(copy),
                Ok(_) => None,
                Err(_) => {
                    tracing::warn!("a rewrite of the store that was given up had panicked");
                    None
                }
            },
            Stage::CatchingUp(copy) => Some(copy),
            Stage::Ended => None,
        };
        if let Some(target) = self.target.take() {
            remove(copy, &target);
        }
    }
}

/// Closes and removes a copy. What is left of it would keep the disk full.
fn remove(copy: Option<Box<Database>>, target: &Path) {
    let closed = catch_panic(|| drop(copy));
    let removed = home::discard(target);
    if closed.is_err() || removed.is_err() {
        tracing::warn!(?closed, ?removed, path = %target.display(), "removing a copy of the store; the next start removes it");
    }
}

impl Rewriter {
    /// Leaves files of less than `floor` bytes as they are.
    pub(super) fn new(floor: u64) -> Self {
        Self { under_way: None, due: Due::new(floor) }
    }

    /// Bytes of keys and values: as counted, and what was written since.
    pub(super) fn live(&self) -> Option<u64> {
        self.due.live()
    }

    /// Whether a copy is being made.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The database holds so many bytes of keys and values.
    pub(super) const fn counted(&mut self, live: u64) {
        self.due.counted(live);
    }

    /// Keeps count of what the database holds.
    pub(super) const fn account(&mut self, Footprint { came, went }: Footprint) {
        self.due.account(came, went);
    }

    /// Whether a copy is made and waits to be brought up to date.
    #[cfg(test)]
    pub(super) fn is_made(&self) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| match &under_way.stage {
            Stage::Copying(thread) => thread.is_finished(),
            Stage::CatchingUp(_) | Stage::Ended => true,
        })
    }

    /// Notes what was written, for a copy that is being made.
    pub(super) fn written<'w>(&mut self, places: impl IntoIterator<Item = &'w Place>) {
        let Some(under_way) = &mut self.under_way else { return };
        under_way.changed.extend(places.into_iter().cloned());
        if under_way.changed.len() > CHANGED {
            self.due.was_too_late();
            self.abandon();
        }
    }

    /// Gives a copy up, and removes it.
    pub(super) fn abandon(&mut self) {
        self.under_way = None;
    }

    /// Begins a copy into the directory that `next` gives, when the files in `path` have become large. Without `at_rest` others wait for
    /// the disk, so it must pay more.
    pub(super) fn look(
        &mut self,
        database: &Arc<Database>,
        path: &Path,
        next: impl FnOnce() -> io::Result<PathBuf>,
        cache_bytes: u64,
        at_rest: bool,
    ) -> io::Result<()> {
        if self.under_way.is_some() || !self.due.wants_look(at_rest) {
            return Ok(());
        }
        let size = tree_bytes(path)?;
        if !self.due.look(size, disk::free(path), at_rest) {
            return Ok(());
        }
        let (target, stop) = (next()?, Arc::new(AtomicBool::new(false)));
        let (from, stopped) = (Arc::clone(database), Arc::clone(&stop));
        let job = Job { from, size, floor: self.due.floor(), target: target.clone(), cache_bytes, stop: stopped };
        let thread = std::thread::Builder::new().name("aesync-rewrite".to_owned()).spawn(move || job.run())?;
        self.due.count_began();
        self.under_way = Some(UnderWay { stage: Stage::Copying(thread), target: Some(target), stop, changed: BTreeSet::new() });
        Ok(())
    }

    /// Goes on with a copy, a step at a time: one that is complete, brought up to date and made durable, is to be switched to before
    /// anything else is written.
    pub(super) fn finish(&mut self, database: &Database, at_rest: bool) -> Result<Option<(Database, PathBuf)>, Fault> {
        let Some(mut under_way) = self.under_way.take() else { return Ok(None) };
        let copy = match std::mem::replace(&mut under_way.stage, Stage::Ended) {
            Stage::Copying(thread) if !thread.is_finished() => {
                under_way.stage = Stage::Copying(thread);
                self.under_way = Some(under_way);
                return Ok(None);
            }
            Stage::Copying(thread) => match thread.join().map_err(|_| Fault::Damaged("the rewrite panicked".to_owned()))?? {
                Copied::NotWorth(live) => {
                    self.due.counted(live);
                    return Ok(None);
                }
                Copied::NoRoom { live, wanted } => {
                    self.due.counted(live);
                    self.due.lacks_room(wanted);
                    tracing::warn!(
                        live,
                        wanted,
                        "the store's files are far larger than what they hold, and the disk lacks the free bytes to rewrite them; \
                             free some space, the daemon goes on by itself"
                    );
                    return Ok(None);
                }
                Copied::Done(copy, live) => {
                    self.due.counted(live);
                    copy
                }
            },
            Stage::CatchingUp(copy) => copy,
            Stage::Ended => return Ok(None),
        };
        // With an error the copy is dropped and its directory removed.
        under_way.stage = Stage::CatchingUp(copy);
        if !under_way.catch_up(database, if at_rest { SLICES_AT_REST } else { 1 })? {
            self.under_way = Some(under_way);
            return Ok(None);
        }
        let Stage::CatchingUp(copy) = std::mem::replace(&mut under_way.stage, Stage::Ended) else { return Ok(None) };
        let Some(path) = under_way.target.take() else { return Ok(None) };
        self.due.copied(tree_bytes(&path).unwrap_or_default());
        Ok(Some((*copy, path)))
    }
}

impl UnderWay {
    /// Brings over some of what changed; whether the copy is as the database then, durably.
    fn catch_up(&mut self, database: &Database, slices: usize) -> Result<bool, Fault> {
        let Stage::CatchingUp(copy) = &self.stage else { return Ok(false) };
        // It comes last, and says that nothing is lacking: a copy without it is never taken for the store.
        let number = (Tree::Meta, keys::NUMBER.to_vec());
        self.changed.remove(&number);
        for _ in 0..slices {
            let places = std::iter::from_fn(|| self.changed.pop_first()).take(SLICE);
            copy.write(&database.get_all(places)?)?;
        }
        if !self.changed.is_empty() {
            return Ok(false);
        }
        let value = database.get(number.0, &number.1)?;
        copy.write(&[(number, value)].into())?;
        copy.sync()?;
        Ok(true)
    }
}
