//! How long to wait before the next attempt to connect.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// 50 ms doubled so often is more than [`LONGEST`].
const MAX_DOUBLINGS: u32 = 7;

/// Doubles from 50 ms to 5 s. Half of each delay is random, so that applications don't all come back in the same instant.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Starts again from the shortest delay.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure; `dice` is any random number.
    pub(super) fn next_delay(&mut self, dice: u64) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures).min(LONGEST);
        self.failures = (self.failures + 1).min(MAX_DOUBLINGS);
        let half = ceiling / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_micros(dice % micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_50_ms_to_5_s_and_half_of_each_is_random() {
        let (mut low, mut high) = (Backoff::default(), Backoff::default());
        for ceiling in [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let ceiling = Duration::from_millis(ceiling);
            assert_eq!(low.next_delay(0), ceiling / 2);
            // The largest remainder of the half in microseconds plus one.
            let most = u64::try_from((ceiling / 2).as_micros()).expect("small");
            assert_eq!(high.next_delay(most), ceiling);
        }
        high.succeeded();
        assert_eq!(high.next_delay(0), Duration::from_millis(25));
    }
}
