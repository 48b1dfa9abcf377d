//! The store from outside: what it takes of the memory, and what becomes of it in another place.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

#[cfg(target_os = "linux")]
mod memory;
mod transfer;
