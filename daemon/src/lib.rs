//! aesyncd: the local sync daemon for AdminEngine.

pub mod engine;
pub mod ipc;
pub mod server;
pub mod store;
