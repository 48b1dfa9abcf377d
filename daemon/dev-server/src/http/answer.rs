//! Answers as Express sends them. Error bodies vary on purpose: some routes say `error`, others `message`.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// How many rows an answer carries, for the request log.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowCount(pub(super) usize);

pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}

pub(super) fn ok(body: &Value) -> Response {
    answer(StatusCode::OK, body)
}

/// Sync and auth routes.
pub(super) fn error(status: StatusCode, error: &str) -> Response {
    answer(status, &json!({ "success": false, "error": error }))
}

/// Customer routes.
pub(super) fn message(status: StatusCode, message: &str) -> Response {
    answer(status, &json!({ "success": false, "message": message }))
}

/// What the body parser's refusals become: too large, malformed, an unknown encoding.
pub(super) fn parser_failure() -> Response {
    answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": "Internal server error" }))
}

pub(super) async fn not_found() -> Response {
    message(StatusCode::NOT_FOUND, "Route not found")
}
