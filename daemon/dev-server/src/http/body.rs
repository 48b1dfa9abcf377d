//! The body parser: `express.json()` with its default limit.

use std::io::Read;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use flate2::read::{GzDecoder, ZlibDecoder};
use serde_json::{Map, Value};

/// The server's limit in bytes, after inflation.
pub(super) const BODY_LIMIT: usize = 102_400;

/// The body was refused: too large, malformed, or of an unknown encoding. The client can't tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Reads a body. No body, or one that is not declared as JSON, is `{}`.
pub(super) fn parse(headers: &HeaderMap, raw: &[u8], limit: usize) -> Result<Value, Refused> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_ascii_lowercase();
    let media_type = header(CONTENT_TYPE);
    if raw.is_empty() || media_type.split(';').next().map(str::trim) != Some("application/json") {
        return Ok(Value::Object(Map::new()));
    }
    let bytes = match header(CONTENT_ENCODING).as_str() {
        "" | "identity" => raw.to_vec(),
        "gzip" => inflate(GzDecoder::new(raw), limit)?,
        "deflate" => inflate(ZlibDecoder::new(raw), limit)?,
        _ => return Err(Refused),
    };
    if bytes.len() > limit {
        return Err(Refused);
    }
    match serde_json::from_slice(&bytes) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => Ok(value),
        _ => Err(Refused),
    }
}

fn inflate(reader: impl Read, limit: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes).map_err(|_| Refused)?;
    Ok(bytes)
}
