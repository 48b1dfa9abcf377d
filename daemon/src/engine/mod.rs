//! The pure heart of the daemon: an [`Input`] and the [`Now`] in which it happens go in, [`Effect`]s come out.
//!
//! It reads no clock, no random source, no file and no socket, and it never waits. [`Engine`] decides; what it decides about the
//! durable state is carried out by the pure transactions of [`transact`], over a [`view::View`].

pub mod admit;
pub mod apply;
mod asked;
pub mod auth;
pub mod backoff;
pub mod calls;
pub mod classify;
pub mod draft;
pub mod drain;
pub mod durable;
pub mod effect;
pub mod enqueue;
pub mod fingerprint;
pub mod identity;
pub mod input;
pub mod lane;
pub mod link;
pub mod memory;
pub mod notices;
pub mod now;
pub mod pull_run;
pub mod puller;
mod pulling;
pub mod pusher;
mod pushing;
pub mod query;
pub mod rebase;
pub mod reconcile;
pub mod resolve;
pub mod retention;
pub mod session;
pub mod settings;
pub mod status;
pub mod transact;
pub mod trimmer;
pub mod verdict;
pub mod view;
pub mod without;
mod word;
mod work;
pub mod write_set;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::status::Attention;
use aesync_protocol::{Status, Timestamp};

use auth::Auth;
use calls::Calls;
use durable::{Cursor, EpochId, Identity, Ledger, Registry};
use effect::Deadline;
use lane::Lane;
use link::Link;
use notices::Notices;
use puller::Puller;
use pusher::Pusher;
use settings::Settings;
use status::{Board, Troubles};
use transact::{Adopted, Done, Outcome, Step, Txn};
use trimmer::Trimmer;

pub use effect::Effect;
pub use input::Input;
pub use now::Now;

/// The feed is trimmed at once when it is larger than it may be by this part.
const FEED_SLACK: u64 = 16;

/// What the status says of the daemon itself.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// The instance's name.
    pub instance: String,
}

/// What is known of HTTP, which is asked to work without a socket too.
#[derive(Clone, Copy, Debug, Default)]
struct Http {
    /// It works without a session (rule R33).
    up: bool,
    /// The last request did not reach the server, or something else answered.
    failing: bool,
    /// No session came about: find out whether HTTP works.
    probe: bool,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    settings: Arc<Settings>,
    host: Host,
    /// A monotonic and a wall time of the same moment, to show deadlines to people.
    anchor: (Duration, Timestamp),

    registry: Registry,
    epoch: Option<EpochId>,
    /// Identities that are being taken up; the last of them is the one of the token at hand.
    adopting: u32,
    ledger: Ledger,
    cursors: BTreeMap<String, Cursor>,
    parked: u64,
    paused: bool,

    auth: Auth,
    misconfigured: Option<String>,
    link: Link,
    /// Counts connects, so that a pull knows whether it began before the present one.
    connects: u64,
    http: Http,
    lane: Lane,
    last_request: u64,
    /// Counts tokens, so that a refusal of an earlier one says nothing about the present one.
    tokens: u64,
    sent_with: u64,
    puller: Puller,
    pusher: Pusher,
    /// Whether there are entries that were on their way as the store failed, to be taken up again before anything is sent.
    recovers: bool,
    calls: Calls,

    rtt: Option<Duration>,
    last_pong_at: Option<Timestamp>,
    unknown_events: u64,
    invisible: BTreeMap<String, u64>,
    /// What is wrong on this machine since the start, by code.
    findings: BTreeMap<String, Attention>,
    /// What happened and nobody has acknowledged.
    notices: Notices,
    troubles: Troubles,
    board: Board,
    trimmer: Trimmer,
}

