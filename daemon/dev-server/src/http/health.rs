//! `GET /health`: no database is asked, so it stays 200 when that is down.

use std::collections::BTreeSet;

use axum::Extension;
use axum::response::Response;
use serde_json::json;

use super::answer::ok;
use super::intercept::Call;

pub(super) async fn health(Extension(call): Extension<Call>) -> Response {
    let seats = call.world.sockets();
    let tenants: BTreeSet<&String> = seats.iter().filter_map(|seat| seat.tenant.as_ref()).collect();
    ok(&json!({
        "status": "ok",
        "timestamp": call.world.now().to_string(),
        "websocket": "enabled",
        "connectedClients": seats.len(),
        "connectedTenants": tenants,
    }))
}
