//! `aectl notify` and `aectl indicator` on a real session bus, with a notification service and a panel that the tests play.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]
#![allow(clippy::print_stdout, reason = "what is left out is said")]

mod bus;
mod indicator;
mod notify;
#[path = "../commands/support.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod support;

use serde_json::{Value, json};

/// A status event.
fn event(word: &str, attention: &[(&str, u64)]) -> Value {
    let mut status = support::status(word);
    status["attention"] = attention
        .iter()
        .map(|(code, count)| json!({"code": code, "message": format!("{count} of <{code}>: see `aectl status`"), "count": count}))
        .collect();
    json!({"channel": "status", "status": status})
}
