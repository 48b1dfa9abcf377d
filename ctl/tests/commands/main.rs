//! The real `aectl` against a daemon of canned answers.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may fail, and says what it left out"
)]

mod bars;
mod bulk;
mod doctor;
mod failures;
mod lists;
mod manual;
mod screens;
mod shells;
mod sign_in;
mod status;
mod streams;
mod support;
mod terminal;
mod top;
mod verbs;
