//! What happens around every request: the body parser, the log and the faults.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;

use super::answer::{RowCount, error, message, parser_failure};
use super::body::{self, BODY_LIMIT};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::faults::{Fault, Route, Seen};
use crate::token;
use crate::world::{RequestRecord, World};

/// More than any client of the project sends; the server's own limit is far below.
const READ_LIMIT: usize = 64 * 1024 * 1024;

const CAPTIVE_PORTAL: &str = "<!doctype html><html><head><title>Sign in to Hotel WiFi</title></head>\
    <body><form action=\"/login\"><input name=\"room\"></form></body></html>";
const BAD_GATEWAY: &str = "<html><head><title>502 Bad Gateway</title></head>\
    <body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>";

/// A parsed request on its way to a handler.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) world: Arc<World>,
    pub(super) body: Arc<Value>,
    pub(super) token: Token,
    pub(super) faults: Arc<[Fault]>,
}

/// What the `Authorization` header holds.
#[derive(Clone, Debug)]
pub(super) enum Token {
    /// Nothing.
    Absent,
    /// Something malformed, wrongly signed or expired.
    Refused,
    /// A valid token, and its tenant if it names one.
    Valid(Option<String>),
}

impl Token {
    fn read(world: &World, headers: &HeaderMap) -> Self {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = header.strip_prefix("Bearer ").unwrap_or(if header == "Bearer" { "" } else { header }).trim();
        if token.is_empty() {
            return Self::Absent;
        }
        match token::verify(token, world.now()) {
            Some(claims) => Self::Valid(token::tenant(&claims).map(str::to_owned)),
            None => Self::Refused,
        }
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Valid(tenant) => tenant.as_deref(),
            Self::Absent | Self::Refused => None,
        }
    }
}

enum Reply {
    Answer(Response),
    Sever,
    Silence,
}

/// Idle connections are closed, those with work on them are not.
pub(super) async fn connections(keep_alive: Duration, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectInfo<Connection>>().map(|info| info.0.clone());
    let in_flight = connection.as_ref().map(Connection::begin);
    let mut response = next.run(request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connection.iter().for_each(Connection::upgraded);
    } else if let Ok(value) = HeaderValue::from_str(&format!("timeout={}", keep_alive.as_secs())) {
        response.headers_mut().insert(HeaderName::from_static("keep-alive"), value);
    }
    drop(in_flight);
    response
}

