//! When the memory that a sync took is given back.

use std::time::{Duration, Instant};

use aesync_protocol::StatusWord;

/// Between two times, at least: a change a second must not go through the heap each second.
const PAUSE: Duration = Duration::from_secs(30);

/// Finds the ends of syncs, when most of what they took is free again.
#[derive(Debug, Default)]
pub struct Tidying {
    /// Nothing was synced since the last time.
    done: bool,
    last: Option<Instant>,
}

impl Tidying {
    /// Whether now is the time, to be asked with each status. A time that came too soon after the last one comes with the next status.
    pub fn is_due(&mut self, word: StatusWord, now: Instant) -> bool {
        if word != StatusWord::Synced {
            self.done = false;
        } else if !self.done && self.last.is_none_or(|last| now.duration_since(last) >= PAUSE) {
            self.done = true;
            self.last = Some(now);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StatusWord::{Pending, Synced, Syncing};

    #[test]
    fn memory_is_given_back_once_after_each_sync_but_not_at_each_of_a_burst() {
        let start = Instant::now();
        let mut tidying = Tidying::default();
        for (second, word, is_due) in [
            (0, Syncing, false),
            (1, Synced, true),
            (2, Synced, false),
            (100, Synced, false),
            (101, Pending, false),
            (102, Synced, true),
            (103, Syncing, false),
            (104, Synced, false),
            (131, Synced, false),
            (132, Synced, true),
            (133, Synced, false),
        ] {
            assert_eq!(tidying.is_due(word, start + Duration::from_secs(second)), is_due, "{second}: {word}");
        }
    }
}
