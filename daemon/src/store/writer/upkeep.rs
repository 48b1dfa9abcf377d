//! What is due now and then, once a group is in the database: the rest of trims, checkpoints, compaction, the rewrite.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::database::{Database, Place, Tree};
use super::super::fault::{Fault, catch_panic};
use super::super::home;
use super::super::layered::Layered;
use super::super::over::Over;
use super::super::stage::Trim;
use super::Store;

/// How long reads of a database that was replaced may take before it is removed.
const REMOVE_DEADLINE: Duration = Duration::from_secs(30);
/// How often that is looked at.
const REMOVE_POLL: Duration = Duration::from_millis(20);

impl Store {
    pub(super) fn tidy(&mut self, database: &Database) -> Result<(), Fault> {
        for trim in std::mem::take(&mut self.trims) {
            // When this fails, what is left of the range goes at the next start.
            self.finish_trim(database, trim)?;
        }
        if self.journal.wants_checkpoint() {
            self.checkpoint(database)?;
            self.slot.journal.moves();
            let compacted = self.journal.compact(database);
            self.slot.journal.moved(self.journal.committed().end);
            match compacted {
                Err(fault) if self.journal.is_suspect() => return Err(fault),
                Err(fault) => {
                    tracing::warn!(error = %fault, "compacting the outbox journal failed; it goes on growing for now");
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Removes what is left of a range, in steps.
    fn finish_trim(&mut self, database: &Database, trim: Trim) -> Result<(), Fault> {
        loop {
            let step = trim.next_step(Layered::new(database, &Over::default(), None))?;
            if step.is_empty() {
                return Ok(());
            }
            let places: Vec<Place> = step.into_iter().map(|key| (Tree::Feed, key)).collect();
            self.rewriter.account(database.exchange(places.iter().map(|place| (place, None)), |_, _, _| {})?);
            self.rewriter.written(&places);
        }
    }

    /// Goes on with a rewrite, switches to one that is complete, or begins one when it is due.
    pub(super) fn rewrite(&mut self, at_rest: bool) {
        if self.failed {
            return;
        }
        let Some(database) = self.slot.get() else { return };
        match self.rewriter.finish(&database, at_rest) {
            Ok(Some((copy, path))) => {
                drop(database);
                self.switch_to(copy, path);
            }
            Ok(None) => {
                let dir = &self.dir;
                let looked = self.rewriter.look(&database, &self.home, || home::next(dir), self.cache_bytes, at_rest);
                if let Err(error) = looked {
                    tracing::warn!(%error, "the store can't be rewritten now; it goes on growing");
                }
            }
            Err(fault) => tracing::warn!(error = %fault, "rewriting the store failed; it goes on as it is"),
        }
    }

    fn switch_to(&mut self, copy: Database, path: PathBuf) {
        let switched = home::switch(&self.dir, &path);
        if let Err(error) = &switched {
            tracing::warn!(%error, "naming the rewritten store failed");
            if !home::is_current(&self.dir, &path) {
                remove_later(Some(Arc::new(copy)), Some(path));
                return;
            }
        }
        let old = self.slot.replace(Some(copy));
        let former = std::mem::replace(&mut self.home, path);
        tracing::info!(former = %former.display(), "the store was rewritten");
        // While a power cut may bring the former name back, what it names stays, for the next start to choose from.
        remove_later(old, Some(former).filter(|_| switched.is_ok()));
    }

    /// Makes sled durable, and notes that it is.
    pub(super) fn checkpoint(&mut self, database: &Database) -> Result<(), Fault> {
        let committed = self.journal.committed();
        if committed.checkpoint_end == committed.end {
            return Ok(());
        }
        if !self.slot.over().is_empty() {
            return Err(Fault::Io(std::io::ErrorKind::StorageFull.into()));
        }
        database.sync()?;
        Ok(self.journal.checkpoint()?)
    }
}

/// Closes a database that nobody writes any more, and removes its directory, if one is given, on a thread of its own: the close may take
/// seconds.
fn remove_later(database: Option<Arc<Database>>, path: Option<PathBuf>) {
    let remove = move || {
        // Reads that are under way end first.
        let deadline = Instant::now() + REMOVE_DEADLINE;
        while database.as_ref().is_some_and(|database| Arc::strong_count(database) > 1) && Instant::now() < deadline {
            std::thread::sleep(REMOVE_POLL);
        }
        let closed = catch_panic(|| drop(database));
        let removed = path.as_deref().map_or(Ok(()), home::discard);
        if closed.is_err() || removed.is_err() {
            tracing::warn!(
                ?closed,
                ?removed,
                ?path,
                "removing files of the store that are not in use; the next start removes them"
            );
        }
    };
    if let Err(error) = std::thread::Builder::new().name("aesync-remove".to_owned()).spawn(remove) {
        tracing::warn!(%error, "files of the store that are not in use are removed at the next start");
    }
}
