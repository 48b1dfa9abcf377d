//! The real `aectl` against a daemon of canned answers.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr, reason = "a test may fail")]

mod bulk;
mod completion;
mod failures;
mod lists;
mod sign_in;
mod status;
mod streams;
mod support;
mod terminal;
mod top;
mod verbs;
