//! A journal that is written anew, and then takes the place of the one that is there.

use std::io;
use std::ops::Bound;
use std::path::Path;

use super::super::database::{Database, Place, Tree};
use super::super::disk::{self, Output};
use super::super::fault::Fault;
use super::super::{keys, value};
use super::frames::{CHECKPOINT, MAGIC, frame_len, push_commit, push_write};
use super::{Survey, live};

/// So much is written at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// Where a new journal takes its values from.
#[derive(Clone, Copy)]
pub(in crate::store) enum Source<'a> {
    /// What the journal in its place keeps: it must read up to its last commit.
    Journal(Survey),
    /// What the database has, when each value's checksum fits.
    Checked(&'a Database),
    /// What the database has, damaged or not: there is nothing else.
    Database(&'a Database),
}

/// Writes the journal that is to take the place of the one at `path`, durably, beside it. Gives it with the bytes of its values' frames.
pub(super) fn write(path: &Path, source: Source<'_>, number: u64) -> Result<(Output, u64), Fault> {
    let beside = path.with_extension("new");
    let written = write_at(&beside, path, source, number);
    if written.is_err() && beside.exists() {
        // On a full disk it stands in the way of what would help.
        let _ = disk::remove(&beside);
    }
    written
}

fn write_at(beside: &Path, path: &Path, source: Source<'_>, number: u64) -> Result<(Output, u64), Fault> {
    let mut file = Output::create(beside)?;
    let mut chunk = MAGIC.to_vec();
    let mut live = 0_u64;
    let mut push = |place: &Place, value: &[u8]| {
        live = live.saturating_add(frame_len(&place.1, value.len()));
        push_write(&mut chunk, place, Some(value))?;
        if chunk.len() >= CHUNK {
            file.write(&chunk)?;
            chunk.clear();
        }
        Ok::<_, io::Error>(())
    };
    match source {
        Source::Journal(survey) => live::each_live(path, survey, |place, value| Ok(push(place, value)?))?,
        Source::Database(database) => each_stored(database, |place, value| Ok(push(place, value)?))?,
        Source::Checked(database) => each_stored(database, |place, value| {
            let damaged = |damage| Fault::Damaged(format!("{}: {damage}", keys::describe(place.0, &place.1)));
            value::whole(&place.1, value).map_err(damaged)?;
            Ok(push(place, value)?)
        })?,
    }
    push_commit(&mut chunk, CHECKPOINT, number)?;
    file.write(&chunk)?;
    file.sync()?;
    Ok((file, live))
}

/// The values that the journal keeps, as the database has them.
pub(super) fn each_stored(database: &Database, mut each: impl FnMut(&Place, &[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut outcome = Ok(());
    for tree in [Tree::Outbox, Tree::Meta] {
        database.scan(tree, &[], Bound::Unbounded, &mut |key, value| {
            let place = (tree, key.to_vec());
            if keys::is_journaled(&place) {
                outcome = each(&place, value);
            }
            outcome.is_ok()
        })?;
    }
    outcome
}
