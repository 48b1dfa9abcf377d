//! Lets sled's threads sleep while there is nothing to do.

/// How late an idle thread's own alarm may come, in nanoseconds: 5 minutes. Work wakes it at once all the same.
#[cfg(target_os = "linux")]
const SLACK: std::os::raw::c_ulong = 300_000_000_000;

/// Runs a call that may start threads of sled's. Seven of them wait for work with a time-out of a second, again and again: 420 wake-ups
/// a minute that do nothing. A thread inherits the timer slack of the one that starts it, and with a large one it sleeps on.
pub(super) fn patient<T>(call: impl FnOnce() -> T) -> T {
    let slack = Slack::set();
    let result = call();
    drop(slack);
    result
}

/// The calling thread's own timers must not be late: its slack is the default again when this is dropped, after a panic too.
struct Slack;

impl Slack {
    fn set() -> Self {
        // Where it can't be set, the threads wake up as they are used to.
        #[cfg(target_os = "linux")]
        let _ = nix::sys::prctl::set_timerslack(SLACK);
        Self
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        let _ = nix::sys::prctl::set_timerslack(0);
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    fn of_a_new_thread() -> i32 {
        std::thread::spawn(|| nix::sys::prctl::get_timerslack().unwrap_or(-1)).join().unwrap_or(-1)
    }

    #[test]
    fn only_threads_that_start_within_the_call_are_patient() {
        let usual = of_a_new_thread();
        // The value is cut to an i32 when it is read.
        assert_ne!(patient(of_a_new_thread), usual);
        assert_eq!(of_a_new_thread(), usual);
        assert!(std::panic::catch_unwind(|| patient(|| panic!("sled"))).is_err());
        assert_eq!(of_a_new_thread(), usual);
    }
}
