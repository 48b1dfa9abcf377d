//! Why a session ends.

use std::time::Duration;

use rust_socketio::Error;
use serde_json::Value;

use crate::engine::input::{SessionEnd, SessionEndKind};
use crate::server::TlsError;
use crate::server::fault::{self, Cause};

/// How rust_socketio starts the text of an error when the server refuses the namespace.
const NAMESPACE_REFUSED: &str = "Received an ConnectError frame: ";

/// Its texts that tell nobody anything, and what they stand for. The errors themselves, and with them the causes, don't come through.
const PUT_PLAINLY: [(&str, &str); 3] = [
    ("EngineIO Error", "the server or the network broke it off"),
    ("Underlying Engine.IO connection has closed", "the server closed it"),
    ("", "it ended without a reason"),
];

pub(super) fn lost(what: &str) -> SessionEnd {
    SessionEnd { kind: SessionEndKind::Lost, detail: format!("the connection was lost: {what}") }
}

pub(super) fn refused(message: &str) -> SessionEnd {
    SessionEnd {
        kind: SessionEndKind::Refused,
        detail: format!("the server refused the connection ({message}); sign in again if it goes on"),
    }
}

pub(super) fn closed() -> SessionEnd {
    SessionEnd { kind: SessionEndKind::Closed, detail: "the connection was closed by this daemon".to_owned() }
}

pub(super) fn no_connection_within(patience: Duration) -> SessionEnd {
    let detail = format!(
        "connecting failed: no connection came about within {} s; check the network and server.url",
        patience.as_secs_f64().ceil()
    );
    SessionEnd { kind: SessionEndKind::Unreachable, detail }
}

/// TLS could not be set up: without the configured authority nothing can be trusted.
pub(super) fn of_tls(error: &TlsError) -> SessionEnd {
    SessionEnd { kind: SessionEndKind::Untrusted, detail: format!("connecting failed: {error}") }
}

/// `connect` failed.
pub(super) fn of_connect(error: &Error) -> SessionEnd {
    let (cause, sentence) = fault::of(error);
    let (kind, advice) = match cause {
        Cause::Certificate => (
            SessionEndKind::Untrusted,
            "if the server has a private authority, name it as server.ca_file; check the clock of this machine too",
        ),
        Cause::Network => (SessionEndKind::Unreachable, "check the network and server.url"),
        Cause::Other => (
            SessionEndKind::NoWebsocket,
            "check that server.url leads to AdminEngine, and that proxies on the way let websockets through",
        ),
    };
    SessionEnd { kind, detail: format!("connecting failed: {sentence}; {advice}") }
}

/// The library reported an error on a connection. After most of them nobody reads the socket, so each of them is the end.
pub(super) fn of_event(text: &str) -> SessionEnd {
    let Some(frame) = text.strip_prefix(NAMESPACE_REFUSED) else {
        let plain = PUT_PLAINLY.iter().find(|(theirs, _)| *theirs == text).map_or(text, |(_, plain)| plain);
        return lost(plain);
    };
    let message = serde_json::from_str::<Value>(frame).ok().and_then(|frame| Some(frame.get("message")?.as_str()?.to_owned()));
    refused(message.as_deref().unwrap_or(frame))
}

/// An emit failed.
pub(super) fn of_emit(event: &str, error: &Error) -> SessionEnd {
    lost(&format!("{event} could not be sent: {}", fault::of(error).1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_namespace_is_told_from_a_broken_connection() {
        for (text, kind, part) in [
            (
                "Received an ConnectError frame: {\"message\":\"Invalid namespace\"}",
                SessionEndKind::Refused,
                "(Invalid namespace)",
            ),
            ("Received an ConnectError frame: \"No error message provided\"", SessionEndKind::Refused, "No error message"),
            ("EngineIO Error", SessionEndKind::Lost, "the connection was lost: the server or the network broke it off"),
            ("Got an invalid packet", SessionEndKind::Lost, "the connection was lost: Got an invalid packet"),
            ("", SessionEndKind::Lost, "the connection was lost: it ended without a reason"),
        ] {
            let end = of_event(text);
            assert_eq!(end.kind, kind, "{text}");
            assert!(end.detail.contains(part), "{}", end.detail);
        }
    }
}
