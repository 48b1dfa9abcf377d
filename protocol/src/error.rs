//! Errors as they stand on the wire.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// JSON-RPC's own codes, for errors of the protocol.
pub mod rpc {
    /// The line is no JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// The JSON is no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The params don't fit the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A defect of the daemon.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// Everything else: `data.code` tells which.
    pub const APPLICATION: i64 = -32000;
}

/// The stable names of what can go wrong; they stand in `error.data.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The server can't be reached now.
    Offline,
    /// Nobody is signed in, or the token is no longer good.
    AuthRequired,
    /// The configuration, the token and the server contradict each other.
    Misconfigured,
    /// An entity that the server would refuse or hide; `entityType`, `index`, `field` and `reason` say which and why.
    InvalidEntity,
    /// A message or an entity over the limit.
    TooLarge,
    /// There is no such record or entry.
    NotFound,
    /// The position in the feed can't be resumed; `reason`, `log` and `firstSeq` say why.
    Gone,
    /// The role of this connection does not allow it.
    PermissionDenied,
    /// The disk or the outbox is full.
    StorageFull,
    /// The store failed.
    StorageFailed,
    /// It took too long.
    Timeout,
    /// Too many connections or requests.
    Busy,
    /// Somebody paused the daemon.
    Paused,
    /// The server answered with an error; `status` and `serverMessage` say which.
    ServerError,
    /// This daemon can't do that.
    Unsupported,
}

impl ErrorCode {
    /// Whether the same call may succeed later without anything being changed.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Offline | Self::StorageFull | Self::Timeout | Self::Busy | Self::ServerError)
    }

    /// The name as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::AuthRequired => "auth_required",
            Self::Misconfigured => "misconfigured",
            Self::InvalidEntity => "invalid_entity",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::PermissionDenied => "permission_denied",
            Self::StorageFull => "storage_full",
            Self::StorageFailed => "storage_failed",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::Paused => "paused",
            Self::ServerError => "server_error",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A JSON-RPC error object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Error {
    /// One of [`rpc`].
    pub code: i64,
    /// One sentence: what was being tried, what went wrong, what to do next.
    pub message: String,
    /// The stable code and its particulars; absent for errors of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<ErrorData>>,
}

/// The particulars of an application error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorData {
    /// The stable name. A client meets names it does not know yet as text.
    pub code: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What else the code promises, such as `field` or `firstSeq`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Error {
    /// An application error.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: rpc::APPLICATION,
            message: message.into(),
            data: Some(Box::new(ErrorData {
                code: code.as_str().to_owned(),
                retryable: code.retryable(),
                hint: None,
                more: Map::new(),
            })),
        }
    }

    /// An error of the protocol itself, with one of [`rpc`]'s codes.
    #[must_use]
    pub fn protocol(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(details) = &mut self.data {
            details.hint = Some(hint.into());
        }
        self
    }

    /// The same with one more particular, such as `field`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(details) = &mut self.data {
            details.more.insert(name.to_owned(), value.into());
        }
        self
    }

    /// The stable code's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.data.as_ref().map(|details| details.code.as_str())
    }

    /// Whether it carries this code.
    #[must_use]
    pub fn is(&self, code: ErrorCode) -> bool {
        self.name() == Some(code.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_error_carries_its_stable_code_and_particulars() {
        let error = Error::new(ErrorCode::Gone, "trimmed").with("firstSeq", 7).hint("list the records");
        assert_eq!(
            serde_json::to_value(&error).expect("serializable"),
            serde_json::json!({"code": -32000, "message": "trimmed", "data": {"code": "gone", "retryable": false, "hint": "list the records", "firstSeq": 7}})
        );
        assert_eq!(serde_json::from_value::<Error>(serde_json::to_value(&error).expect("serializable")).expect("valid"), error);
    }

    #[test]
    fn the_written_name_of_each_code_is_its_serialized_name() {
        for code in [ErrorCode::Offline, ErrorCode::InvalidEntity, ErrorCode::PermissionDenied, ErrorCode::StorageFull] {
            assert_eq!(serde_json::to_value(code).expect("serializable"), code.as_str());
        }
    }
}
