//! What a full listing lacks, and the brakes on believing it (rules R28, R29).

use aesync_protocol::event::Origin;
use aesync_protocol::response::TypeReconciled;
use xxhash_rust::xxh3::xxh3_64;

use super::draft::{Draft, Key};
use super::durable::{Cursor, Row};
use super::retention::is_forgotten;
use super::transact::Done;
use super::view::Read;
use super::without::Mutation;

/// Rows that one slice looks at.
const SLICE: usize = 250;

/// The ids of a full listing, each as 8 bytes: of a million of them one in ten thousand million million stands for two. Then a row
/// that is gone is kept; no row is ever taken for gone because of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed(Vec<u64>);

impl Listed {
    /// An id is in the listing.
    pub fn add(&mut self, id: &str) {
        self.0.push(xxh3_64(id.as_bytes()));
    }

    /// The listing is whole: ids can be looked up from here on.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.0.sort_unstable();
        self.0.shrink_to_fit();
        self
    }

    /// Whether an id is in the whole listing.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.0.binary_search(&xxh3_64(id.as_bytes())).is_ok()
    }
}

/// What the comparison of a listing with the replica found, by which the listing is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Live rows that it lacks and that no local change concerns.
    pub missing: u64,
    /// Rows in it.
    pub listed: u64,
    /// The newest row in it: the next canary.
    pub newest_id: Option<String>,
    /// Whether somebody said that it may delete more than the brakes allow.
    pub accept: bool,
}

/// How far a listing is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settling {
    /// Rows up to this id are.
    pub after: String,
    /// Rows that were deleted.
    pub deleted: u64,
    /// Rows that are kept until another listing lacks them as well.
    pub held: u64,
}

/// Counts the live rows after `after` that the listing lacks and that no local change concerns. Tombstones that are old enough go.
///
/// # Errors
/// When the state can't be read.
pub fn sweep(draft: &mut Draft<'_>, entity_type: &str, listed: &Listed, after: &str) -> Read<Done> {
    let (rows, next) = slice(draft, entity_type, after)?;
    let mut missing = 0;
    for (id, row) in rows {
        let is_old = is_forgotten(&row, draft.at());
        if !(row.is_live() || is_old) || listed.has(&id) {
            continue;
        }
        let key: Key = (entity_type.to_owned(), id);
        match draft.overlay(&key)? {
            Some(_) => {}
            None if is_old => draft.forget_tombstone(&key),
            None => missing += 1,
        }
    }
    Ok(Done::Swept { entity_type: entity_type.to_owned(), missing, next })
}

/// Rows of a type with their ids, and the id behind which there may be more.
type Slice = (Vec<(String, Row)>, Option<String>);

/// The rows that follow an id.
fn slice(draft: &Draft<'_>, entity_type: &str, after: &str) -> Read<Slice> {
    let rows = draft.view().rows(draft.epoch(), entity_type, after, SLICE)?;
    let next = if rows.len() == SLICE { rows.last().map(|(id, _)| id.clone()) } else { None };
    Ok((rows, next))
}

/// Deletes what two listings, far enough apart, agree to be gone, unless that is more than the brakes allow and nobody accepted it: a slice
/// of it, from where `so_far` ends. Without that it is the first, which decides whether the brakes hold.
///
/// What it deletes is looked up slice by slice and not kept from the comparison, which may have found a million rows. A stop between two
/// slices leaves the rest for the next listing.
///
/// # Errors
/// When the state can't be read.
pub fn settle(
    draft: &mut Draft<'_>,
    entity_type: &str,
    listed: &Listed,
    compared: &Compared,
    so_far: Option<&Settling>,
) -> Read<Done> {
    let so_far = match so_far {
        Some(so_far) => so_far.clone(),
        None if brakes_hold(draft, entity_type, compared) => {
            // One broken answer must not ask a person until the next regular listing; a second one that says the same does.
            let await_second = draft.view().cursor(draft.epoch(), entity_type)?.missing == 0;
            let held = Settling { held: compared.missing, ..Settling::default() };
            return end(draft, entity_type, compared, &held, await_second);
        }
        None => Settling::default(),
    };
    if compared.missing == 0 {
        return end(draft, entity_type, compared, &so_far, false);
    }
    let (settled, has_more) = settle_slice(draft, entity_type, listed, compared.accept, so_far)?;
    if has_more {
        return Ok(Done::Settling { entity_type: entity_type.to_owned(), so_far: settled });
    }
    end(draft, entity_type, compared, &settled, settled.held > 0)
}

