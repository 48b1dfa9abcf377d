//! The store, by reading from it through the daemon, and what it takes up.

use aesync_protocol::Timestamp;
use aesync_protocol::client::ClientError;
use aesync_protocol::request::{Changed, GetStoreFigures, Method, OutboxList, RecordsList};
use aesync_protocol::response::{Role, StoreFigures};

use super::{Finding, Told};
use crate::context::{Context, LOCAL};
use crate::keeper::Keeper;
use crate::output::now;
use crate::text::{ago, bytes, count, number, span};

/// A change that waits longer for the disk is worth a look, in milliseconds.
const SLOW_MS: u64 = 1_000;

pub(super) fn check(context: &Context, told: &Told, keeper: &Keeper) -> Vec<Finding> {
    let Some(status) = told.status.as_ref() else { return Vec::new() };
    if told.role < Some(Role::Operator) {
        return vec![Finding::skipped("store", "This user may not read from the store.", "run it again with sudo")];
    }
    // One read from each part that lives on disk.
    let types = status.types.keys().map(|name| {
        read(context, &RecordsList { entity_type: name.clone(), limit: Some(1), after: None })
            .map(drop)
            .map_err(|error| (name.as_str(), error))
    });
    let outbox = OutboxList { limit: Some(1), ..OutboxList::default() };
    let outbox = read(context, &outbox).map(drop).map_err(|error| ("the outbox", error));
    let feed = Changed { since: status.seq.saturating_sub(1), log: None, limit: Some(1), entity_types: None, wait_ms: None };
    let feed = read(context, &feed).map(drop).map_err(|error| ("the change feed", error));
    let records: u64 = status.types.values().map(|state| state.records).sum();
    let readable = match types.chain([outbox, feed]).collect::<Result<Vec<()>, _>>() {
        Ok(_) => Finding::ok(
            "store",
            format!("It can be read: {}, feed at {}.", count(records, "record", "records"), number(status.seq)),
        ),
        Err((part, error)) => Finding::broken(
            "store",
            format!("Reading {part} failed: {error}."),
            format!("check the disk, then {}; aectl bug-report", keeper.log()),
        ),
    };
    let figures = match read(context, &GetStoreFigures {}) {
        Ok(figures) => space(&figures, now()),
        Err(error) => vec![Finding::skipped(
            "store-space",
            format!("What it takes up can't be told: {error}."),
            "update aesyncd if it is older than this aectl",
        )],
    };
    std::iter::once(readable).chain(figures).collect()
}

/// What the store takes up, when it was last made durable, and what deserves a look there.
fn space(figures: &StoreFigures, now: Timestamp) -> Vec<Finding> {
    let database = match figures.live_bytes {
        Some(live) => {
            let dead = figures.database_bytes.saturating_sub(live);
            format!("{} ({} live, {} dead)", bytes(figures.database_bytes), bytes(live), bytes(dead))
        }
        None => format!("{} (not counted yet)", bytes(figures.database_bytes)),
    };
    let rewriting = if figures.rewriting { "; it is being rewritten" } else { "" };
    let flushed = match figures.last_sync_at {
        Some(at) => format!("last flush {}", ago(now, at)),
        None => "nothing was written since the start".to_owned(),
    };
    let mut findings = vec![Finding::ok(
        "store-space",
        format!(
            "Database {database}{rewriting}; journal {} ({} live); {flushed}.",
            bytes(figures.journal_bytes),
            bytes(figures.journal_live_bytes)
        ),
    )];
    if figures.damaged_bytes > 0 {
        findings.push(Finding::warning(
            "store-damaged",
            format!("{} of a damaged store were moved aside.", bytes(figures.damaged_bytes)),
            "check the disk; then remove damaged-* from the state directory",
        ));
    }
    if figures.slowest_sync_ms > SLOW_MS {
        let longest = span(i64::try_from(figures.slowest_sync_ms).unwrap_or(i64::MAX));
        findings.push(Finding::warning(
            "store-slow",
            format!("The disk is slow: a change waited {longest} for it."),
            "see what else writes to it, or give the state a faster one",
        ));
    }
    findings
}

fn read<M: Method>(context: &Context, params: &M) -> Result<M::Answer, ClientError> {
    let path = context.socket_path().map_err(|error| ClientError::Protocol { reason: error.to_string() })?;
    let patience = context.patience(LOCAL);
    aesync_protocol::client::Client::connect_within(&path, patience)?.call_within(params, patience)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn what_was_moved_aside_and_a_slow_disk_deserve_a_look() {
        let quiet = StoreFigures {
            database_bytes: 70 << 20,
            live_bytes: Some(30 << 20),
            journal_bytes: 512 << 10,
            journal_live_bytes: 1_300,
            damaged_bytes: 0,
            syncs: 8,
            last_sync_at: Some(Timestamp::from_millis(0)),
            slowest_sync_ms: 41,
            rewriting: false,
        };
        let told = space(&quiet, Timestamp::from_millis(60_000));
        let [Finding { level: Level::Ok, message, .. }] = &told[..] else { panic!("{told:?}") };
        for part in ["70.0 MiB", "30.0 MiB live", "40.0 MiB dead", "512.0 KiB", "last flush 1 min ago"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let uneasy = StoreFigures { damaged_bytes: 1, slowest_sync_ms: SLOW_MS + 1, ..quiet };
        let told = space(&uneasy, Timestamp::from_millis(60_000));
        let levels: Vec<_> = told.iter().map(|finding| (finding.check, finding.level)).collect();
        assert_eq!(levels[1..], [("store-damaged", Level::Warning), ("store-slow", Level::Warning)]);
    }
}