impl Engine {
    /// An engine over the state that was found on disk, and its first effects.
    #[must_use]
    pub fn new(settings: Settings, host: Host, found: Adopted, now: &Now) -> (Self, Vec<Effect>) {
        let mut engine = Self {
            settings: Arc::new(settings),
            host,
            anchor: (now.mono, now.wall),
            registry: Registry::default(),
            epoch: None,
            adopting: 0,
            ledger: Ledger::default(),
            cursors: BTreeMap::new(),
            parked: 0,
            paused: false,
            auth: Auth::default(),
            misconfigured: None,
            link: Link::default(),
            connects: 0,
            http: Http::default(),
            lane: Lane::Idle,
            last_request: 0,
            tokens: 0,
            sent_with: 0,
            puller: Puller::default(),
            pusher: Pusher::default(),
            recovers: false,
            calls: Calls::default(),
            rtt: None,
            last_pong_at: None,
            unknown_events: 0,
            invisible: BTreeMap::new(),
            findings: BTreeMap::new(),
            notices: Notices::default(),
            troubles: Troubles::default(),
            board: Board::default(),
            trimmer: Trimmer::new(now),
        };
        let mut out = Vec::new();
        engine.adopted(now, found, &mut out);
        engine.after(now, &mut out);
        (engine, out)
    }

