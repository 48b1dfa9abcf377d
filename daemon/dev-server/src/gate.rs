//! The switch that makes a whole server hang.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Closed: the server's only thread stands still, as a process under SIGSTOP does. The kernel still accepts connections,
/// no byte is read or written, and timers go off late.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    moved: Condvar,
    seen: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Whether a server stands still before the gate.
    waiting: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), moved: Condvar::new(), seen: watch::Sender::new(false) }
    }

    pub(crate) fn set(&self, closed: bool) {
        self.lock().closed = closed;
        self.seen.send_replace(closed);
        self.moved.notify_all();
    }

    /// Blocks until a server stands still, but not longer than `patience`: there may be none.
    pub(crate) fn wait_until_still(&self, patience: Duration) {
        let state = self.lock();
        drop(self.moved.wait_timeout_while(state, patience, |state| state.closed && !state.waiting));
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
        let mut state = self.lock();
        state.waiting = true;
        self.moved.notify_all();
        while state.closed && !leave() {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