/// An empty listing proves nothing, since the server answers an error with one. That the canary is missing does not hold the brakes
/// by itself: it may be the very row that was deleted; that two listings agree, that they are not empty, and the cap on the number
/// guard against a broken answer.
fn brakes_hold(draft: &Draft<'_>, entity_type: &str, compared: &Compared) -> bool {
    let settings = draft.settings();
    let records = draft.ledger().records.get(entity_type).copied().unwrap_or(0);
    let cap = settings.brake_rows.max(records.saturating_mul(settings.brake_percent) / 100);
    let is_too_much = compared.missing > 0 && (compared.listed == 0 || compared.missing > cap);
    is_too_much && !compared.accept && !settings.without.is(Mutation::NoBrakes)
}

/// Deletes what is gone of the rows that follow, and notes what only this listing lacks; true when there may be more rows.
fn settle_slice(
    draft: &mut Draft<'_>,
    entity_type: &str,
    listed: &Listed,
    accept: bool,
    mut so_far: Settling,
) -> Read<(Settling, bool)> {
    let (settings, at) = (draft.settings(), draft.at());
    let at_once = accept || settings.without.is(Mutation::NoBrakes);
    let (rows, next) = slice(draft, entity_type, &so_far.after)?;
    for (id, row) in rows {
        let key: Key = (entity_type.to_owned(), id);
        if !row.is_live() || listed.has(&key.1) || draft.overlay(&key)?.is_some() {
            continue;
        }
        let agreed = row.missing_since.is_some_and(|since| at.millis_since(since) >= settings.reconcile_agree_ms);
        if agreed || at_once {
            let before = draft.seen(&key)?;
            draft.set_row(&key, Row { deleted_at: Some(at), ..row })?;
            draft.settle(&key, before, &[], Origin::Server)?;
            so_far.deleted += 1;
        } else {
            so_far.held += 1;
            if row.missing_since.is_none() {
                draft.set_row(&key, Row { missing_since: Some(at), ..row })?;
            }
        }
    }
    let has_more = next.is_some();
    so_far.after = next.unwrap_or_default();
    Ok((so_far, has_more))
}

/// The listing is settled: what became of it, and from where the type is pulled on.
fn end(draft: &mut Draft<'_>, entity_type: &str, compared: &Compared, settled: &Settling, await_second: bool) -> Read<Done> {
    let Compared { listed, newest_id: canary, accept, .. } = compared.clone();
    let records = draft.ledger().records.get(entity_type).copied().unwrap_or(0);
    let mut cursor = draft.view().cursor(draft.epoch(), entity_type)?;
    if listed > 0 || records == 0 || accept {
        let newest = match &canary {
            Some(id) => draft.row(&(entity_type.to_owned(), id.clone()))?.and_then(|row| row.updated_at),
            None => None,
        };
        // The high water follows the canary down: asked from above it, no answer would ever contain it again (rule R21).
        let high_water = cursor.high_water.min(newest);
        let last_reconciled_at = Some(draft.at());
        cursor = Cursor { last_reconciled_at, suspicious: false, listing_owed: false, canary, high_water, ..cursor };
    }
    cursor.missing = settled.held;
    draft.set_cursor(entity_type, cursor.clone());
    let result = TypeReconciled { listed, deleted: settled.deleted, held: settled.held, ..TypeReconciled::default() };
    Ok(Done::Reconciled { entity_type: entity_type.to_owned(), result, await_second, cursor })
}

#[cfg(test)]
#[path = "brakes_table.rs"]
mod brakes_table;
