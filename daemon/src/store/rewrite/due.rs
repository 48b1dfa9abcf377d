//! When a rewrite is due: a pure policy, of sizes and times.

use std::time::{Duration, Instant};

/// While writes go on, the files are looked at so often at most.
const LOOK_EVERY: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 10 });
/// Since the last look the files must have grown by one of so many parts.
const GROWTH: u64 = 16;
/// The same while writes go on, so that a load that leaves much behind is not copied over and over.
const BUSY_GROWTH: u64 = 2;

/// What is known of the files and of what they hold. All sizes are in bytes.
#[derive(Debug)]
pub(super) struct Due {
    /// Smaller files are left as they are.
    floor: u64,
    /// The size of the files when they were last counted or copied.
    looked: Option<u64>,
    looked_at: Option<Instant>,
    /// Keys and values, when they were last counted.
    counted: Option<u64>,
    /// What was written since that count began, and what went.
    came: u64,
    went: u64,
    /// Smaller files are left as they are while writes go on, since the last copy was given up.
    busy_floor: u64,
    /// Free space that the last copy would have wanted.
    wanted: Option<u64>,
}

impl Due {
    pub(super) const fn new(floor: u64) -> Self {
        Self { floor, looked: None, looked_at: None, counted: None, came: 0, went: 0, busy_floor: 0, wanted: None }
    }

    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Keys and values: as counted, and what was written since.
    pub(super) fn live(&self) -> Option<u64> {
        self.counted.map(|counted| counted.saturating_add(self.came).saturating_sub(self.went))
    }

    /// Keys and values of so many bytes were written, where so many had been.
    pub(super) const fn account(&mut self, came: u64, went: u64) {
        self.came = self.came.saturating_add(came);
        self.went = self.went.saturating_add(went);
    }

