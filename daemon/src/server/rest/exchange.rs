//! One request and its answer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::failure;
use super::options::{BuildError, Limits, RestOptions, Timeouts};
use crate::engine::input::{Failure, FailureKind};
use crate::server::wire::answer;
use crate::server::wire::text::{cut, without};
use crate::server::{ServerUrl, tls};

/// How long an idle connection is kept: the server drops it after 5 s.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// What a slow link carries in a second, for the deadline of a request with a body.
const SLOW_LINK_BYTES: u64 = 8 * 1024;

/// A body, as it comes from the serializer.
type Body = Result<Vec<u8>, serde_json::Error>;

/// A request that was prepared.
pub(super) struct Call {
    /// What is being tried, for messages: "pushing".
    pub(super) verb: &'static str,
    route: &'static str,
    body: Bytes,
    /// What must not come back in a message: servers and proxies echo what they were sent (rule R41).
    secret: SecretString,
    /// `Bearer` and the token.
    authorization: Option<HeaderValue>,
}

impl Call {
    /// A call of somebody who is signed in.
    pub(super) fn with_token(verb: &'static str, route: &'static str, body: Body, token: SecretString) -> Result<Self, Failure> {
        let authorization = Some(bearer(&token)?);
        Ok(Self { authorization, ..Self::with_secret(verb, route, body, token)? })
    }

    /// Whether there is no token yet.
    pub(super) const fn signs_in(&self) -> bool {
        self.authorization.is_none()
    }

    /// A call that signs in; `secret` stands in its body.
    pub(super) fn with_secret(
        verb: &'static str,
        route: &'static str,
        body: Body,
        secret: SecretString,
    ) -> Result<Self, Failure> {
        let body = body.map_err(|error| Failure {
            kind: FailureKind::NotOurs,
            detail: format!("{verb} failed: the request can't be written as JSON ({error}); report this as a defect"),
        })?;
        Ok(Self { verb, route, body: body.into(), secret, authorization: None })
    }

    /// `text`, fit for a message.
    pub(super) fn told(&self, text: &str) -> String {
        cut(&without(text, &self.secret))
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| Failure {
        kind: FailureKind::NoToken,
        detail: "the token holds characters that can't be sent; sign in again".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The connections to one server.
pub(super) struct Exchange {
    client: Client,
    server: ServerUrl,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    /// When an answer last came to its end and left its connection to be used again.
    last_answer: Mutex<Option<Instant>>,
}

impl Exchange {
    pub(super) fn new(options: RestOptions) -> Result<Self, BuildError> {
        let client = client(&options)?;
        let RestOptions { server, limits, timeouts, .. } = options;
        Ok(Self { client, server, limits, timeouts, last_answer: Mutex::new(None) })
    }

    /// Sends `call` and reads its answer whole, at most `limit` bytes, before the deadline of a request with its body.
    pub(super) async fn whole(&self, call: &Call, limit: usize) -> Result<Bytes, Failure> {
        let deadline = self.timeouts.request + Duration::from_secs(call.body.len() as u64 / SLOW_LINK_BYTES);
        let exchange = async {
            let response = self.accepted(call).await?;
            let body = read(response, limit).await.map_err(|error| match error {
                ReadError::Client(error) => call.client(&error),
                ReadError::TooLarge => call.failure(FailureKind::TooLarge, &format!("the answer is larger than {limit} bytes")),
            })?;
            self.finished();
            Ok(body)
        };
        match timeout(deadline, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(call.timed_out("no whole answer came", deadline)),
        }
    }

    /// Sends `call` and waits for the headers of an answer with status 200 and JSON, which the caller gives a deadline.
    pub(super) async fn accepted(&self, call: &Call) -> Result<Response, Failure> {
        let response = self.send(call).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(call, response).await);
        }
        if !is_json(response.headers()) {
            return Err(call.not_ours("the answer is no JSON"));
        }
        Ok(response)
    }

    /// The headers of the answer. A connection of the pool that broke before a byte of the answer came is what the server's five seconds of
    /// keep-alive look like, and the request is sent once more over a new one. Even if the server did act on it this is safe: a push is
    /// idempotent by the ids of its rows (rule R3), and everything else only reads.
    async fn send(&self, call: &Call) -> Result<Response, Failure> {
        let may_be_stale = self.may_hold_idle_connection();
        match self.send_once(call).await {
            Err(error) if may_be_stale && failure::of_client(&error).0 == FailureKind::Broken => {
                tracing::debug!(
                    verb = call.verb,
                    "the pooled connection was closed by the server: sending once more over a new one"
                );
                self.send_once(call).await
            }
            outcome => outcome,
        }
        .map_err(|error| call.client(&error))
    }

    async fn send_once(&self, call: &Call) -> Result<Response, reqwest::Error> {
        let mut request = self
            .client
            .post(self.server.route(call.route))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(call.body.clone());
        if let Some(authorization) = &call.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request.send().await
    }

    async fn refused(&self, call: &Call, response: Response) -> Failure {
        let status = response.status().as_u16();
        let retry_after = failure::retry_after(response.headers());
        // The status is the answer; what can't be read of its body is as if it were not there.
        let message = match timeout(self.timeouts.silence, read(response, self.limits.error_body_bytes)).await {
            Ok(Ok(body)) => {
                self.finished();
                answer::error_message(&body).map(|message| call.told(&message))
            }
            _ => None,
        };
        let what = match &message {
            Some(message) => format!("the server answered {status} ({message})"),
            None => format!("the answer was {status}, without a reason that AdminEngine would give"),
        };
        call.failure(FailureKind::Status { status, message, retry_after }, &what)
    }

    /// Notes that an answer came to its end, so that its connection may be used again.
    pub(super) fn finished(&self) {
        *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn may_hold_idle_connection(&self) -> bool {
        let last = *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() <= POOL_IDLE + Duration::from_secs(1))
    }
}

/// The one way in which HTTP is spoken to the server.
pub(in crate::server) fn client(options: &RestOptions) -> Result<Client, BuildError> {
    let client = Client::builder()
        .use_preconfigured_tls(tls::connector(&options.server, options.ca_file.as_deref())?)
        .user_agent(concat!("aesyncd/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(options.timeouts.connect)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(1)
        .build()?;
    Ok(client)
}

/// Why a body was not read to its end.
pub(in crate::server) enum ReadError {
    Client(reqwest::Error),
    TooLarge,
}

/// The whole body, which the caller gives a deadline.
pub(in crate::server) async fn read(mut response: Response, limit: usize) -> Result<Bytes, ReadError> {
    let too_large = |length: u64| usize::try_from(length).map_or(true, |length| length > limit);
    if response.content_length().is_some_and(too_large) {
        return Err(ReadError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Client)? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(content_type)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_content_type() {
        for (content_type, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/problem+json", true),
            ("text/html", false),
            ("text/plain; application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().expect("a header"))]);
            assert_eq!(is_json(&headers), json, "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
