//! The real daemon as a process, killed again and again while applications and another device change things.

#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]
#![allow(clippy::print_stdout, reason = "figures that a person may want to see")]

mod app;
mod device;
mod dice;
mod followers;
mod kills;
mod records;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One play after the other: a daemon that lives for a fraction of a second comes far in it only when the machine is its own.
fn alone() -> MutexGuard<'static, ()> {
    static STAGE: Mutex<()> = Mutex::new(());
    // One that failed says nothing about the next.
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}
