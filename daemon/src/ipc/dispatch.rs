//! Which call is answered by whom.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aesync_protocol::codec::{self, Id, write_error, write_event, write_result};
use aesync_protocol::error::ErrorCode;
use aesync_protocol::request::{Hello, OutboxList, Push, RecordsList, StoreCheck, Subscribe};
use aesync_protocol::response::{self, Empty, Pong, ServerName};
use aesync_protocol::{Channel, Error, Event, OPENRPC, PROTOCOL, Request, Status};
use futures_util::FutureExt as _;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::access;
use super::clock::now;
use super::fanout::{Fanout, Filter, Subscription};
use super::later::{Line, error_line};
use super::limits::Limits;
use super::position::{Bounds, check};
use super::reads::{self, page_size, result_line};
use super::roster::{Attendance, Roster};
use super::source::{Call, Source, checked_json, defect};

/// Calls set their own deadlines, none longer than a day. This one only bounds what a call can cost if its answer never comes.
const CALL: Duration = Duration::from_secs(25 * 60 * 60);

/// What an answer has around a record, in bytes.
const AROUND_RECORD: usize = 256;

/// The most entity types that a subscription may name.
const MAX_FILTER: usize = 256;

/// What this daemon can do beyond the core of version 1.
const CAPABILITIES: &[&str] = &["clients", "store"];

/// What all connections share.
pub(super) struct Server {
    pub(super) source: Arc<dyn Source>,
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) fanout: Fanout,
    pub(super) limits: Limits,
    /// One permit for each read of the store at a time.
    pub(super) reads: Arc<Semaphore>,
    pub(super) roster: Arc<Roster>,
    status: Mutex<Option<WrittenStatus>>,
}

/// The present status as JSON, so that it is written once and not for every caller.
struct WrittenStatus {
    status: Arc<Status>,
    json: Arc<RawValue>,
}

impl Server {
    pub(super) fn new(source: Arc<dyn Source>, calls: mpsc::Sender<Call>, fanout: Fanout, limits: Limits) -> Self {
        let reads = Arc::new(Semaphore::new(limits.reads.max(1)));
        Self { source, calls, fanout, limits, reads, roster: Arc::default(), status: Mutex::new(None) }
    }

    fn status_json(&self) -> serde_json::Result<Arc<RawValue>> {
        let status = self.source.status();
        let mut written = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = written.as_ref().filter(|known| Arc::ptr_eq(&known.status, &status)) {
            return Ok(Arc::clone(&known.json));
        }
        let json: Arc<RawValue> = to_raw_value(&*status)?.into();
        *written = Some(WrittenStatus { status, json: Arc::clone(&json) });
        Ok(json)
    }
}

/// One connection, as far as its calls concern it.
pub(super) struct Caller {
    pub(super) server: Arc<Server>,
    /// Whose it is and what it may do.
    pub(super) attendance: Attendance,
    pub(super) subscription: Option<Box<Subscription>>,
}

impl Caller {
    /// Carries a call out. The answer is appended to `out`, or comes later. A call without an id is never answered.
    pub(super) fn call(&mut self, call: codec::Call<'_>, out: &mut Vec<u8>) -> Option<Line> {
        let id = call.id;
        self.attendance.seat.asked();
        let outcome = Request::parse(&call.method, call.params)
            .and_then(|request| access::check(self.attendance.seat.role, &request).map(|()| request))
            .and_then(|request| self.request(request, id.as_ref(), out));
        outcome.unwrap_or_else(|error| {
            out.extend_from_slice(&error_line(id.as_ref(), &error));
            None
        })
    }

    fn request(&mut self, request: Request, id: Option<&Id>, out: &mut Vec<u8>) -> Result<Option<Line>, Error> {
        match request {
            Request::Ping(_) => write(out, id, &Pong { time: now() })?,
            Request::GetStatus(_) => {
                let json =
                    self.server.status_json().map_err(|error| defect("the status could not be written as JSON", &error))?;
                write(out, id, &*json)?;
            }
            Request::Hello(params) => write(out, id, &self.hello(&params)?)?,
            Request::RecordsGet(params) => {
                let found = self.server.source.record(&params.entity_type, &params.id)?;
                // Growing by halves it would be copied on the way.
                out.reserve(found.record.get().len().saturating_add(AROUND_RECORD));
                write(out, id, &found)?;
            }
            Request::Subscribe(params) => self.subscribe(&params, id, out)?,
            Request::Unsubscribe(_) => {
                self.subscription = None;
                self.attendance.seat.subscribed(None);
                write(out, id, &Empty {})?;
            }
            Request::Clients(_) => write(out, id, &self.server.roster.answer(self.server.fanout.position().1))?,
            Request::Discover(_) => write(out, id, document()?)?,
            other => return self.request_later(other, id.cloned()).map(Some),
        }
        Ok(None)
    }

