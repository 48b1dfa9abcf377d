//! Owns everything that the engine only talks about, and holds the one `select!`: inputs go in, effects are carried out.

mod calls;
mod clock;
mod credentials;
mod metrics;
mod saved;
mod sign_in;
#[cfg(test)]
mod slow_disk;
mod source;
mod transactor;
mod upstream;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aesync_protocol::response::{Empty, Entry, Reloaded};
use aesync_protocol::status::{Attention, ServerStatus};
use aesync_protocol::{Channel, Error, ErrorCode, Event, Request, Status};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::config::{Changes, Config};
use crate::engine::durable::EpochId;
use crate::engine::effect::{CallId, LogLevel};
use crate::engine::input::{RequestId, RestEvent, SessionEvent, SessionId};
use crate::engine::transact::{Done, Txn};
use crate::engine::view::View as _;
use crate::engine::{Effect, Engine, Host, Input, identity};
use crate::injected::{self, Break};
use crate::ipc::{Access, Call, Fanout, Source};
use crate::server::{RequestHandle, Session, SessionOptions, SessionTimings};
use crate::store::{Figures, Finding, FindingCode, Mended, Reader, Store};

use clock::Clock;
use credentials::{Keyring, Token};
use sign_in::{LoginOutcome, Pending};
use source::{READ_BYTES, Reads, Served};
use transactor::{Report, Transactor};

pub(crate) use saved::Saved;
pub(crate) use upstream::Upstream;

/// Calls that wait for the driver.
const CALLS: usize = 1_024;
/// Events of a session that wait; beyond, notifications are dropped and everything is pulled.
const SESSION_EVENTS: usize = 1_024;
/// Events of a request that wait: a pull is at most two pages ahead.
const REST_EVENTS: usize = 4;
/// Groups of reports that wait.
const REPORTS: usize = 4;
/// How long a stop waits for what local applications asked before it; then they are told that the daemon is stopping. Less than
/// `ipc::Limits::stop`, so that they are still there to hear it.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// Transactions under way at which no more calls are taken; the queue has room for many more.
const BUSY: usize = transactor::QUEUE / 2;

/// What the daemon is asked by its own process.
#[derive(Debug)]
pub enum Control {
    /// Answer, to show that the loop turns, with how long the store's thread has been at one thing.
    Alive(oneshot::Sender<Duration>),
    /// Read the configuration again.
    Reload(oneshot::Sender<Result<Reloaded, Error>>),
}

/// Reads the configuration again; the error is one sentence.
pub type Reload = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What the loop works with.
pub(crate) struct Driver {
    clock: Clock,
    engine: Engine,
    /// Inputs that came of effects; empty between two turns of the loop.
    inbox: VecDeque<Input>,
    turning: bool,
    transactor: Transactor,
    figures: Arc<Figures>,
    reader: Reader,
    config: Config,
    reload: Reload,
    log_filter: Box<dyn Fn(&str) + Send + Sync>,
    access: Access,

    /// From the configuration, or from a sign-in.
    upstream: Option<Upstream>,
    session: Option<Session>,
    request: Option<(RequestId, RequestHandle)>,

    keyring: Keyring,
    token: Option<Token>,
    pending: Option<Pending>,
    login: Option<AbortHandle>,

    replies: BTreeMap<CallId, oneshot::Sender<Result<Vec<u8>, Error>>>,
    last_call: u64,
    under_way: usize,

    status: watch::Sender<Arc<Status>>,
    served: Arc<RwLock<Served>>,
    fanout: Fanout,
    stop: Arc<watch::Sender<bool>>,

    sessions: mpsc::Sender<(SessionId, SessionEvent)>,
    requests: mpsc::Sender<(RequestId, RestEvent)>,
    logins: mpsc::Sender<LoginOutcome>,
    events: Events,
}

/// The receiving ends of the one `select!`.
struct Events {
    reports: mpsc::Receiver<Vec<Report>>,
    sessions: mpsc::Receiver<(SessionId, SessionEvent)>,
    requests: mpsc::Receiver<(RequestId, RestEvent)>,
    logins: mpsc::Receiver<LoginOutcome>,
    calls: mpsc::Receiver<Call>,
    controls: mpsc::Receiver<Control>,
    stopped: watch::Receiver<bool>,
}

