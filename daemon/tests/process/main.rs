//! The daemon as a process of its own: what it takes from its surroundings, what it costs them, and how it ends.

#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

#[cfg(target_os = "linux")]
mod disk;
mod environment;
#[cfg(target_os = "linux")]
mod idle;
mod life;
mod owed;
#[path = "../support/mod.rs"]
mod support;
