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

/// Finds the live rows after `after` that the listing lacks and that no local change concerns. Tombstones that are old enough go.
///
/// # Errors
/// When the state can't be read.
pub fn sweep(draft: &mut Draft<'_>, entity_type: &str, listed: &Listed, after: &str) -> Read<Done> {
    let rows = draft.view().rows(draft.epoch(), entity_type, after, SLICE)?;
    let next = if rows.len() == SLICE { rows.last().map(|(id, _)| id.clone()) } else { None };
    let mut missing = Vec::new();
    for (id, row) in rows {
        let is_old = is_forgotten(&row, draft.at());
        if !(row.is_live() || is_old) || listed.has(&id) {
            continue;
        }
        let key: Key = (entity_type.to_owned(), id);
        match draft.overlay(&key)? {
            Some(_) => {}
            None if is_old => draft.forget_tombstone(&key),
            None => missing.push(key.1),
        }
    }
    Ok(Done::Swept { entity_type: entity_type.to_owned(), missing, next })
}

/// Deletes what two listings, far enough apart, agree to be gone, unless that is more than the brakes allow and nobody accepted it.
///
/// An empty listing proves nothing, since the server answers an error with one. That the canary is missing does not hold the brakes
/// by itself: it may be the very row that was deleted; that two listings agree, that they are not empty, and the cap on the number
/// guard against a broken answer.
///
/// # Errors
/// When the state can't be read.
pub fn settle(
    draft: &mut Draft<'_>,
    entity_type: &str,
    missing: &[String],
    listed: u64,
    newest_id: Option<&str>,
    accept: bool,
) -> Read<Done> {
    let settings = draft.settings();
    let at = draft.at();
    let mut cursor = draft.view().cursor(draft.epoch(), entity_type)?;
    let mut result = TypeReconciled { listed, ..TypeReconciled::default() };
    let mut await_second = false;
    let records = draft.ledger().records.get(entity_type).copied().unwrap_or(0);
    let gone = missing.len() as u64;
    let no_brakes = settings.without.is(Mutation::NoBrakes);
    let cap = settings.brake_rows.max(records.saturating_mul(settings.brake_percent) / 100);
    if gone > 0 && !accept && (listed == 0 || gone > cap) && !no_brakes {
        result.held = gone;
        // One broken answer must not ask a person until the next regular listing; a second one that says the same does.
        await_second = cursor.missing == 0;
    } else {
        for id in missing {
            let key: Key = (entity_type.to_owned(), id.clone());
            let Some(row) = draft.row(&key)?.filter(Row::is_live) else { continue };
            let agreed = row.missing_since.is_some_and(|since| at.millis_since(since) >= settings.reconcile_agree_ms);
            if agreed || accept || no_brakes {
                let before = draft.seen(&key)?;
                draft.set_row(&key, Row { deleted_at: Some(at), ..row })?;
                draft.settle(&key, before, &[], Origin::Server)?;
                result.deleted += 1;
            } else {
                await_second = true;
                result.held += 1;
                if row.missing_since.is_none() {
                    draft.set_row(&key, Row { missing_since: Some(at), ..row })?;
                }
            }
        }
    }
    if listed > 0 || records == 0 || accept {
        let canary = newest_id.map(str::to_owned);
        let newest = match &canary {
            Some(id) => draft.row(&(entity_type.to_owned(), id.clone()))?.and_then(|row| row.updated_at),
            None => None,
        };
        // The high water follows the canary down: asked from above it, no answer would ever contain it again (rule R21).
        let high_water = cursor.high_water.min(newest);
        cursor = Cursor { last_reconciled_at: Some(at), suspicious: false, listing_owed: false, canary, high_water, ..cursor };
    }
    cursor.missing = result.held;
    draft.set_cursor(entity_type, cursor.clone());
    Ok(Done::Reconciled { entity_type: entity_type.to_owned(), result, await_second, cursor })
}

#[cfg(test)]
#[path = "brakes_table.rs"]
mod brakes_table;
