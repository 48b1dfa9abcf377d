//! What the daemon remembers: the shapes that the store keeps and the engine reads. No behaviour but small derivations.

use std::collections::BTreeMap;
use std::sync::Arc;

use aesync_protocol::response::{EntryError, EntryOp, EntryState, PushedEntry, Verdict};
use aesync_protocol::status::OutboxStatus;
use aesync_protocol::{Record, Timestamp};
use serde::{Deserialize, Serialize};

/// Whose state it is (rule R38): everything durable hangs below one of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The server's address, normalised.
    pub server: String,
    /// The tenant's id, in lower case.
    pub tenant: String,
    /// Who signed in, as the token tells; empty when it does not.
    pub user: String,
}

/// The number of an [`Identity`] in this store: short, for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochId(pub u32);

/// What holds for the whole store. A fresh store has the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// All identities that ever signed in.
    pub epochs: BTreeMap<EpochId, Identity>,
    /// The one whose state is served; none before the first sign-in.
    pub current: Option<EpochId>,
    /// Set between `pause` and `resume`.
    pub paused: bool,
    /// The number that the next outbox entry gets, less one.
    pub last_entry: u64,
}

/// An epoch's counters, written with every change that moves them, so that nothing needs to be counted at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The identity of the change feed.
    pub log: String,
    /// The oldest change that is kept; `last_seq + 1` when there is none.
    pub first_seq: u64,
    /// The newest change; 0 when there is none.
    pub last_seq: u64,
    /// What the kept changes take up, in bytes, as far as they were counted.
    #[serde(default)]
    pub feed_bytes: u64,
    /// The overlays of the entries behind this number are not made yet: the outbox came back without what applications saw of it
    /// (rule R44). Until they are, nothing else is done with this epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<u64>,
    /// Outbox entries by state.
    pub outbox: OutboxStatus,
    /// Base rows that are not deleted, by type.
    pub records: BTreeMap<String, u64>,
    /// What the server was found not to do, by type (rule R18).
    pub dropped: BTreeMap<String, Dropped>,
}

/// What the server was found to drop for a type, and when it was last seen to (rule R18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Updates of rows that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates: Option<Timestamp>,
    /// Deletions of rows that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes: Option<Timestamp>,
}

/// A row of the base: what the server showed last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The content as applications last saw it. Server bookkeeping in it may be older than `updated_at` (rule R24).
    pub record: Arc<Record>,
    /// Hash of the content without server bookkeeping fields.
    pub hash: u128,
    /// The server's own stamp, cut to milliseconds; the newest seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// When it was deleted; a tombstone that can be undone (rule R29).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Since when full listings lack it (rule R29).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Timestamp>,
}

impl Entry {
    /// A change that waits for its turn and was never sent. The size of its fields is left at 0.
    #[must_use]
    pub fn new(
        epoch: EpochId,
        number: u64,
        (entity_type, id): (&str, &str),
        op: EntryOp,
        fields: impl Into<Arc<Record>>,
        enqueued_at: Timestamp,
    ) -> Self {
        Self {
            number,
            epoch,
            entity_type: entity_type.to_owned(),
            id: id.to_owned(),
            op,
            state: EntryState::Pending,
            fields: fields.into(),
            bytes: 0,
            enqueued_at,
            attempts: 0,
            sent_at: None,
            misses: 0,
            strikes: 0,
            verdict: None,
            last_error: None,
            blocked_by: None,
            base_stamp: None,
            requests: Vec::new(),
        }
    }

    /// As applications are shown it: without secret fields (rule R41).
    #[must_use]
    pub fn shown(&self, secret_fields: &[String], parked: bool) -> aesync_protocol::response::Entry {
        let mut shown = Record::clone(&self.fields);
        shown.retain(|field, _| !secret_fields.contains(field));
        aesync_protocol::response::Entry {
            entry: self.number,
            entity_type: self.entity_type.clone(),
            id: self.id.clone(),
            op: self.op,
            state: self.state,
            data: shown,
            bytes: self.bytes,
            enqueued_at: self.enqueued_at,
            attempts: self.attempts,
            sent_at: self.sent_at,
            verdict: self.verdict.clone(),
            last_error: self.last_error.clone(),
            parked,
        }
    }
}

impl Row {
    /// Whether applications would see it, were there no local changes.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }
}

/// What applications see of an entity that has local changes (rule R26); there is one exactly while there are such changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// The record with all local changes; `None` when they delete it.
    pub visible: Option<Arc<Record>>,
    /// The outbox entries that make it, oldest first; never empty.
    pub entries: Vec<u64>,
}

/// A local change on its way to the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: unique in the store, rising in the order of enqueueing.
    pub number: u64,
    /// Whose it is.
    pub epoch: EpochId,
    /// The entity's type.
    pub entity_type: String,
    /// The entity's id, a UUID in lower case.
    pub id: String,
    /// What it does.
    pub op: EntryOp,
    /// Where it stands.
    pub state: EntryState,
    /// What is sent, `id` and `is_deleted` included.
    pub fields: Arc<Record>,
    /// The size of `fields` as JSON, in bytes.
    pub bytes: u64,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// How often it was sent. An entry that was ever sent is frozen (rule R5).
    pub attempts: u32,
    /// When it was last sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Healthy pulls since it was accepted that did not show it (rule R16).
    #[serde(default)]
    pub misses: u32,
    /// Failures alone, each with a control request that succeeded since (rule R11).
    #[serde(default)]
    pub strikes: u32,
    /// What the server made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What went wrong the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<EntryError>,
    /// The quarantined entry that it waits for (rule R12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<u64>,
    /// The server's stamp of the base row when it was sent: a row that still carries it was not touched since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_stamp: Option<Timestamp>,
    /// The request ids of the pushes that made it, newest last (rule R4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<String>,
}

/// How far a type was pulled (rules R19 to R21, R30).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The server time up to which everything was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_water: Option<Timestamp>,
    /// The id of the newest row received, which every healthy answer contains again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// The first sync is done.
    #[serde(default)]
    pub first_sync_done: bool,
    /// Empty answers in a row while the first sync is not done: one alone proves nothing.
    #[serde(default)]
    pub empty_answers: u32,
    /// The last answer lacked the canary.
    #[serde(default)]
    pub suspicious: bool,
    /// The store can't vouch for what it keeps of this type: a full listing is owed, and stays so until one is settled (rule R28).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listing_owed: bool,
    /// Rows that the last full listing lacked and that are kept until a second one agrees, or a person accepts it (rule R29).
    #[serde(default)]
    pub missing: u64,
    /// This machine's time of the last pull that was stored whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pulled_at: Option<Timestamp>,
    /// This machine's time of the last full listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reconciled_at: Option<Timestamp>,
}

/// The first answer to a push that carried a `requestId` (rule R4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// What was answered.
    pub entries: Vec<PushedEntry>,
    /// How the entries ended that left the outbox since, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<u64, EntryState>,
    /// A hash of the changes, so that the same id with other changes is refused rather than answered wrongly.
    pub changes_hash: u128,
    /// When, for retention.
    pub at: Timestamp,
}
