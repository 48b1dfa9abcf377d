//! The way to the server, looked at from outside: its `GET /health`, and whether a websocket passes. Nobody is signed in for it.

use std::time::{Duration, Instant};

use aesync_protocol::Timestamp;
use reqwest::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::rest::{BuildError, ReadError, RestOptions, client, read};
use super::{ServerUrl, fault};

/// More than any health has, in bytes.
const MAX_HEALTH: usize = 64 * 1024;
const NOT_OURS: &str = "what answers there is no AdminEngine, or something on the way answers for it";

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// The server that was asked.
    pub url: String,
    /// What its health says, or why there is none.
    pub health: Asked<Health>,
    /// Whether a websocket passes, or why it does not.
    pub websocket: Asked<Upgraded>,
}

/// An answer, or one sentence without a full stop on why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Asked<T> {
    /// What was answered.
    Answered(T),
    /// Why there is no answer.
    Failed(String),
}

/// What the server's health says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// From the question to the end of the answer, the look-up of the name and TLS included, in milliseconds.
    pub took_ms: u64,
    /// By how many milliseconds the server's clock is ahead of this one, as far as a round trip can tell; absent when it tells no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead_ms: Option<i64>,
    /// Whether it says that it offers websockets; absent when it says nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offers_websocket: Option<bool>,
}

/// A websocket was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgraded {}

/// Asks both questions at once, each for no longer than `patience`. `now` is the clock of this machine.
///
/// # Errors
/// [`BuildError`], when the CA file is unusable or TLS can't be set up.
pub async fn probe(options: &RestOptions, patience: Duration, now: impl Fn() -> Timestamp) -> Result<Probed, BuildError> {
    let client = client(options)?;
    let server = &options.server;
    let (health, websocket) =
        tokio::join!(within(patience, health(&client, server, now)), within(patience, websocket(&client, server)));
    Ok(Probed { url: server.to_string(), health, websocket })
}

async fn within<T>(patience: Duration, asked: impl Future<Output = Result<T, String>>) -> Asked<T> {
    match timeout(patience, asked).await {
        Ok(Ok(answer)) => Asked::Answered(answer),
        Ok(Err(why)) => Asked::Failed(why),
        Err(_) => Asked::Failed(format!("nothing came within {} s", patience.as_secs())),
    }
}

async fn health(client: &Client, server: &ServerUrl, now: impl Fn() -> Timestamp) -> Result<Health, String> {
    let began = Instant::now();
    let before = now();
    let response = client.get(server.route("health")).send().await.map_err(|error| why(&error))?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(format!("GET /health was answered with {}", status.as_u16()));
    }
    let body = read(response, MAX_HEALTH).await.map_err(|error| match error {
        ReadError::Client(error) => why(&error),
        ReadError::TooLarge => NOT_OURS.to_owned(),
    })?;
    let after = now();
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Half of a round trip is the best guess at when the server looked at its clock.
    let middle = before.plus_millis(after.millis_since(before) / 2);
    told(&body, middle, took_ms)
}

fn told(body: &[u8], at: Timestamp, took_ms: u64) -> Result<Health, String> {
    #[derive(Deserialize)]
    struct Body {
        status: String,
        timestamp: Option<Timestamp>,
        websocket: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| NOT_OURS.to_owned())?;
    if body.status != "ok" {
        return Err("its health is not ok".to_owned());
    }
    Ok(Health {
        took_ms,
        ahead_ms: body.timestamp.map(|theirs| theirs.millis_since(at)),
        offers_websocket: body.websocket.map(|word| word == "enabled"),
    })
}

/// The handshake alone: the connection is given up as soon as it is a websocket.
async fn websocket(client: &Client, server: &ServerUrl) -> Result<Upgraded, String> {
    let mut url = server.socket();
    url.set_query(Some("EIO=4&transport=websocket"));
    let headers = HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        // Any sixteen bytes: nothing is read of what follows.
        (SEC_WEBSOCKET_KEY, HeaderValue::from_static("YWVzeW5jZCBwcm9iaW5nIQ==")),
    ]);
    let response = client.get(url).headers(headers).send().await.map_err(|error| why(&error))?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => Ok(Upgraded {}),
        other => Err(format!("the upgrade was answered with {}", other.as_u16())),
    }
}

fn why(error: &reqwest::Error) -> String {
    let (_, sentence) = fault::of(error);
    let what = if error.is_connect() { "connecting failed" } else { "the connection broke" };
    format!("{what}: {sentence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_tells_the_clock_and_whether_websockets_are_offered() {
        let body = br#"{"status":"ok","timestamp":"1970-01-01T00:00:09.000Z","websocket":"disabled","more":1}"#;
        let health = told(body, Timestamp::from_millis(2_000), 3).expect("a health");
        assert_eq!(health, Health { took_ms: 3, ahead_ms: Some(7_000), offers_websocket: Some(false) });
        for body in [&b""[..], b"<html>", b"{}", b"[]", br#"{"status":"down"}"#] {
            assert!(told(body, Timestamp::EPOCH, 0).is_err(), "{body:?}");
        }
    }
}