    /// Whether the size of the files is to be looked at.
    pub(super) fn wants_look(&self, at_rest: bool) -> bool {
        at_rest || self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY)
    }

    /// Files of this size, on a disk with so much free space, are to be counted, and copied if that shows that it pays.
    pub(super) fn look(&mut self, size: u64, free: Option<u64>, at_rest: bool) -> bool {
        self.looked_at = Some(Instant::now());
        let due = self.is_due(size, free, at_rest);
        if due {
            self.looked = Some(size);
            self.wanted = None;
        }
        due
    }

    fn is_due(&self, size: u64, free: Option<u64>, at_rest: bool) -> bool {
        let Some(live) = self.live() else { return at_rest || size > self.floor };
        let looked = self.looked.unwrap_or(0);
        if size <= self.floor || size / 2 <= live {
            return false;
        }
        if let Some(wanted) = self.wanted {
            return free.is_none_or(|free| free >= wanted);
        }
        let has_shrunk = self.counted.is_some_and(|counted| live < counted / 2);
        let growth = if at_rest { GROWTH } else { BUSY_GROWTH };
        let has_changed = size >= looked.saturating_add(looked / growth) || has_shrunk;
        has_changed && (at_rest || size > self.busy_floor)
    }

    /// What is written from now on is not in the count.
    pub(super) fn count_began(&mut self) {
        self.counted = self.live();
        (self.came, self.went) = (0, 0);
    }

    pub(super) const fn counted(&mut self, live: u64) {
        self.counted = Some(live);
    }

    /// There was no room for a copy.
    pub(super) const fn lacks_room(&mut self, wanted: u64) {
        self.wanted = Some(wanted);
    }

    /// The files were copied, and are of this size by now.
    pub(super) const fn copied(&mut self, size: u64) {
        self.looked = Some(size);
        self.busy_floor = 0;
    }

    /// More was written than a copy can follow.
    pub(super) fn was_too_late(&mut self) {
        self.busy_floor = self.looked.unwrap_or_default().saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn counted(size: u64, live: u64) -> Due {
        let mut due = Due::new(64 * MB);
        assert!(due.look(size, None, false), "nothing is known yet");
        due.count_began();
        due.counted(live);
        due
    }

    #[test]
    fn small_files_are_counted_at_rest_and_then_left_alone() {
        let mut due = Due::new(64 * MB);
        assert!(!due.look(10 * MB, None, false));
        assert!(due.look(10 * MB, None, true));
        due.count_began();
        due.counted(MB);
        assert!(!due.look(63 * MB, None, true));
        assert_eq!(due.live(), Some(MB));
    }

    #[test]
    fn what_was_counted_from_nothing_on_need_not_be_counted() {
        let mut due = Due::new(64 * MB);
        due.counted(0);
        due.account(100 * MB, 0);
        assert!(!due.look(150 * MB, None, true));
        assert!(due.look(202 * MB, None, true));
    }

    #[test]
    fn a_rewrite_is_due_at_twice_what_they_hold() {
        for (size, is_due) in [(199, false), (202, true), (404, true)] {
            for at_rest in [true, false] {
                assert_eq!(counted(80 * MB, 100 * MB).look(size * MB, None, at_rest), is_due, "{size}, at rest: {at_rest}");
            }
        }
    }

    #[test]
    fn under_load_the_files_must_have_grown_by_half_since_the_last_look() {
        for (size, at_rest, busy) in [(211, false, false), (213, true, false), (299, true, false), (300, true, true)] {
            assert_eq!(counted(200 * MB, 100 * MB).look(size * MB, None, true), at_rest, "{size} at rest");
            assert_eq!(counted(200 * MB, 100 * MB).look(size * MB, None, false), busy, "{size} under load");
        }
    }

    #[test]
    fn a_load_that_only_adds_is_not_copied_over_and_over() {
        let (mut due, mut size, mut copied) = (counted(65 * MB, 20 * MB), 65 * MB, 0);
        // Each record takes three and a half times its size.
        for _ in 0..10_000 {
            due.account(600 * 200, 0);
            size += 600 * 200 * 7 / 2;
            if due.look(size, None, false) {
                copied += due.live().unwrap_or_default();
                due.count_began();
                size = due.live().unwrap_or_default() * 2;
                due.copied(size);
            }
        }
        let live = due.live().unwrap_or_default();
        assert!(copied > live / 2 && copied < live * 5, "{copied} bytes were copied of {live}");
    }

    #[test]
    fn a_load_that_replaces_is_copied_now_and_then_however_long_it_lasts() {
        let (mut due, mut size, mut copies, mut largest) = (counted(65 * MB, 20 * MB), 65 * MB, 0, 0);
        for _ in 0..1_000 {
            due.account(MB, MB);
            size += 2 * MB;
            largest = largest.max(size);
            if due.look(size, None, false) {
                copies += 1;
                due.count_began();
                size = 40 * MB;
                due.copied(size);
            }
        }
        assert!((20..100).contains(&copies), "{copies} copies");
        assert!(largest < 100 * MB, "{largest}");
    }

    #[test]
    fn a_copy_that_lacked_room_is_made_once_there_is_some() {
        let mut due = counted(300 * MB, 100 * MB);
        due.lacks_room(264 * MB);
        assert!(!due.look(300 * MB, Some(263 * MB), true));
        assert!(due.look(300 * MB, Some(264 * MB), true));
    }

    #[test]
    fn after_a_copy_it_is_due_again_when_the_files_grew_or_hold_half_as_much() {
        let mut due = counted(500 * MB, 100 * MB);
        due.copied(220 * MB);
        assert!(!due.look(220 * MB, None, true));
        assert!(due.look(235 * MB, None, true));
        due.copied(220 * MB);
        for _ in 0..51 {
            due.account(0, MB);
        }
        assert!(due.look(221 * MB, None, true));
    }

    #[test]
    fn a_copy_that_writes_outran_waits_until_the_files_are_twice_as_large() {
        let mut due = counted(500 * MB, 100 * MB);
        due.was_too_late();
        assert!(!due.look(990 * MB, None, false));
        assert!(due.look(1_001 * MB, None, false));
    }
}