    fn request_later(&self, request: Request, id: Option<Id>) -> Result<Line, Error> {
        let server = Arc::clone(&self.server);
        Ok(match request {
            Request::Wait(params) => {
                reads::wait(&server, &params)?.map(move |waited| optional_line(id.as_ref(), Ok(&waited))).boxed()
            }
            Request::Changed(params) => {
                reads::changes(&server, params)?.map(move |page| optional_line(id.as_ref(), page.as_ref())).boxed()
            }
            Request::RecordsList(RecordsList { entity_type, limit, after }) => {
                let limit = page_size(limit)?;
                reads::answer(server, id, move |source| source.records(&entity_type, after.as_deref(), limit)).boxed()
            }
            Request::OutboxList(filter) => {
                let limit = page_size(filter.limit)?;
                reads::answer(server, id, move |source| source.entries(&OutboxList { limit: None, ..filter }, limit)).boxed()
            }
            Request::GetStoreFigures(_) => reads::answer(server, id, |source| source.store_figures()).boxed(),
            Request::StoreCheck(StoreCheck { after }) => {
                reads::answer(server, id, move |source| source.check_store(after.as_deref())).boxed()
            }
            Request::ConflictsList(_) => reads::answer(server, id, |source| source.conflicts()).boxed(),
            other => {
                if let Request::Push(Push { timeout_ms: Some(millis), .. }) = &other {
                    reads::waiting_time("timeoutMs", *millis)?;
                }
                self.call_driver(other, id)?
            }
        })
    }

    fn call_driver(&self, request: Request, id: Option<Id>) -> Result<Line, Error> {
        let (reply, answer) = oneshot::channel();
        let method = request.name();
        self.server.calls.try_send(Call { request, role: self.attendance.seat.role, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::new(
                ErrorCode::Busy,
                format!("{method} was not accepted: too many calls wait already; try again in a moment"),
            ),
            mpsc::error::TrySendError::Closed(_) => stopping(method),
        })?;
        Ok(async move {
            let outcome = match timeout(CALL, answer).await {
                Ok(Ok(outcome)) => outcome.and_then(checked_json),
                Ok(Err(_)) => Err(stopping(method)),
                Err(_) => Err(Error::new(ErrorCode::Timeout, format!("{method} was not answered within {} s", CALL.as_secs()))),
            };
            optional_line(id.as_ref(), outcome.as_ref())
        }
        .boxed())
    }

    fn hello(&self, params: &Hello) -> Result<response::Hello, Error> {
        if params.protocol != PROTOCOL {
            return Err(Error::new(
                ErrorCode::Unsupported,
                format!("this daemon speaks version {PROTOCOL} of the protocol, not {}", params.protocol),
            )
            .with("protocols", vec![PROTOCOL]));
        }
        self.attendance.seat.introduce(&params.client);
        let status = self.server.source.status();
        Ok(response::Hello {
            server: ServerName { name: "aesyncd".to_owned(), version: status.daemon.version.clone() },
            protocol: PROTOCOL,
            protocols: vec![PROTOCOL],
            capabilities: CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
            role: self.attendance.seat.role,
            instance: status.daemon.instance.clone(),
            log: self.server.fanout.position().0,
        })
    }

    /// The answer goes before all events: it is written here, and events are written by the session when it has nothing else to write.
    fn subscribe(&mut self, params: &Subscribe, id: Option<&Id>, out: &mut Vec<u8>) -> Result<(), Error> {
        let named = params.entity_types.as_ref().map_or(0, Vec::len);
        if named > MAX_FILTER {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!("entityTypes names {named} types; at most {MAX_FILTER} are allowed"),
            )
            .hint("leave entityTypes out to get all"));
        }
        let mut subscription = self.server.fanout.subscribe(Filter::new(&params.channels, params.entity_types.as_deref()));
        let position = subscription.position();
        let status = self.server.source.status();
        if let Some(since) = params.since {
            let bounds = Bounds::of(&status.feed, &position);
            check(bounds, since, params.log.as_deref())?;
            subscription.replay_from(since);
        } else if params.log.as_ref().is_some_and(|log| *log != position.log) {
            check(
                Bounds { log: &position.log, first: status.feed.first_seq, last: position.seq },
                position.seq,
                params.log.as_deref(),
            )?;
        }
        if subscription.wants(Channel::Status) {
            let mut line = Vec::new();
            write_event(&mut line, &Event::Status { status: Box::new((*status).clone()) })
                .map_err(|error| defect("the status could not be written as JSON", &error))?;
            subscription.open_with(line);
        }
        write(out, id, &position)?;
        self.attendance.seat.subscribed(Some(subscription.filter().clone()));
        self.subscription = Some(Box::new(subscription));
        Ok(())
    }
}

/// The OpenRPC document on one line, which is made at the first call.
fn document() -> Result<&'static RawValue, Error> {
    static LINE: OnceLock<Box<RawValue>> = OnceLock::new();
    if let Some(line) = LINE.get() {
        return Ok(line);
    }
    let document: Value = serde_json::from_str(OPENRPC).map_err(|error| defect("the OpenRPC document is no JSON", &error))?;
    let line = to_raw_value(&document).map_err(|error| defect("the OpenRPC document could not be written as JSON", &error))?;
    Ok(LINE.get_or_init(|| line))
}

fn stopping(method: &str) -> Error {
    Error::new(ErrorCode::Busy, format!("{method} was not carried out: the daemon is stopping; try again when it runs"))
}

fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, id: Option<&Id>, result: &T) -> Result<(), Error> {
    let Some(id) = id else { return Ok(()) };
    write_result(out, id, result).map_err(|error| defect("the result could not be written as JSON", &error))
}

fn optional_line<T: Serialize>(id: Option<&Id>, outcome: Result<&T, &Error>) -> Vec<u8> {
    let Some(id) = id else { return Vec::new() };
    match outcome {
        Ok(result) => result_line(id, result),
        Err(error) => {
            let mut out = Vec::new();
            write_error(&mut out, id, error);
            out
        }
    }
}
