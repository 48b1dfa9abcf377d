//! The clients against listeners that play a script.
#![cfg(all(unix, feature = "blocking"))]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test may fail")]

#[cfg(feature = "client")]
mod asynchronous;
mod blocking;
#[cfg(feature = "client")]
mod updates;
