//! The pure heart of the daemon: `Input`, `Now` and a [`View`](view::View) in, [`Effect`](effect::Effect)s out.
//!
//! It reads no clock, no random source, no file and no socket, and it never waits.

pub mod admit;
pub mod apply;
pub mod draft;
pub mod drain;
pub mod durable;
pub mod effect;
pub mod enqueue;
pub mod fingerprint;
pub mod identity;
pub mod input;
pub mod now;
pub mod rebase;
pub mod reconcile;
pub mod resolve;
pub mod settings;
pub mod transact;
pub mod verdict;
pub mod view;
pub mod write_set;

pub use effect::Effect;
pub use now::Now;