/// Faults that meet requests below `/socket.io/`.
pub(super) async fn sockets(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let route = Route::of(request.method().as_str(), request.uri().path());
    if route != Route::Socket {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<ConnectInfo<Connection>>().map(|info| info.0.clone());
    let faults = world.faults().meet(&Seen { route, tenant: None, body: None });
    if let Some(reply) = before(&faults).await {
        return finish(reply, connection).await;
    }
    let upgrade = request.headers().contains_key(UPGRADE);
    for fault in &faults {
        if let Fault::RefuseUpgrade { status } = fault
            && upgrade
        {
            return status_of(*status).into_response();
        }
    }
    next.run(request).await
}

/// Everything else. The work goes on when the client has given up, as the real server's does.
pub(super) async fn requests(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectInfo<Connection>>().map(|info| info.0.clone());
    let (parts, body) = request.into_parts();
    let Ok(raw) = to_bytes(body, READ_LIMIT).await else { return parser_failure() };
    let work = tokio::spawn(async move { carry_out(world, Request::from_parts(parts, Body::empty()), raw, next).await });
    finish(work.await.unwrap_or(Reply::Sever), connection).await
}

async fn finish(reply: Reply, connection: Option<Connection>) -> Response {
    match reply {
        Reply::Answer(response) => return response,
        Reply::Sever => connection.iter().for_each(Connection::sever),
        Reply::Silence => std::future::pending().await,
    }
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

async fn carry_out(world: Arc<World>, mut request: Request, raw: Bytes, next: Next) -> Reply {
    let route = Route::of(request.method().as_str(), request.uri().path());
    let token = Token::read(&world, request.headers());
    let readable = body::parse(request.headers(), &raw, READ_LIMIT).ok();
    let faults = world.faults().meet(&Seen { route, tenant: token.tenant(), body: readable.as_ref() });
    let seq = world.log.begin(record(route, &token, raw.len(), readable.as_ref()));
    let done = |status: Option<StatusCode>, rows: Option<usize>| {
        let tenant = token.tenant().filter(|_| route.is_sync());
        world.log.end(seq, tenant, status.map(|status| status.as_u16()), rows);
    };

    if let Some(reply) = before(&faults).await {
        done(reply.status(), None);
        return reply;
    }
    let limit = faults.iter().find_map(|fault| if let Fault::BodyLimit { bytes } = fault { Some(*bytes) } else { None });
    let response = match body::parse(request.headers(), &raw, limit.unwrap_or(BODY_LIMIT)) {
        Err(body::Refused) => parser_failure(),
        Ok(body) => match refusal(route, &token, &faults) {
            Some(response) => response,
            None => {
                let call =
                    Call { world: Arc::clone(&world), body: Arc::new(body), token: token.clone(), faults: faults.clone().into() };
                request.extensions_mut().insert(call);
                next.run(request).await
            }
        },
    };
    let rows = response.extensions().get::<RowCount>().map(|count| count.0);
    let reply = after(&faults, response).await;
    done(reply.status(), rows);
    reply
}

impl Reply {
    fn status(&self) -> Option<StatusCode> {
        if let Self::Answer(response) = self { Some(response.status()) } else { None }
    }
}

/// Faults that strike before the server's own code runs.
async fn before(faults: &[Fault]) -> Option<Reply> {
    for fault in faults {
        if let Fault::Delay { ms } = fault {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
        }
    }
    faults.iter().find_map(|fault| match fault {
        Fault::DropRequest => Some(Reply::Sever),
        Fault::NeverAnswer => Some(Reply::Silence),
        Fault::CaptivePortal => Some(foreign(200, "text/html", CAPTIVE_PORTAL)),
        Fault::BadGateway => Some(foreign(502, "text/html", BAD_GATEWAY)),
        Fault::TooManyRequests { retry_after } => Some(wait(429, retry_after.as_deref())),
        Fault::Unavailable { retry_after } => Some(wait(503, retry_after.as_deref())),
        Fault::Answer { status, content_type, body } => Some(foreign(*status, content_type, body)),
        Fault::Redirect { status, location } => {
            let mut response = status_of(*status).into_response();
            set(&mut response, LOCATION, location);
            Some(Reply::Answer(response))
        }
        _ => None,
    })
}

/// Faults in which the server's own code says no before any work.
fn refusal(route: Route, token: &Token, faults: &[Fault]) -> Option<Response> {
    let authorized = token.tenant().is_some();
    faults.iter().find_map(|fault| match fault {
        Fault::DatabaseDown | Fault::LoginOutage if route == Route::CustomerLogin => {
            Some(message(StatusCode::INTERNAL_SERVER_ERROR, &Failure::ConnectionRefused.message()))
        }
        Fault::DatabaseDown | Fault::LoginOutage if route == Route::StaffLogin => {
            Some(error(StatusCode::UNAUTHORIZED, &Failure::ConnectionRefused.message()))
        }
        Fault::RejectTokens => Some(error(StatusCode::UNAUTHORIZED, "Unauthorized")),
        Fault::DatabaseDown if authorized => Some(failed(&Failure::TenantDatabase)),
        Fault::Fail { failure } if authorized => Some(failed(failure)),
        _ => None,
    })
}

/// Faults that strike when the work is done.
async fn after(faults: &[Fault], response: Response) -> Reply {
    for fault in faults {
        match fault {
            Fault::DropAnswer => return Reply::Sever,
            Fault::NeverAnswerAfterWork => return Reply::Silence,
            Fault::TruncateAnswer => return truncate(response).await,
            _ => {}
        }
    }
    Reply::Answer(response)
}

async fn truncate(response: Response) -> Reply {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return Reply::Sever };
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let half = bytes.slice(..bytes.len() / 2);
    // The body ends in an error, so hyper closes the connection behind the half.
    let pieces = [Ok(half), Err(std::io::Error::other("the answer was cut on purpose"))];
    Reply::Answer(Response::from_parts(parts, Body::from_stream(stream::iter(pieces))))
}

fn failed(failure: &Failure) -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, &failure.message())
}

fn foreign(status: u16, content_type: &str, body: &str) -> Reply {
    let mut response = (status_of(status), body.to_owned()).into_response();
    set(&mut response, CONTENT_TYPE, content_type);
    Reply::Answer(response)
}

fn wait(status: u16, retry_after: Option<&str>) -> Reply {
    let mut response = message(status_of(status), "Too busy, try again later");
    if let Some(value) = retry_after {
        set(&mut response, RETRY_AFTER, value);
    }
    Reply::Answer(response)
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn record(route: Route, token: &Token, bytes: usize, body: Option<&Value>) -> RequestRecord {
    let changes = body.and_then(|body| body.get("changes")).and_then(Value::as_object).filter(|_| route == Route::Push);
    let listed = body.and_then(|body| body.get("entityTypes")).and_then(Value::as_array);
    let since = body.and_then(|body| body.get("lastSyncTimestamp")).and_then(Value::as_str);
    RequestRecord {
        seq: 0,
        route,
        tenant: token.tenant().map(str::to_owned),
        started: Instant::now(),
        ended: None,
        status: None,
        bytes,
        rows: changes.map_or(0, |changes| changes.values().filter_map(Value::as_array).map(Vec::len).sum()),
        last_sync_timestamp: since.map(str::to_owned),
        entity_types: match (changes, listed) {
            (Some(changes), _) => changes.keys().cloned().collect(),
            (None, Some(listed)) => listed.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            (None, None) => Vec::new(),
        },
    }
}
