//! The wire between aesyncd and local applications: JSON-RPC 2.0, one object a line, over a Unix socket or a named pipe.
//!
//! Types and framing only, so that the daemon, `aectl` and applications share one definition of every shape. `protocol/README.md`
//! is the reference for people; the rules below are what this crate relies on.
//!
//! 1. A message is one JSON object (or a batch array) in UTF-8, ended by LF; blank lines are ignored.
//! 2. Field names are camelCase; absent optional fields are left out, never `null`.
//! 3. Timestamps are ISO 8601 in UTC with milliseconds and `Z`; durations are whole milliseconds with the suffix `Ms`.
//! 4. Integers stay below 2^53.
//! 5. Unknown fields in params are refused with `-32602`; unknown fields in results and events are ignored.

#[cfg(feature = "blocking")]
pub mod client;
pub mod codec;
pub mod endpoint;
pub mod entity;
pub mod error;
pub mod event;
mod params;
pub mod request;
pub mod response;
#[cfg(feature = "schema")]
pub mod schema;
pub mod status;
pub mod time;

pub use entity::Record;
pub use error::{Error, ErrorCode};
pub use event::{Change, Channel, Event};
pub use request::Request;
pub use status::{Status, StatusWord};
pub use time::Timestamp;

/// The protocol version that this crate speaks.
pub const PROTOCOL: u32 = 1;

/// The OpenRPC document, as `rpc.discover` answers it.
pub const OPENRPC: &str = include_str!("../openrpc.json");

/// Compiles the README's example.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
