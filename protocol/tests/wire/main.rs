//! The wire: what its lines are, what was promised of them, and what is written down about them.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod codec;
mod golden;
mod openrpc;
mod reference;
