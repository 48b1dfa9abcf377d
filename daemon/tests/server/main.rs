//! The way to the server: over HTTP, over the socket, and what can stand in it.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by them, its helpers included")]

mod probe;
mod pull;
mod rest;
mod session;
mod sign_in;
mod support;
mod tls;
