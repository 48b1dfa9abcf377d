//! The status in one word, from facts, of which the first that applies wins (rule R42).

use aesync_protocol::StatusWord;
use aesync_protocol::status::OfflineReason;

/// What the word is derived from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Why the server can't be reached or may not be.
    pub(super) offline: Option<OfflineReason>,
    /// A request is in flight.
    pub(super) asking: bool,
    /// The first sync of some type is not done.
    pub(super) first_sync: bool,
    /// Changes that are neither confirmed nor settled; conflicts are settled, and wait for nobody but a person.
    pub(super) unconfirmed: u64,
    /// Some type was not pulled since the last connect, or is dirty or suspicious.
    pub(super) stale: bool,
}

impl Facts {
    /// The word, and with `offline` the reason.
    pub(super) const fn word(&self) -> (StatusWord, Option<OfflineReason>) {
        match self.offline {
            Some(_) => (StatusWord::Offline, self.offline),
            None if self.asking || self.first_sync => (StatusWord::Syncing, None),
            None if self.unconfirmed > 0 || self.stale => (StatusWord::Pending, None),
            None => (StatusWord::Synced, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fact_that_applies_decides_the_word_for_every_combination() {
        for bits in 0..32_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            let offline = bit(0).then_some(OfflineReason::Paused);
            let facts = Facts { offline, asking: bit(1), first_sync: bit(2), unconfirmed: u64::from(bit(3)), stale: bit(4) };
            // Counted from the strongest: the lowest bit that is set decides.
            let expected = match bits.trailing_zeros() {
                0 => StatusWord::Offline,
                1 | 2 => StatusWord::Syncing,
                3 | 4 => StatusWord::Pending,
                _ => StatusWord::Synced,
            };
            assert_eq!(facts.word(), (expected, offline), "{facts:?}");
        }
    }

    #[test]
    fn each_reason_to_be_offline_is_told() {
        for reason in [
            OfflineReason::Unreachable,
            OfflineReason::SignedOut,
            OfflineReason::AuthRequired,
            OfflineReason::Misconfigured,
            OfflineReason::Paused,
        ] {
            let facts = Facts { offline: Some(reason), ..Facts::default() };
            assert_eq!(facts.word(), (StatusWord::Offline, Some(reason)));
        }
    }
}
