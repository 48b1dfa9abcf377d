//! aesyncd: the local sync daemon for AdminEngine.

pub mod args;
pub mod config;
pub mod engine;
pub mod ipc;
pub mod server;
pub mod service;
pub mod store;
