//! A development stand-in for the AdminEngine server, in memory, faults included.
//!
//! It answers as the real server (Node, Express 4, TypeORM, PostgreSQL 15, socket.io 4) was measured to answer, also where
//! that differs from its documents: silent overwrites, swallowed errors, prefix pushes, deaf sockets.
//!
//! ```no_run
//! use adminengine_dev::{DevServer, Fault, Options, World};
//!
//! # fn main() -> anyhow::Result<()> {
//! let world = World::new();
//! let tenant = world.add_customer("ada@example.com", "secret");
//! let server = DevServer::start(Options::new(world.clone()))?;
//! println!("{} tenant {tenant}", server.url());
//!
//! world.faults().next(2, Fault::DropAnswer); // the next two requests are done, but never answered
//! let server = server.restart()?;            // killed and started again: same port, same rows
//! # Ok(())
//! # }
//! ```
//!
//! * [`World`] is the database and the test's window into the server; it outlives every [`DevServer`].
//! * [`Fault`] lists every way in which the server can be made to misbehave.
//! * [`schema`] holds the two registered entity types and their columns.
//!
//! Absent on purpose: any storage on disk, TLS, more than one running server per world.

mod connection;
mod failure;
mod faults;
mod gate;
mod http;
mod notification;
pub mod schema;
mod secrets;
mod server;
mod socket;
mod stamp;
mod token;
mod world;

pub use failure::Failure;
pub use faults::{Fault, Faults, Route, Rule, RuleId, Seen};
pub use notification::Notification;
pub use server::{DevServer, Options};
pub use stamp::Stamp;
pub use token::TokenSpec;
pub use world::{Device, Latency, RelayedStatus, RequestRecord, Seat, Settings, SocketEnd, World, Writes};
