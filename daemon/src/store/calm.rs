//! sled's threads look once a second whether there is work: seven threads, 420 wake-ups a minute of a machine that could sleep.

#[cfg(target_os = "linux")]
mod slack {
    use std::ffi::c_ulong;

    use nix::sys::prctl::{get_timerslack, set_timerslack};

    /// How late the timers of these threads may be, in nanoseconds: ten minutes. Work wakes them at once, by no timer.
    const SLACK: u64 = 600_000_000_000;

    /// The present thread's timers are lax while this lives.
    pub(in crate::store) struct LaxTimers(Option<c_ulong>);

    impl LaxTimers {
        pub(in crate::store) fn new() -> Self {
            let before = get_timerslack().ok().and_then(|slack| c_ulong::try_from(slack).ok());
            let lax = c_ulong::try_from(SLACK).unwrap_or(c_ulong::MAX);
            Self(before.filter(|_| set_timerslack(lax).is_ok()))
        }
    }

    impl Drop for LaxTimers {
        fn drop(&mut self) {
            // What could be set can be set back.
            let _ = self.0.map(set_timerslack);
        }
    }
}

/// Runs what starts threads: on Linux their timers are lax, as a new thread inherits that from the one that starts it. So they go off
/// together with others, or rarely.
pub(super) fn with_calm_threads<T>(start: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    let _lax = slack::LaxTimers::new();
    start()
}
