//! The switch that makes a whole server hang.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Closed: the server's only thread stands still, as a process under SIGSTOP does. The kernel still accepts connections,
/// no byte is read or written, and timers go off late.
#[derive(Debug)]
pub(crate) struct Gate {
    closed: Mutex<bool>,
    moved: Condvar,
    seen: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { closed: Mutex::new(false), moved: Condvar::new(), seen: watch::Sender::new(false) }
    }

    pub(crate) fn set(&self, closed: bool) {
        *self.lock() = closed;
        self.seen.send_replace(closed);
        self.moved.notify_all();
    }

    /// Wakes a waiting server, so that it looks at its `leave` again.
    pub(crate) fn poke(&self) {
        let _held = self.lock();
        self.moved.notify_all();
    }

    /// Returns when the gate is closed.
    pub(crate) async fn closing(&self) {
        let mut seen = self.seen.subscribe();
        // The sender is a field of `self`, so waiting can't fail.
        let _ = seen.wait_for(|closed| *closed).await;
    }

    /// Blocks the calling thread until the gate opens or `leave` says so.
    pub(crate) fn wait(&self, leave: impl Fn() -> bool) {
        let mut closed = self.lock();
        while *closed && !leave() {
            closed = self.moved.wait(closed).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
