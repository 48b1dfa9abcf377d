//! Capped exponential backoff with full jitter (rule R14).

use std::time::Duration;

use super::Now;
use super::settings::Settings;

/// How often something failed in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure, and draws how long to wait: between half the first step and the cap of this many failures.
    pub fn fail(&mut self, settings: &Settings, now: &Now) -> Duration {
        let cap = self.cap(settings);
        self.failures = self.failures.saturating_add(1);
        let floor = settings.backoff_min.min(cap) / 2;
        floor + (cap - floor).mul_f64(now.between(u64::from(self.failures), 0.0, 1.0))
    }

    /// Starts anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row so far.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn cap(&self, settings: &Settings) -> Duration {
        let factor = 1_u32.checked_shl(self.failures.min(16)).unwrap_or(u32::MAX);
        settings.backoff_min.saturating_mul(factor).min(settings.backoff_max).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aesync_protocol::Timestamp;

    #[test]
    fn waits_double_up_to_the_cap_and_are_drawn_over_the_whole_range() {
        let settings = Settings::new("http://127.0.0.1", None, &[]);
        let mut shortest = [Duration::MAX; 10];
        let mut longest = [Duration::ZERO; 10];
        for dice in 0..2_000_u128 {
            let mut backoff = Backoff::default();
            for step in 0..10 {
                let wait = backoff.fail(&settings, &Now { mono: Duration::ZERO, wall: Timestamp::EPOCH, dice });
                shortest[step] = shortest[step].min(wait);
                longest[step] = longest[step].max(wait);
            }
        }
        for step in 0..10 {
            let cap = Duration::from_secs(1 << step).min(Duration::from_secs(60));
            assert!(longest[step] <= cap && longest[step] > cap.mul_f64(0.95), "step {step}: {:?}", longest[step]);
            assert!(shortest[step] >= Duration::from_millis(500), "step {step}: {:?}", shortest[step]);
            assert!(shortest[step] < Duration::from_millis(500) + cap.mul_f64(0.05), "step {step}: {:?}", shortest[step]);
        }
    }

    #[test]
    fn a_success_starts_it_anew() {
        let settings = Settings::new("http://127.0.0.1", None, &[]);
        let now = Now { mono: Duration::ZERO, wall: Timestamp::EPOCH, dice: 1 };
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert!(backoff.fail(&settings, &now) <= settings.backoff_max);
        }
        backoff.reset();
        assert!(backoff.fail(&settings, &now) <= settings.backoff_min);
    }
}
