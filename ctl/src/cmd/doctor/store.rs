//! The store, by reading from it through the daemon.

use aesync_protocol::client::ClientError;
use aesync_protocol::request::{Changed, Method, OutboxList, RecordsList};
use aesync_protocol::response::Role;

use super::{Finding, Told};
use crate::context::{Context, LOCAL};
use crate::text::{count, number};

pub(super) fn check(context: &Context, told: &Told) -> Option<Finding> {
    let status = told.status.as_ref()?;
    if told.role < Some(Role::Operator) {
        return Some(Finding::skipped("store", "This user may not read from the store.", "run it again with sudo"));
    }
    // One read from each part that lives on disk.
    let types = status.types.keys().map(|name| {
        read(context, &RecordsList { entity_type: name.clone(), limit: Some(1), after: None })
            .map_err(|error| (name.as_str(), error))
    });
    let outbox = read(context, &OutboxList { limit: Some(1), ..OutboxList::default() }).map_err(|error| ("the outbox", error));
    let feed = read(
        context,
        &Changed { since: status.seq.saturating_sub(1), log: None, limit: Some(1), entity_types: None, wait_ms: None },
    )
    .map_err(|error| ("the change feed", error));
    let records: u64 = status.types.values().map(|state| state.records).sum();
    Some(match types.chain([outbox, feed]).collect::<Result<Vec<()>, _>>() {
        Ok(_) => Finding::ok(
            "store",
            format!("It can be read: {}, feed at {}.", count(records, "record", "records"), number(status.seq)),
        ),
        Err((part, error)) => Finding::broken(
            "store",
            format!("Reading {part} failed: {error}."),
            "check the disk, then journalctl -u aesyncd; aectl bug-report",
        ),
    })
}

fn read<M: Method>(context: &Context, params: &M) -> Result<(), ClientError> {
    let path = context.socket_path().map_err(|error| ClientError::Protocol { reason: error.to_string() })?;
    let patience = context.patience(LOCAL);
    aesync_protocol::client::Client::connect_within(&path, patience)?.call_within(params, patience).map(drop)
}
