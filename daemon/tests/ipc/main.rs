//! The local interface, over a real socket.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod clients;
#[cfg(target_os = "linux")]
mod descriptors;
mod limits;
mod listener;
mod requests;
mod resubscribe;
mod roles;
mod subscriptions;
mod support;
