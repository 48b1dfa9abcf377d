//! x
use crate::world::World;
use axum::Router;
use std::sync::Arc;
pub(super) fn router(world: Arc<World>) -> Router {
    Router::new().with_state(world)
}
