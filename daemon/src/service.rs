//! What the daemon owes to the system that runs it, and what it gets from there.

#[cfg(unix)]
pub mod activation;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod allocator;
mod headline;
pub mod log;
pub mod notify;
mod signals;
#[cfg(windows)]
pub mod windows;

pub use self::headline::{headline, turned};
pub use self::signals::{Signal, Signals};
