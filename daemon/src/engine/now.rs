//! Time and chance as arguments: the engine reads neither a clock nor a random source.

use std::time::Duration;

use aesync_protocol::Timestamp;

/// The moment at which an input is handled, and the chance that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary start, never going back; timers count in this.
    pub mono: Duration,
    /// This machine's wall clock; only shown to people and held against a token's expiry, never against server times (rule R22).
    pub wall: Timestamp,
    /// Fresh randomness.
    pub dice: u64,
}

impl Now {
    /// A factor in `low..high` drawn from the dice; `salt` makes several draws of one moment independent.
    #[must_use]
    pub fn between(&self, salt: u64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction(salt)
    }

    /// A fraction in `0.0..1.0`, by SplitMix64's finalizer over the dice and the salt.
    #[expect(clippy::cast_precision_loss, reason = "53 of the 64 bits are kept, which is what an f64 holds")]
    fn fraction(&self, salt: u64) -> f64 {
        let mut bits = self.dice.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_range_and_differ_by_salt() {
        for dice in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let now = Now { mono: Duration::ZERO, wall: Timestamp::EPOCH, dice };
            let draws: Vec<f64> = (0..100).map(|salt| now.between(salt, 0.8, 1.2)).collect();
            assert!(draws.iter().all(|draw| (0.8..1.2).contains(draw)));
            assert!(draws.windows(2).any(|pair| pair[0] != pair[1]));
        }
    }
}
