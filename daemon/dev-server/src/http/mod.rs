//! The HTTP routes.

mod answer;
mod body;
mod control;
mod health;
mod intercept;
mod login;
mod pull;
mod push;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use socketioxide::service::SocketIoService;

use crate::world::World;

/// Every route of the real server but the socket's.
pub(crate) fn routes(world: Arc<World>) -> Router {
    Router::new()
        .route("/api/customers/login", post(login::customer))
        .route("/api/auth/login", post(login::staff))
        .route("/api/auth/refresh", post(login::refresh))
        .route("/health", get(health::health))
        .route("/api/client/sync/push", post(push::push))
        .route("/api/client/sync/pull", post(pull::pull))
        .route("/api/client/sync/pull-pending", post(pull::pull_pending))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::not_found)
        .layer(from_fn_with_state(world, intercept::requests))
}

/// Puts the control surface beside the routes and the socket, out of the reach of faults.
pub(crate) fn router(world: Arc<World>, service: SocketIoService<Router>, keep_alive: Duration) -> Router {
    // As a fallback service, not as a layer: axum applies a layer anew for each request that falls through, and every
    // application of the socket's layer is an engine without sessions.
    let served = Router::new().fallback_service(service).layer(from_fn_with_state(Arc::clone(&world), intercept::sockets));
    Router::new()
        .nest("/__dev", control::router(world))
        .fallback_service(served)
        .layer(from_fn(move |request, next| intercept::connections(keep_alive, request, next)))
}
