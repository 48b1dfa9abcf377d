//! AdminEngine, and nothing else: the only place where its routes, rust_socketio and reqwest are named.
//!
//! - [`Rest`] sends one request of the engine and reports [`RestEvent`](crate::engine::input::RestEvent)s.
//! - [`Session`] is one socket connection and reports [`SessionEvent`](crate::engine::input::SessionEvent)s.
//! - [`probe()`] looks at the way there, for somebody who asks why it does not work.
//! - [`token`] reads what a token says about itself.
//!
//! Neither decides anything: no retry but that of a stale connection, no reconnect, no state beyond one request or one connection. Nothing
//! here knows of the store or of local applications. Secret fields of rows, tokens and passwords never leave this module in the clear
//! (rule R41).
//!
//! Environment proxies (`HTTPS_PROXY` and so on) are not used: rust_socketio can't use them, and a daemon whose two ways to one server go
//! through different doors can't be understood.

mod address;
mod fault;
mod probe;
mod rest;
mod session;
mod tls;
pub mod token;
mod wire;

pub use address::{AddressError, ServerUrl};
pub use probe::{Asked, Health, Probed, Upgraded, probe};
pub use rest::{BuildError, Credentials, Limits, RequestHandle, Rest, RestOptions, SignedIn, Timeouts};
pub use session::{Session, SessionOptions, SessionTimings};
pub use tls::TlsError;
