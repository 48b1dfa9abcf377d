//! Notifications to systemd, or to Windows' service control manager. Without either nothing happens.
//!
//! A notification that can't be sent is not worth a failure: systemd then restarts the daemon by its own clock, and says so.

use std::time::Duration;

/// The daemon serves its clients, or has done with a reload.
pub fn ready() {
    #[cfg(unix)]
    send(&[sd_notify::NotifyState::Ready]);
    #[cfg(windows)]
    super::windows::report(super::windows::Phase::Running);
}

/// One line for `systemctl status`. Only the first line of `text` is shown.
pub fn status(text: &str) {
    #[cfg(unix)]
    // A line end would begin another variable of the protocol.
    send(&[sd_notify::NotifyState::Status(text.lines().next().unwrap_or_default())]);
    #[cfg(not(unix))]
    let _ = text;
}

/// The configuration is being read again. Call [`ready`] afterwards, also when it was refused.
pub fn reloading() {
    #[cfg(unix)]
    {
        let now = sd_notify::NotifyState::monotonic_usec_now().ok();
        let states: Vec<_> = std::iter::once(sd_notify::NotifyState::Reloading).chain(now).collect();
        send(&states);
    }
}

/// The daemon is stopping.
pub fn stopping() {
    #[cfg(unix)]
    send(&[sd_notify::NotifyState::Stopping]);
    #[cfg(windows)]
    super::windows::report(super::windows::Phase::Stopping);
}

/// The start takes so much longer, counted from now: `TimeoutStartSec=` is forgotten. At most an hour.
pub fn extend_timeout(by: Duration) {
    #[cfg(unix)]
    send(&[sd_notify::NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
    #[cfg(not(unix))]
    let _ = by;
}

/// The daemon is alive. Call it once per [`watchdog_interval`], and only when everything that must turn does.
pub fn alive() {
    #[cfg(unix)]
    send(&[sd_notify::NotifyState::Watchdog]);
}

/// How often systemd wants to hear from the daemon: a third of `WatchdogSec=`, so that two may come late. `None` when it does not.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    #[cfg(unix)]
    {
        sd_notify::watchdog_enabled().map(|patience| patience / 3)
    }
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn send(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
