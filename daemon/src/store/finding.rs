//! What opening the store found that someone should know.

use std::fmt;

/// Something that was not as it should be when the store was opened, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub code: FindingCode,
    /// Sentences for people: what was found, and what was done.
    pub message: String,
}

impl Finding {
    /// One finding.
    pub(super) fn new(code: FindingCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FindingCode {
    /// The last stop was no clean one; the cheap checks were made.
    UncleanStop,
    /// The store did not open, was moved aside, and a fresh one was started (rule R44).
    StoreDamaged,
    /// The outbox was rebuilt from the journal (rule R44). Overlays are not: the ledger says so, and the engine makes them anew.
    OutboxRestored,
    /// The journal did not read to its end and was written anew, or, with a damaged store, a part of the outbox is lost.
    JournalDamaged,
    /// Of what was moved aside earlier, the oldest was removed.
    EvidenceRemoved,
    /// A value did not read, or values did not agree; what could be repaired was.
    StoreInconsistent,
}

impl FindingCode {
    /// The code as it stands in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UncleanStop => "unclean_stop",
            Self::StoreDamaged => "store_damaged",
            Self::OutboxRestored => "outbox_restored",
            Self::JournalDamaged => "journal_damaged",
            Self::EvidenceRemoved => "evidence_removed",
            Self::StoreInconsistent => "store_inconsistent",
        }
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
