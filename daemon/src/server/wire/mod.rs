//! What comes from the server, turned into what the engine knows. Every parser here takes any shape and never panics.

pub(super) mod answer;
pub(super) mod listing;
pub(super) mod notification;
pub(super) mod request;
pub(super) mod secret;
pub(super) mod text;
