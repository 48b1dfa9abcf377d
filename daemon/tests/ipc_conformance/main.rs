//! The contract of the local interface, checked from outside: a live daemon over its real socket, a development server behind it.
//!
//! Every line that the daemon writes is read as the protocol's own type and written again: what does not come back byte for byte has a
//! field that the types, and so the reference and the OpenRPC document, do not have.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

mod errors;
mod events;
mod framing;
mod methods;
mod session;
#[path = "../support/mod.rs"]
mod support;
mod wire;
