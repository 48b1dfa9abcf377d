//! Owns everything that the engine only talks about, and holds the one `select!`: inputs go in, effects are carried out.

mod calls;
mod clock;
mod credentials;
mod effects;
mod metrics;
mod reports;
mod requests;
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

use aesync_protocol::response::Reloaded;
use aesync_protocol::status::Attention;
use aesync_protocol::{Error, Status};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::config::Config;
use crate::engine::durable::EpochId;
use crate::engine::effect::CallId;
use crate::engine::input::{RequestId, RestEvent, SessionEvent, SessionId};
use crate::engine::view::View as _;
use crate::engine::{Engine, Host, Input, identity};
use crate::ipc::{Access, Call, Fanout, Source};
use crate::server::{RequestHandle, Session};
use crate::store::{Figures, Finding, FindingCode, Reader, Store};

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

    /// Reads are answered from this epoch from now on.
    fn serve(&self, epoch: Option<EpochId>) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        *served = Served { epoch, settings: Arc::clone(self.engine.settings()) };
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
