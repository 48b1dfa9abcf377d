//! `aectl doctor` and `aectl bug-report` with the real aesyncd and the real adminengine-dev, whole and with each link broken.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]
#![allow(clippy::print_stdout, reason = "what is left out is said")]

mod bug_report;
mod doctor;
#[path = "../commands/support.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod support;
mod table;
