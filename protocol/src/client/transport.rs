//! The streams below the clients. What only one system has is in one module for each.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

pub(super) use platform::Transport;
#[cfg(feature = "client")]
pub(super) use platform::{AsyncStream, connect};
