//! The contract of the local interface, checked from outside: a live daemon over its real socket, a development server behind it.
//!
//! Every line that the daemon writes is read as the protocol's own type and written again: what does not come back byte for byte has a
//! field that the types, and so the reference and the OpenRPC document, do not have. And it must have the shape of the golden lines.
//!
//! `AESYNC_CONFORMANCE_SOCKET` names the socket of a daemon that runs already: then what any daemon can be asked without harm is asked of
//! it, and the rest is left out. Without it each test starts programs of its own: `AESYNCD` and `ADMINENGINE_DEV`, else those that were
//! built with this test, else they are built.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]
#![allow(clippy::print_stdout, reason = "what is left out is said, and processes of a test speak to it so")]

mod errors;
mod events;
mod framing;
mod house;
mod methods;
mod programs;
mod roles;
mod server;
mod session;
mod shapes;
mod wire;
