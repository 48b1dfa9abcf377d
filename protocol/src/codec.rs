//! Framing and envelopes: bytes to lines, lines to requests or answers, and back.
//!
//! Nothing here reads or writes a socket, so that the daemon's asynchronous sessions and the blocking client share it.

mod encoded;
mod incoming;
mod line;
mod outgoing;
mod reply;

pub use encoded::EncodedChange;
pub use incoming::{Call, Id, Incoming, MAX_BATCH, Refused, parse};
pub use line::{LineBuffer, LineError};
pub use outgoing::{write_batch, write_change, write_error, write_event, write_request, write_result};
pub use reply::{Reply, parse_reply};

/// The longest line in bytes, without its LF, unless configured otherwise (`ipc.max_message`).
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;
