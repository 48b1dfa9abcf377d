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
use socketioxide::layer::SocketIoLayer;

use crate::world::World;

/// Every route; `/__dev` is not intercepted by faults.
pub(crate) fn router(world: Arc<World>, sockets: SocketIoLayer, keep_alive: Duration) -> Router {
    let routes = Router::new()
        .route("/api/customers/login", post(login::customer))
        .route("/api/auth/login", post(login::staff))
        .route("/api/auth/refresh", post(login::refresh))
        .route("/health", get(health::health))
        .route("/api/client/sync/push", post(push::push))
        .route("/api/client/sync/pull", post(pull::pull))
        .route("/api/client/sync/pull-pending", post(pull::pull_pending))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::not_found)
        .layer(from_fn_with_state(Arc::clone(&world), intercept::requests))
        .layer(sockets)
        .layer(from_fn_with_state(Arc::clone(&world), intercept::sockets));
    Router::new()
        .nest("/__dev", control::router(world))
        .fallback_service(routes)
        .layer(from_fn(move |request, next| intercept::connections(keep_alive, request, next)))
}
