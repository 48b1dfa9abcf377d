//! The daemon in this process: against the development server, and against Node's own socket.io.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

mod auth;
mod failures;
mod first_run;
#[cfg(unix)]
mod input;
#[path = "../interop/mod.rs"]
mod interop;
mod latency;
mod link;
mod monitoring;
#[cfg(unix)]
#[path = "../server/support/proxy.rs"]
#[allow(dead_code, reason = "shared with the tests of the server")]
mod proxy;
#[cfg(unix)]
mod secrets;
#[cfg(unix)]
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod watchdog;
mod writes;
