//! The socket.io events.
//!
//! One difference from the real server that the library does not let us close: its engine sends the first ping at once
//! after the opening packet and not only after `pingInterval`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, State, TryData};
use socketioxide::service::SocketIoService;

use crate::connection::Connection;
use crate::faults::{Fault, Route, Seen};
use crate::world::{RelayedStatus, World, room};

/// Packets that wait for one socket. Node has no such limit; a push of some hundred rows must not overflow it.
const SOCKET_BUFFER: usize = 200_000;

/// Serves `/socket.io/`, and everything else by `routes`.
pub(crate) fn service(
    routes: Router,
    world: Arc<World>,
    ping_interval: Duration,
    ping_timeout: Duration,
) -> (SocketIoService<Router>, SocketIo) {
    let (service, io) = SocketIo::builder()
        .with_state(world)
        .ping_interval(ping_interval)
        .ping_timeout(ping_timeout)
        .max_buffer_size(SOCKET_BUFFER)
        .build_with_inner_svc(routes);
    io.ns("/", connect);
    (service, io)
}

async fn connect(socket: SocketRef, State(world): State<Arc<World>>) {
    let connection = socket.req_parts().extensions.get::<ConnectInfo<Connection>>().map(|info| info.0.clone());
    world.sockets.enter(socket.id, connection);
    socket.on("authenticate", authenticate);
    socket.on("ping", ping);
    socket.on("sync_status_update", sync_status_update);
    socket.on_disconnect(disconnect);
}

async fn disconnect(socket: SocketRef, State(world): State<Arc<World>>) {
    world.sockets.leave(socket.id);
}

/// The token is never looked at, and the tenant id is taken as it is: `authenticated` proves nothing.
async fn authenticate(socket: SocketRef, TryData(sent): TryData<Value>, State(world): State<Arc<World>>) {
    let sent = sent.unwrap_or_default();
    let tenant = match sent.get("tenantId") {
        Some(Value::String(tenant)) => tenant.clone(),
        Some(other) => other.to_string(),
        None => "undefined".into(),
    };
    let faults = world.faults().meet(&Seen { route: Route::Authenticate, tenant: Some(&tenant), body: Some(&sent) });
    if faults.contains(&Fault::IgnoreAuthenticate) {
        return;
    }
    if sent.is_null() || faults.contains(&Fault::RefuseAuthenticate) {
        socket.emit("authentication_error", &json!({ "message": "Invalid token" })).ok();
        return;
    }
    let deaf = faults.contains(&Fault::DeafMembership);
    if !deaf {
        socket.join(room(&tenant));
    }
    world.sockets.seat(socket.id, &tenant, deaf);
    socket.emit("authenticated", &json!({ "success": true })).ok();
}

async fn ping(socket: SocketRef, State(world): State<Arc<World>>) {
    socket.emit("pong", &json!({ "timestamp": world.now().to_string() })).ok();
}

/// An absent argument is relayed as null, as JavaScript's `undefined` is.
async fn sync_status_update(socket: SocketRef, TryData(sent): TryData<Value>, State(world): State<Arc<World>>) {
    let update = sent.unwrap_or_default();
    let tenant = world.sockets.tenant_of(socket.id);
    if let Some(tenant) = &tenant {
        // A one-tuple, so that null is sent as an argument.
        socket.to(room(tenant)).emit("sync_status_update", &(&update,)).await.ok();
    }
    world.sockets.note_relay(RelayedStatus { sid: socket.id.to_string(), tenant, update });
}
