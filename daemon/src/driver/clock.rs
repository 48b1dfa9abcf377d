//! The real clocks and dice, behind the engine's [`Now`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aesync_protocol::Timestamp;

use crate::engine::Now;

/// The wall clock may run ahead of the monotonic one by this much between two looks before it means that the machine slept (rule R37).
const SUSPENDED: Duration = Duration::from_secs(30);

/// The clocks of this process.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    last: Now,
}

impl Clock {
    pub(super) fn start() -> Self {
        let start = Instant::now();
        Self { start, last: read(start) }
    }

    /// This moment.
    pub(super) fn now(&self) -> Now {
        read(self.start)
    }

    /// This moment, and whether the machine slept since the last call.
    pub(super) fn look(&mut self) -> (Now, bool) {
        let now = read(self.start);
        let slept = slept(&self.last, &now);
        self.last = now;
        (now, slept)
    }

    /// The instant of a monotonic time.
    pub(super) fn instant(&self, mono: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + mono)
    }
}

/// This machine's wall time.
pub(super) fn wall() -> Timestamp {
    let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
    };
    Timestamp::from_millis(millis)
}

/// Whether the machine slept between two looks: the monotonic clock stands still meanwhile. A clock that was set forward looks the same, and
/// costs a new session; one that was set back does not.
fn slept(last: &Now, now: &Now) -> bool {
    let passed = i64::try_from(now.mono.saturating_sub(last.mono).as_millis()).unwrap_or(i64::MAX);
    let ahead = now.wall.millis_since(last.wall).saturating_sub(passed);
    ahead > i64::try_from(SUSPENDED.as_millis()).unwrap_or(i64::MAX)
}

fn read(start: Instant) -> Now {
    Now { mono: start.elapsed(), wall: wall(), dice: uuid::Uuid::new_v4().as_u128() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_ran_ahead_means_that_the_machine_slept() {
        let at =
            |mono: u64, wall: i64| Now { mono: Duration::from_secs(mono), wall: Timestamp::from_millis(wall * 1_000), dice: 0 };
        for (passed, wall, expected) in [
            (0, 0, false),
            (60, 60, false),
            (3_600, 3_600, false),
            (1, 31, false),
            (1, 32, true),
            (5, 8 * 3_600, true),
            (60, -3_600, false),
        ] {
            assert_eq!(
                slept(&at(100, 1_000), &at(100 + passed, 1_000 + wall)),
                expected,
                "{passed} s passed, {wall} s by the wall"
            );
        }
    }
}
