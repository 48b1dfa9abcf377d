//! Random numbers from a seed that a failed run prints.

use std::time::Duration;

/// The SplitMix64 generator: small, and every seed is a good one.
pub(crate) struct Dice(u64);

impl Dice {
    /// `actor` sets the throws of those who share a seed apart.
    pub(crate) fn new(seed: u64, actor: u64) -> Self {
        let mut dice = Self(seed ^ actor.wrapping_mul(0xA076_1D64_78BD_642F));
        dice.throw();
        dice
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.throw() % end
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Less than `millis`, to the microsecond: two commits are closer to each other than a millisecond.
    pub(crate) fn moment(&mut self, millis: u64) -> Duration {
        Duration::from_micros(self.below(millis * 1_000))
    }

    /// A UUID, always the same one at this point of a seed.
    pub(crate) fn uuid(&mut self) -> String {
        let bits = u128::from(self.throw()) << 64 | u128::from(self.throw());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }
}
