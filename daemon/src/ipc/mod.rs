//! Only here local sockets: JSON-RPC 2.0 for the applications of this machine.
//!
//! ```text
//! listener --accepts--> session (one a connection: lines in, answers and events out)
//!                          |-- dispatch --> Source (reads)      both are
//!                          |           `--> Call (everything else)  the driver's
//!                          `-- fanout::Subscription <-- Fanout <-- publishes: the driver
//! ```
//! It names neither the store nor the server. What only one system has is in `unix` and `windows`.

mod access;
mod batch;
mod clock;
mod dispatch;
mod door;
mod fanout;
mod later;
mod limits;
mod listener;
mod position;
mod reads;
mod refusal;
mod roster;
mod session;
mod source;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub use access::{Access, AccessLists};
pub use fanout::{DEFAULT_RING, Fanout};
pub use limits::Limits;
pub use listener::{BindError, BindOptions, Listener, bind, serve};
pub use platform::knows;
pub use source::{Call, Source};
#[cfg(windows)]
pub use windows::Audience;
