//! The store: what it takes up, and what a check of it finds.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// `store.figures`. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct StoreFigures {
    /// The database's files.
    pub database_bytes: u64,
    /// Keys and values in the database, as last counted; absent before the first count. The rest of its files is dead space, which a
    /// rewrite gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_bytes: Option<u64>,
    /// The journal.
    pub journal_bytes: u64,
    /// Of the journal, what can't be fetched again: the live outbox.
    pub journal_live_bytes: u64,
    /// What was moved aside because it was damaged, and waits for somebody to look at it.
    pub damaged_bytes: u64,
    /// Groups of changes that were made durable since the daemon started.
    pub syncs: u64,
    /// When the last of them was durable; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_at: Option<Timestamp>,
    /// The longest that one took.
    pub slowest_sync_ms: u64,
    /// Whether the database is being rewritten.
    pub rewriting: bool,
}

/// A part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum StorePart {
    /// The records, and the local changes that lie over them.
    Replica,
    /// What waits to reach the server, and the first answers to request ids.
    Outbox,
    /// The change feed.
    Feed,
    /// Cursors, counts, and whose all this is.
    Meta,
    /// The journal.
    Journal,
}

impl StorePart {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::Outbox => "outbox",
            Self::Feed => "feed",
            Self::Meta => "meta",
            Self::Journal => "journal",
        }
    }
}

/// What becomes of a damaged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// It is taken out and fetched from the server again. Of the feed: it begins behind it, and followers that are not that far are told to
    /// load the records again.
    Fetched,
    /// It is put back from the journal.
    Restored,
    /// It stays until the next start, which repairs what can be repaired.
    Restart,
}

/// A value that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DamagedValue {
    /// Which one, for people.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
    /// What becomes of it, without anybody's doing.
    pub remedy: Remedy,
}

/// `store.check`: one slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckedSlice {
    /// Where the slice is.
    pub part: StorePart,
    /// Values in it, or the journal's entries.
    pub values: u64,
    /// Their bytes, keys included.
    pub bytes: u64,
    /// Those whose checksum does not fit.
    pub damaged: Vec<DamagedValue>,
    /// `after` of the next slice; absent when this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