    /// Handles one input.
    #[must_use]
    pub fn handle(&mut self, now: &Now, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Session(session, event) => self.on_session(now, session, event, &mut out),
            Input::Rest(request, event) => self.on_rest(now, request, event, &mut out),
            Input::Committed(outcome) => self.on_committed(now, *outcome, &mut out),
            Input::TxnFailed(txn, failure) => self.on_txn_failed(now, *txn, &failure, &mut out),
            Input::SignedIn(token) => self.on_signed_in(now, token, &mut out),
            Input::SignedOut => self.on_signed_out(),
            Input::LoginFailed(failure) => self.on_login_failed(now, &failure, &mut out),
            Input::Credentials(there) => self.auth.set_credentials(there),
            Input::Call(call, asked) => self.on_call(now, call, asked, &mut out),
            Input::HungUp(call) => self.calls.hung_up(call),
            Input::Woke => self.on_woke(now, &mut out),
            Input::Resumed => self.on_resumed(now, &mut out),
            Input::Configured(settings) => {
                let server = self.settings.server.clone();
                self.settings = Arc::new(Settings { server, ..*settings });
            }
            Input::Distrust(types) => self.puller.distrust(&self.settings, &types),
            Input::Finding(finding) => {
                self.findings.insert(finding.code.clone(), finding);
            }
            Input::Notice { code, message } => {
                self.transact(now, Step::Note { code, message }, &mut out);
            }
        }
        self.after(now, &mut out);
        out
    }

    /// When the engine wants [`Input::Woke`], should nothing else happen before.
    #[must_use]
    pub fn deadline(&self, now: &Now) -> Option<Deadline> {
        let reasons = [
            (self.link.deadline(), "connect again"),
            (self.auth.deadline(now), "look at the token"),
            (self.work_deadline(now), "talk to the server"),
            (self.recovery_due(), "take up what was on its way"),
            (self.calls.deadline(), "answer those who waited"),
            (self.report_deadline(), "tell the status"),
            (self.epoch.map(|_| self.trimmer.deadline()), "remove what is old"),
        ];
        reasons.into_iter().filter_map(|(at, reason)| Some(Deadline { at: at?, reason })).min_by_key(|deadline| deadline.at)
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The epoch that is served.
    #[must_use]
    pub fn epoch(&self) -> Option<EpochId> {
        self.epoch
    }

    /// Notifications of unknown shapes so far (rule R34).
    #[must_use]
    pub fn unknown_events(&self) -> u64 {
        self.unknown_events
    }

    /// Whatever happened: does what follows from the state as it is now.
    fn after(&mut self, now: &Now, out: &mut Vec<Effect>) {
        self.steer(now, out);
        self.pump(now, out);
        self.report(now, out);
    }

    fn on_woke(&mut self, now: &Now, out: &mut Vec<Effect>) {
        for (call, reply) in self.calls.expired(now.mono) {
            out.push(Effect::Reply(call, Ok(reply)));
        }
        let change = self.link.woke(now);
        self.on_link_change(change, out);
        self.trimmer.woke(now, self.registry.epochs.keys().copied(), self.epoch, out);
    }

    fn on_committed(&mut self, now: &Now, outcome: Outcome, out: &mut Vec<Effect>) {
        let Outcome { epoch, written, done } = outcome;
        // What wrote nothing proves nothing about the disk.
        let wrote =
            written.ledger.is_some() || matches!(done, Done::Adopted(_) | Done::PauseStored(_) | Done::Acknowledged { .. });
        if wrote && self.troubles.clear(status::Trouble::Store) {
            out.push(Effect::Log(effect::LogLevel::Info, "changes are stored again".to_owned()));
        }
        match done {
            Done::Adopted(adopted) => return self.adopted(now, *adopted, out),
            Done::PauseStored(paused) => self.registry.paused = paused,
            Done::Noted(ref notices) => self.notices.clone_from(notices),
            Done::Acknowledged { call, count, notices } => {
                self.notices = notices;
                let reply = effect::Reply::Count(aesync_protocol::response::Count { count });
                return out.push(Effect::Reply(call, Ok(reply)));
            }
            _ => {}
        }
        if let Done::Trimmed { more_changes, rest } = &done {
            self.trimmer.trimmed(now, epoch, *more_changes, rest.clone(), out);
        }
        if Some(epoch) != self.epoch {
            // Of an identity that is no longer served (rule R25): those who asked are answered, nothing else follows.
            match done {
                Done::Enqueued { call, entries, .. } => {
                    let reply = aesync_protocol::response::Pushed { entries };
                    out.push(Effect::Reply(call, Ok(effect::Reply::Pushed(reply))));
                }
                Done::Answered { call, reply } => out.push(Effect::Reply(call, reply)),
                _ => {}
            }
            return;
        }
        if let Some(ledger) = written.ledger {
            self.ledger = ledger;
            // A large pull fills the feed faster than the hour comes round.
            let most = self.settings.feed_bytes;
            if self.ledger.feed_bytes > most.saturating_add(most / FEED_SLACK) {
                self.trimmer.overflowed(now, epoch, out);
            }
        }
        if !written.entries.is_empty() {
            for (call, reply) in self.calls.entries_changed(&written.entries) {
                out.push(Effect::Reply(call, Ok(reply)));
            }
            if !matches!(done, Done::Taken { .. }) {
                self.pusher.stir();
            }
        }
        self.on_done(now, done, out);
    }

    /// The state of an identity is served from here on.
    fn adopted(&mut self, now: &Now, adopted: Adopted, out: &mut Vec<Effect>) {
        let Adopted { registry, ledger, cursors, parked, notices } = adopted;
        self.notices = notices;
        self.adopting = self.adopting.saturating_sub(1);
        self.epoch = registry.current;
        self.paused = registry.paused;
        self.registry = registry;
        self.ledger = ledger;
        self.cursors = cursors;
        self.parked = parked;
        self.lane = Lane::Idle;
        self.puller = Puller::default();
        self.pusher = Pusher::default();
        self.recovers = false;
        self.invisible.clear();
        self.http = Http::default();
        if self.adopting > 0 {
            // Somebody else signed in meanwhile: under that token nothing of this identity may be asked or sent (rule R38).
            return;
        }
        if self.epoch.is_some() {
            self.transact(now, Step::Recover, out);
            self.puller.want_owed(&self.cursors);
            self.puller.plan_listings(&self.settings, now, &self.cursors);
        }
        let identity = self.identity().cloned();
        if let (Some(identity), Some(_)) = (identity, self.auth.token()) {
            out.push(Effect::SignedIn { tenant: identity.tenant });
        }
        self.ask_again(now, out);
    }

    /// What is wrong with the configuration. Without a server it is wrong only if it says how to sign in: else that is what a sign-in brings.
    fn misconfigured(&self) -> Option<&str> {
        let nowhere = self.settings.server.is_empty() && self.auth.has_credentials();
        self.misconfigured.as_deref().or(nowhere.then_some(session::NO_SERVER))
    }

    /// Whose state is served.
    fn identity(&self) -> Option<&Identity> {
        self.registry.epochs.get(&self.epoch?)
    }

    fn transact(&self, now: &Now, step: Step, out: &mut Vec<Effect>) {
        let epoch = self.epoch.unwrap_or(EpochId(0));
        out.push(Effect::Transact(Box::new(Txn { epoch, at: now.wall, step })));
    }

    fn wall_of(&self, mono: Duration) -> Timestamp {
        let (start, wall) = self.anchor;
        wall.plus_millis(i64::try_from(mono.saturating_sub(start).as_millis()).unwrap_or(i64::MAX))
    }

    /// The status that reads are answered with before the first effect is carried out.
    #[must_use]
    pub fn first_status(effects: &[Effect]) -> Option<Arc<Status>> {
        effects.iter().find_map(|effect| match effect {
            Effect::Snapshot(status) => Some(Arc::clone(status)),
            _ => None,
        })
    }
}
