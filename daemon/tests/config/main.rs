//! The configuration: where it comes from, what it means, and what is said of a wrong one.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

mod effect;
mod problems;
mod sources;
