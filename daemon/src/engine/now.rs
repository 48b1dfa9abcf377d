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
    pub dice: u128,
}

impl Now {
    /// A factor in `low..high` drawn from the dice; `salt` makes several draws of one moment independent.
    #[must_use]
    pub fn between(&self, salt: u64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction(salt)
    }

    /// A random UUID.
    #[must_use]
    pub fn uuid(&self, salt: u64) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.draw(salt).to_be_bytes()).into_uuid()
    }

    /// The same moment with dice of its own: for one of several that draw at this moment.
    #[must_use]
    pub fn apart(&self, salt: u64) -> Self {
        Self { dice: self.draw(salt), ..*self }
    }

    fn draw(&self, salt: u64) -> u128 {
        let mut bytes = [0; 24];
        let (dice, rest) = bytes.split_at_mut(16);
        dice.copy_from_slice(&self.dice.to_le_bytes());
        rest.copy_from_slice(&salt.to_le_bytes());
        xxhash_rust::xxh3::xxh3_128(&bytes)
    }

    /// A fraction in `0.0..1.0`.
    fn fraction(&self, salt: u64) -> f64 {
        let bits = (self.draw(salt) >> 75) as u64;
        bits as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_range_and_differ_by_salt() {
        for dice in [0, 1, u128::MAX, 0x1234_5678_9abc_def0] {
            let now = Now { mono: Duration::ZERO, wall: Timestamp::EPOCH, dice };
            let draws: Vec<f64> = (0..100).map(|salt| now.between(salt, 0.8, 1.2)).collect();
            assert!(draws.iter().all(|draw| (0.8..1.2).contains(draw)));
            assert!(draws.windows(2).any(|pair| pair[0] != pair[1]));
        }
    }
}
