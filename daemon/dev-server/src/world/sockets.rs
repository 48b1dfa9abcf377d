//! The sockets of the running server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use serde::Serialize;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::socket::Sid;

use crate::connection::Connection;

/// Relayed status updates that are kept; older ones are dropped.
const KEPT_RELAYS: usize = 10_000;

/// One connected socket.
#[derive(Clone, Debug, Serialize)]
pub struct Seat {
    /// The socket's id.
    pub sid: String,
    /// `tenantId` of its last `authenticate`, as sent; `None` before.
    pub tenant: Option<String>,
    /// Whether [`Fault::DeafMembership`](crate::Fault::DeafMembership) struck it.
    pub deaf: bool,
}

/// A `sync_status_update` that came in.
#[derive(Clone, Debug, Serialize)]
pub struct RelayedStatus {
    /// The sender's socket.
    pub sid: String,
    /// The room that it was relayed to; `None`: the sender had not authenticated, so nobody got it.
    pub tenant: Option<String>,
    /// The update as sent.
    pub update: Value,
}

/// How the server ends a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketEnd {
    /// A socket.io disconnect packet, as `socket.disconnect()` sends it; the websocket stays open.
    Disconnect,
    /// A websocket close frame and nothing of socket.io, as `io.close()` sends it.
    CloseFrame,
    /// The TCP connection ends without another byte.
    Cut,
    /// A frame that no client can parse; the websocket stays open.
    Malformed,
    /// A black hole: the connection stays open, nothing comes and nothing is read any more.
    Stall,
}

#[derive(Default)]
pub(crate) struct Sockets(Mutex<State>);

#[derive(Default)]
struct State {
    io: Option<SocketIo>,
    seats: BTreeMap<Sid, (Seat, Option<Connection>)>,
    relayed: VecDeque<RelayedStatus>,
}

/// Named so that no tenant id can collide with a socket's own room.
pub(crate) fn room(tenant: &str) -> String {
    format!("tenant:{tenant}")
}

impl Sockets {
    pub(crate) fn attach(&self, io: SocketIo) {
        self.lock().io = Some(io);
    }

    pub(crate) fn detach(&self) {
        let mut state = self.lock();
        let io = state.io.take();
        let seats = std::mem::take(&mut state.seats);
        drop(state);
        drop((io, seats));
    }

    pub(crate) fn enter(&self, sid: Sid, connection: Option<Connection>) {
        let seat = Seat { sid: sid.to_string(), tenant: None, deaf: false };
        self.lock().seats.insert(sid, (seat, connection));
    }

    pub(crate) fn leave(&self, sid: Sid) {
        self.lock().seats.remove(&sid);
    }

    pub(crate) fn seat(&self, sid: Sid, tenant: &str, deaf: bool) {
        if let Some((seat, _)) = self.lock().seats.get_mut(&sid) {
            seat.tenant = Some(tenant.to_owned());
            seat.deaf = deaf;
        }
    }

    pub(crate) fn seats(&self) -> Vec<Seat> {
        self.lock().seats.values().map(|(seat, _)| seat.clone()).collect()
    }

    pub(crate) fn tenant_of(&self, sid: Sid) -> Option<String> {
        self.lock().seats.get(&sid)?.0.tenant.clone()
    }

    pub(crate) fn note_relay(&self, relay: RelayedStatus) {
        let mut state = self.lock();
        if state.relayed.len() == KEPT_RELAYS {
            state.relayed.pop_front();
        }
        state.relayed.push_back(relay);
    }

    pub(crate) fn relayed(&self) -> Vec<RelayedStatus> {
        self.lock().relayed.iter().cloned().collect()
    }

    /// To every socket in the tenant's room, or to every socket.
    pub(crate) fn emit(&self, tenant: Option<&str>, event: &str, argument: &Value) {
        let Some(io) = self.lock().io.clone() else { return };
        // A one-tuple, so that null is sent as an argument.
        let sent = match tenant {
            Some(tenant) => io.to(room(tenant)).emit(event, &(argument,)).now_or_never(),
            None => io.emit(event, &(argument,)).now_or_never(),
        };
        if let Some(Err(error)) = sent {
            tracing::debug!(%error, event, "not every socket took a broadcast");
        }
    }

    /// Ends the sockets of a tenant, or all; returns how many.
    pub(crate) fn end(&self, how: SocketEnd, tenant: Option<&str>) -> usize {
        let state = self.lock();
        let chosen = state.seats.iter().filter(|(_, (seat, _))| tenant.is_none() || seat.tenant.as_deref() == tenant);
        let chosen: Vec<(Sid, Option<Connection>)> = chosen.map(|(sid, (_, connection))| (*sid, connection.clone())).collect();
        let io = state.io.clone();
        // Ending a socket calls back into `leave`.
        drop(state);
        for (sid, connection) in &chosen {
            match (how, connection) {
                (SocketEnd::Cut, Some(connection)) => connection.sever(),
                (SocketEnd::Stall, Some(connection)) => connection.stall(),
                (SocketEnd::Malformed, Some(connection)) => connection.send_malformed(),
                (SocketEnd::CloseFrame, Some(connection)) => connection.close_websocket(),
                _ => {
                    if let Some(socket) = io.as_ref().and_then(|io| io.get_socket(*sid)) {
                        socket.disconnect().ok();
                    }
                }
            }
        }
        chosen.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