/// What the driver is built from.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) instance: String,
    pub(crate) reload: Reload,
    pub(crate) log_filter: Box<dyn Fn(&str) + Send + Sync>,
    pub(crate) access: Access,
    pub(crate) store: Store,
    pub(crate) findings: Vec<Finding>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) stop: Arc<watch::Sender<bool>>,
}

/// What the rest of the process holds of a driver.
pub(crate) struct Handles {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) controls: mpsc::Sender<Control>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) fanout: Fanout,
}

/// Why the driver could not be built.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The state could not be read.
    #[error(
        "reading the state to start from: {0}; start the daemon again, which checks the store; if this persists, check the disk"
    )]
    Read(#[from] crate::engine::view::ReadError),
    /// The store's thread.
    #[error("starting the store's thread: {0}; end other processes or raise their limit, and start the daemon again")]
    Thread(#[from] std::io::Error),
    /// The engine told no status.
    #[error("the engine told no status at its start; this is a defect, please report it")]
    NoStatus,
}

/// The store's thread ended though nobody had stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreLost;

impl Driver {
    pub(crate) fn new(parts: Parts, state_dir: &Path) -> Result<(Self, Handles), DriverError> {
        let Parts { config, instance, reload, log_filter, access, store, findings, upstream, stop } = parts;
        let clock = Clock::start();
        let now = clock.now();
        let reader = store.reader();
        let mut settings = config.settings();
        settings.server = upstream.as_ref().map_or_else(String::new, |upstream| upstream.url.as_str().to_owned());
        let found = identity::boot(&settings, &reader, &reader.registry()?)?;
        let fanout = Fanout::new(config.tuning.ring, &found.ledger.log, found.ledger.last_seq);
        let epoch = found.registry.current;
        let kept = found.notices.clone();
        let host =
            Host { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), started_at: now.wall, instance };
        let (engine, effects) = Engine::new(settings, host, found, &now);
        let first = Engine::first_status(&effects).ok_or(DriverError::NoStatus)?;
        let (status, statuses) = watch::channel(first);
        let served = Arc::new(RwLock::new(Served { epoch, settings: Arc::clone(engine.settings()) }));
        let served_status = statuses.clone();
        let source = Reads {
            reader: reader.in_pages_of(READ_BYTES),
            figures: store.figures(),
            status: served_status,
            served: Arc::clone(&served),
            fanout: fanout.clone(),
        };
        let (report_sender, reports) = mpsc::channel(REPORTS);
        let (sessions, session_events) = mpsc::channel(SESSION_EVENTS);
        let (requests, request_events) = mpsc::channel(REST_EVENTS);
        let (logins, login_outcomes) = mpsc::channel(1);
        let (calls, incoming) = mpsc::channel(CALLS);
        let (controls, control_events) = mpsc::channel(4);
        let keyring = Keyring::new(config.auth.clone(), state_dir);
        let mut driver = Self {
            clock,
            engine,
            inbox: VecDeque::new(),
            turning: false,
            figures: store.figures(),
            reader: store.reader(),
            transactor: Transactor::start(store, report_sender)?,
            config,
            reload,
            log_filter,
            access,
            upstream,
            session: None,
            request: None,
            keyring,
            token: None,
            pending: None,
            login: None,
            replies: BTreeMap::new(),
            last_call: 0,
            under_way: 0,
            status,
            served,
            fanout: fanout.clone(),
            stop: Arc::clone(&stop),
            sessions,
            requests,
            logins,
            events: Events {
                reports,
                sessions: session_events,
                requests: request_events,
                logins: login_outcomes,
                calls: incoming,
                controls: control_events,
                stopped: stop.subscribe(),
            },
        };
        driver.carry_out(effects);
        for finding in findings {
            // The store has kept it, unless the disk did not let it.
            if finding.code == FindingCode::UncleanStop {
                tracing::warn!(code = %finding.code, "{}", finding.message);
            } else if !kept.has(finding.code.as_str()) {
                driver.input(Input::Notice { code: finding.code.as_str().to_owned(), message: finding.message });
            }
        }
        let source: Arc<dyn Source> = Arc::new(source);
        Ok((driver, Handles { calls, controls, source, status: statuses, fanout }))
    }

    /// Turns until the stop and until what was asked before it is answered, then finishes what is queued and closes the store.
    pub(crate) async fn run(mut self) -> Result<(), StoreLost> {
        self.start_signed_in();
        let mut last_calls = None;
        let mut outcome = Ok(());
        loop {
            let deadline = self.engine.deadline(&self.clock.now()).map(|deadline| self.clock.instant(deadline.at));
            let takes_calls = self.under_way < BUSY;
            tokio::select! {
                biased;
                () = stop_of(&mut self.events.stopped), if last_calls.is_none() => {
                    last_calls = Some(tokio::time::Instant::now() + LAST_CALLS);
                }
                () = until(last_calls) => break,
                reports = self.events.reports.recv() => match reports {
                    Some(reports) => for report in reports { self.on_report(report) },
                    None => {
                        outcome = Err(StoreLost);
                        break;
                    }
                },
                Some((id, event)) = self.events.sessions.recv() => self.input(Input::Session(id, event)),
                Some((id, event)) = self.events.requests.recv() => self.input(Input::Rest(id, event)),
                Some(outcome) = self.events.logins.recv() => self.on_login(outcome),
                Some(control) = self.events.controls.recv() => self.on_control(control),
                call = self.events.calls.recv(), if takes_calls => match call {
                    Some(call) => self.on_call(call),
                    // Nobody is left who could ask.
                    None => break,
                },
                () = until(deadline) => self.input(Input::Woke),
            }
        }
        self.session = None;
        self.request = None;
        // Blocks for as long as the disk takes; nothing else is left to do on this task.
        let mut transactor = self.transactor;
        let reports = self.events.reports;
        drop(reports);
        if tokio::task::spawn_blocking(move || transactor.stop()).await.is_err() {
            tracing::error!("the store could not be closed; it is checked at the next start");
        }
        outcome
    }

    /// One input to the engine, and what follows from it. An input that comes of an effect waits until all effects before it are carried
    /// out: the engine's order stays.
    fn input(&mut self, input: Input) {
        self.inbox.push_back(input);
        if std::mem::replace(&mut self.turning, true) {
            return;
        }
        while let Some(input) = self.inbox.pop_front() {
            let (now, slept) = self.clock.look();
            if slept {
                let effects = self.engine.handle(&now, Input::Resumed);
                self.carry_out(effects);
            }
            let effects = self.engine.handle(&now, input);
            self.carry_out(effects);
        }
        self.turning = false;
    }

    fn find(&mut self, code: &str, message: impl Into<String>) {
        self.input(Input::Finding(Attention { code: code.to_owned(), message: message.into(), count: None }));
    }

    fn on_report(&mut self, report: Report) {
        // Neither of these ends a transaction.
        let is_aside = match &report {
            Report::Mended(_) => true,
            Report::Committed(outcome) => outcome.done == Done::Rebuilding,
            Report::Failed(..) => false,
        };
        if !is_aside {
            self.under_way = self.under_way.saturating_sub(1);
        }
        match report {
            Report::Mended(mended) => self.on_mended(mended),
            Report::Committed(outcome) => {
                if let Done::Adopted(adopted) = &outcome.done {
                    self.serve(adopted.registry.current);
                    self.fanout.restart_feed(&adopted.ledger.log, adopted.ledger.last_seq);
                }
                if Some(outcome.epoch) == self.engine.epoch() {
                    // First the feed, then the answer: whoever is told finds it there.
                    self.fanout.publish_changes(&outcome.written.changes);
                    if self.fanout.is_wanted(Channel::Outbox) {
                        for entry in &outcome.written.entries {
                            let entry: Entry = entry.shown(&self.engine.settings().secret_fields, false);
                            self.fanout.publish(&Event::Outbox { entry: Box::new(entry) });
                        }
                    }
                }
                self.input(Input::Committed(outcome));
            }
            Report::Failed(txn, failure) => self.input(Input::TxnFailed(txn, failure)),
        }
    }

    fn on_mended(&mut self, mended: Mended) {
        let (values, feed) = (mended.values, !mended.feeds.is_empty());
        let (these, were) = if values == 1 { ("stored value", "was") } else { ("stored values", "were") };
        let then = if feed { ", and followers of the change feed that were behind them load the records again" } else { "" };
        let message = format!("{values} {these} {were} damaged; what was lost is fetched again{then}");
        tracing::warn!(types = ?mended.types, "{message}");
        self.input(Input::Notice { code: FindingCode::StoreInconsistent.as_str().to_owned(), message });
        if !mended.types.is_empty() {
            self.input(Input::Distrust(mended.types.into_iter().collect()));
        }
    }

    /// Reads are answered from this epoch from now on.
    fn serve(&self, epoch: Option<EpochId>) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        *served = Served { epoch, settings: Arc::clone(self.engine.settings()) };
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::OpenSession(id) => self.open_session(id),
                Effect::CloseSession => self.session = None,
                Effect::Announce { status } => {
                    if let Some(session) = &self.session {
                        session.announce(status);
                    }
                }
                Effect::Send(id, request) => {
                    let (Some(upstream), Some(token)) = (&self.upstream, &self.token) else {
                        let kind = crate::engine::input::FailureKind::NoToken;
                        let detail = "nobody is signed in, so nothing was sent".to_owned();
                        let failure = crate::engine::input::Failure { kind, detail };
                        self.input(Input::Rest(id, RestEvent::Failed(failure)));
                        continue;
                    };
                    self.request = Some((id, upstream.rest.send(id, request, token.secret.clone(), self.requests.clone())));
                }
                Effect::NextPage(id) => {
                    if let Some((current, handle)) = &self.request
                        && *current == id
                    {
                        handle.next_page();
                    }
                }
                Effect::Abandon(id) => {
                    if self.request.as_ref().is_some_and(|(current, _)| *current == id) {
                        self.request = None;
                    }
                }
                Effect::Login => self.log_in(),
                Effect::SignedIn { tenant } => self.signed_in(tenant),
                Effect::SignInRefused(error) => self.sign_in_refused(error),
                Effect::Transact(txn) => self.submit(txn),
                Effect::Reply(call, result) => self.reply(call, result),
                Effect::Publish(event) => self.fanout.publish(&event),
                Effect::Snapshot(status) => self.show(status),
                Effect::Log(level, line) => log(level, &line),
            }
        }
    }

    /// Reads are answered with it. Those who wait for a change are not woken by a heartbeat alone.
    fn show(&self, status: Arc<Status>) {
        self.status.send_if_modified(|shown| {
            let ServerStatus { rtt_ms, last_pong_at, .. } = status.server;
            let news = last_pong_at == shown.server.last_pong_at || {
                let server = ServerStatus { rtt_ms, last_pong_at, ..shown.server.clone() };
                *status != Status { server, ..Status::clone(shown) }
            };
            *shown = status;
            news
        });
    }

    fn submit(&mut self, txn: Box<Txn>) {
        match self.transactor.submit(txn, Arc::clone(self.engine.settings())) {
            Ok(()) => self.under_way += 1,
            Err(txn) => {
                let detail = "the store's queue is full or closed; nothing was written".to_owned();
                self.input(Input::TxnFailed(txn, crate::engine::input::StoreFailure { full: false, detail }));
            }
        }
    }

    fn open_session(&mut self, id: SessionId) {
        // The old one first: its socket and threads go before the new ones come.
        self.session = None;
        let (Some(upstream), Some(token)) = (&self.upstream, &self.token) else { return };
        let Some(tenant) = self.status_tenant() else { return };
        let tuning = &self.config.tuning;
        let timings =
            SessionTimings { ping_every: tuning.ping_interval, dead_after: tuning.silence, ..SessionTimings::default() };
        let options = SessionOptions {
            id,
            server: upstream.url.clone(),
            token: token.secret.clone(),
            tenant,
            ca_file: self.config.server.ca_file.clone(),
            timings,
        };
        self.session = Some(Session::open(options, self.sessions.clone()));
    }

    fn status_tenant(&self) -> Option<String> {
        self.token.as_ref()?.claims.tenant.clone().or_else(|| self.status.borrow().server.tenant_id.clone())
    }

    fn reply(&mut self, call: CallId, result: Result<crate::engine::effect::Reply, Error>) {
        let Some(reply) = self.replies.remove(&call) else { return };
        let _ = reply.send(result.and_then(|reply| to_json(&reply)));
    }

    fn on_call(&mut self, call: Call) {
        let Call { request, role: _, reply } = call;
        match calls::engine_call(request) {
            Ok(asked) => {
                self.last_call += 1;
                let id = CallId(self.last_call);
                self.replies.insert(id, reply);
                self.forget_hung_up();
                self.input(Input::Call(id, asked));
            }
            Err(request) => self.on_own_call(request, reply),
        }
    }

    /// Callers that went away wait no more; looked at now and then, since each look costs a pass over all.
    fn forget_hung_up(&mut self) {
        if !self.last_call.is_multiple_of(64) {
            return;
        }
        let gone: Vec<CallId> = self.replies.iter().filter(|(_, reply)| reply.is_closed()).map(|(call, _)| *call).collect();
        for call in gone {
            self.replies.remove(&call);
            self.input(Input::HungUp(call));
        }
    }

    fn on_own_call(&mut self, request: Request, reply: oneshot::Sender<Result<Vec<u8>, Error>>) {
        let answer = match request {
            Request::AuthLogin(login) => return self.call_login(login, reply),
            Request::AuthSetToken(set) => return self.call_set_token(&set, reply),
            Request::AuthLogout(_) => self.log_out().and_then(|()| to_json(&Empty {})),
            Request::ConfigGet(_) => to_json(&self.config.shown()),
            Request::ConfigReload(_) => self.reload().and_then(|reloaded| to_json(&reloaded)),
            Request::Metrics(_) => {
                let mut text = metrics::text(
                    &self.status.borrow(),
                    self.fanout.subscribers(),
                    self.engine.unknown_events(),
                    self.clock.now().wall,
                );
                metrics::store(&mut text, &self.figures, self.reader.sizes().ok());
                let text = metrics::labelled(&text, &self.status.borrow().daemon.instance);
                to_json(&aesync_protocol::response::MetricsText { text })
            }
            Request::Shutdown(_) => {
                tracing::info!("stopping: an application asked for it");
                let stop = Arc::clone(&self.stop);
                let answer = to_json(&Empty {});
                let _ = reply.send(answer);
                stop.send_replace(true);
                return;
            }
            Request::OutboxRetry(_) | Request::OutboxDiscard(_) => {
                Err(Error::protocol(aesync_protocol::error::rpc::INVALID_PARAMS, "name the entries, or say \"all\": true"))
            }
            other => Err(Error::new(ErrorCode::Unsupported, format!("this daemon can't answer {:?} yet", other.name()))),
        };
        let _ = reply.send(answer);
    }

    fn on_control(&mut self, control: Control) {
        match control {
            Control::Alive(answer) => {
                let _ = answer.send(self.transactor.busy());
            }
            Control::Reload(answer) => {
                injected::may(Break::Loop);
                let reloaded = self.reload();
                let _ = answer.send(reloaded);
            }
        }
    }

    /// Reads the configuration again. What can't change while running is named; the rest is in force at once.
    fn reload(&mut self) -> Result<Reloaded, Error> {
        let new = (self.reload)().map_err(|problem| {
            tracing::error!("the configuration was not reloaded: {problem}");
            Error::new(ErrorCode::Misconfigured, format!("the configuration was not reloaded: {problem}"))
                .hint("correct the file and reload again; the daemon goes on with the old one")
        })?;
        let Changes { changed, restart_needed } = self.config.diff(&new);
        let config = self.config.reloaded(&new);
        (self.log_filter)(&config.log.filter);
        self.access.set(config.access_lists());
        self.config = config;
        self.keyring.configure(self.config.auth.clone());
        self.input(Input::Configured(Box::new(self.config.settings())));
        self.serve(self.engine.epoch());
        self.input(Input::Credentials(self.keyring.can_renew()));
        self.adopt_found_token();
        tracing::info!(?changed, ?restart_needed, "the configuration was reloaded");
        Ok(Reloaded { changed, restart_needed })
    }
}

/// Waits until the daemon is to stop.
async fn stop_of(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Waits for a deadline, or for ever.
async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn to_json<T: serde::Serialize>(result: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(result).map_err(|error| {
        Error::protocol(aesync_protocol::error::rpc::INTERNAL_ERROR, format!("writing the answer as JSON: {error}"))
    })
}

fn log(level: LogLevel, line: &str) {
    match level {
        LogLevel::Error => tracing::error!("{line}"),
        LogLevel::Warn => tracing::warn!("{line}"),
        LogLevel::Info => tracing::info!("{line}"),
        LogLevel::Debug => tracing::debug!("{line}"),
    }
}
