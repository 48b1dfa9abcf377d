//! Made-up values.

use aesync_protocol::codec::EncodedChange;
use aesync_protocol::event::{Change, ChangeOp, Origin};
use aesync_protocol::response::{EntryOp, EntryState, Verdict};
use aesync_protocol::{Record, Timestamp};
use serde_json::json;

use crate::engine::durable::{Cursor, Entry, EpochId, Identity, Ledger, Overlay, Registry, Row, StoredAnswer};

pub(super) fn record(n: u64) -> Record {
    json!({ "id": n.to_string(), "name": format!("Zoë {n}"), "score": n as f64 / 3.0, "gone": null })
        .as_object()
        .cloned()
        .unwrap()
}

pub(super) fn row(n: u64) -> Row {
    Row {
        record: record(n).into(),
        hash: u128::from(n).wrapping_mul(u128::MAX / 7),
        updated_at: (n.is_multiple_of(2)).then(|| time(n)),
        deleted_at: (n.is_multiple_of(3)).then(|| time(n + 1)),
        missing_since: (n.is_multiple_of(5)).then(|| time(n + 2)),
    }
}

pub(super) fn overlay(n: u64) -> Overlay {
    Overlay { visible: (n.is_multiple_of(2)).then(|| record(n).into()), entries: vec![n, n + 1] }
}

pub(super) fn entry(epoch: EpochId, number: u64, state: EntryState, n: u64) -> Entry {
    Entry {
        state,
        bytes: n,
        attempts: 1,
        strikes: 2,
        verdict: (n.is_multiple_of(2)).then(|| Verdict::Overwritten { server: record(n + 1) }),
        blocked_by: (n.is_multiple_of(3)).then_some(n),
        ..Entry::new(epoch, number, ("end_user", &n.to_string()), EntryOp::Create, record(n), time(n))
    }
}

pub(super) fn change(seq: u64, n: u64) -> EncodedChange {
    encoded(&Change {
        seq,
        op: ChangeOp::Upsert,
        entity_type: "end_user".to_owned(),
        id: n.to_string(),
        record: Some(record(n)),
        origin: Origin::Server,
        pending: n.is_multiple_of(2),
        at: time(n),
    })
}

pub(super) fn encoded(change: &Change) -> EncodedChange {
    EncodedChange::new(change).unwrap()
}

pub(super) fn cursor(n: u64) -> Cursor {
    Cursor { high_water: Some(time(n)), canary: Some(n.to_string()), first_sync_done: true, ..Cursor::default() }
}

pub(super) fn ledger(first_seq: u64, last_seq: u64) -> Ledger {
    Ledger { log: "feed".to_owned(), first_seq, last_seq, ..Ledger::default() }
}

pub(super) fn registry(last_entry: u64) -> Registry {
    let identity = |user: &str| Identity { server: "https://example.com".into(), tenant: "t".into(), user: user.into() };
    Registry {
        epochs: [(EpochId(7), identity("a")), (EpochId(8), identity("b"))].into(),
        current: Some(EpochId(7)),
        paused: false,
        last_entry,
    }
}

pub(super) fn answer(n: u64) -> StoredAnswer {
    StoredAnswer { entries: Vec::new(), ends: std::collections::BTreeMap::new(), changes_hash: u128::from(n) << 70, at: time(n) }
}

fn time(n: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + i64::try_from(n).unwrap())
}
