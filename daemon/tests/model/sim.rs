//! The engine, a disk, a server and a network over virtual time: everything between them can be lost at any moment.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::event::Event as ToldEvent;
use aesync_protocol::request::PushWait;
use aesync_protocol::response::{EntryOp, EntryState};
use aesync_protocol::{Error, Record, Status, StatusWord, Timestamp};
use aesyncd::engine::durable::{Entry, EpochId};
use aesyncd::engine::effect::{CallId, Effect, Reply, Request};
use aesyncd::engine::input::{
    Call, Hint, Input, LoginFailure, RequestId, RestEvent, SessionEnd, SessionEndKind, SessionEvent, SessionId, TokenFacts,
};
use aesyncd::engine::memory::Memory;
use aesyncd::engine::settings::Settings;
use aesyncd::engine::transact::{Done, Outcome, run};
use aesyncd::engine::view::View as _;
use aesyncd::engine::without::Without;
use aesyncd::engine::write_set::WriteSet;
use aesyncd::engine::{Engine, Host, Now, identity};
use serde_json::{Value, json};

use super::invariants::Folded;
use super::server::{Fault, Server};

pub const TYPES: [&str; 2] = ["end_user", "interactions"];
pub const TENANTS: [&str; 2] = ["aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"];
const HOUR: i64 = 3_600_000;
/// 2026-01-01, in milliseconds.
const START: i64 = 1_767_225_600_000;

/// What will happen.
enum Event {
    /// To the daemon; gone with it when it crashes.
    Client(Input),
    /// The oldest transaction that waits for the disk is on it; gone with the daemon when it crashes.
    Flushed,
    /// A request reaches the server; its answer is for the life of the daemon that sent it.
    Arrives(u64, RequestId, String, Request),
}

pub struct Sim {
    pub now: i64,
    pub server: Server,
    /// What transactions see: what is on disk, and what is on its way there.
    pub state: Memory,
    /// What a crash leaves.
    disk: Memory,
    /// What is on its way to the disk, oldest first.
    unflushed: VecDeque<(WriteSet, Outcome)>,
    engine: Engine,
    pub settings: Settings,
    events: BTreeMap<(i64, u64), Event>,
    counter: u64,
    /// Counts starts: request ids begin anew with each.
    life: u64,
    session: Option<(SessionId, bool)>,
    /// Pages of the pull under way that have not been let go.
    pages: Vec<(RequestId, Vec<RestEvent>)>,
    tenant: usize,
    chance: u64,
    calls: u64,
    pub status: Option<Arc<Status>>,
    /// Entries that were acknowledged: to whom they belong, and what they change.
    pub acknowledged: BTreeMap<u64, (EpochId, String, String)>,
    /// How those ended that left the outbox.
    pub ended: BTreeMap<u64, (EntryState, Entry)>,
    /// Entities that were enqueued and may not be acknowledged yet.
    enqueued: BTreeMap<u64, (EpochId, String, String)>,
    /// The request whose answer is not there yet.
    in_flight: Option<RequestId>,
    /// When the requests of the last minute were sent.
    sent: VecDeque<i64>,
    /// When the last answered pull of each type reached the server, in this life and for this tenant.
    pub pulled: BTreeMap<String, i64>,
    /// Tenants and types of which a broken answer may have hidden rows; only a whole listing shows them.
    pub hidden: BTreeSet<(&'static str, String)>,
    /// Types of which a whole listing is on its way.
    pub listing: BTreeSet<String>,
    /// The kinds of changes that the server was seen to drop, by epoch.
    pub learned: HashSet<(EpochId, String, EntryOp)>,
    /// How far this machine's wall clock is ahead of the server's (R22), in milliseconds.
    pub skew: i64,
    /// What calls were answered, by their number.
    pub replies: BTreeMap<u64, Result<Reply, Error>>,
    /// What a subscriber made of each feed, since the last crash: that takes back what was not on disk.
    pub folds: BTreeMap<EpochId, Folded>,
    /// When subscribers were told a status, and which.
    pub told: Vec<(i64, Status)>,
}

/// Clocks of machines: right, a day slow, more than a year fast.
const SKEWS: [i64; 4] = [0, 0, -24 * HOUR, 500 * 24 * HOUR];

impl Sim {
    pub fn new(chance: u64, without: Without) -> Self {
        let mut settings = Settings::new("http://server.example", None, &TYPES);
        settings.reconcile_interval = Duration::from_secs(3_600);
        settings.batch_count = 5;
        settings.batch_bytes = super::server::WALL / 2;
        settings.brake_rows = 3;
        settings.without = without;
        let disk = Memory::default();
        let skew = SKEWS[(chance % 4) as usize];
        let (engine, effects) = start(&settings, &disk, START, skew);
        let mut sim = Self {
            now: START,
            server: Server::default(),
            state: disk.clone(),
            disk,
            unflushed: VecDeque::new(),
            engine,
            settings,
            events: BTreeMap::new(),
            counter: 0,
            life: 0,
            session: None,
            pages: Vec::new(),
            tenant: 0,
            chance: chance | 1,
            calls: 0,
            status: None,
            acknowledged: BTreeMap::new(),
            ended: BTreeMap::new(),
            enqueued: BTreeMap::new(),
            in_flight: None,
            sent: VecDeque::new(),
            pulled: BTreeMap::new(),
            hidden: BTreeSet::new(),
            listing: BTreeSet::new(),
            learned: HashSet::new(),
            skew,
            replies: BTreeMap::new(),
            folds: BTreeMap::new(),
            told: Vec::new(),
        };
        sim.carry_out(effects);
        sim.sign_in();
        sim
    }

    pub fn tenant(&self) -> &'static str {
        TENANTS[self.tenant]
    }

    pub fn epoch(&self) -> Option<EpochId> {
        self.engine.epoch()
    }

    fn moment(&mut self) -> Now {
        let dice = u128::from(self.draw()) << 64 | u128::from(self.draw());
        Now {
            mono: Duration::from_millis((self.now - START).unsigned_abs()),
            wall: Timestamp::from_millis(self.now + self.skew),
            dice,
        }
    }

    /// xorshift: the same case always runs the same way.
    pub fn draw(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    fn later(&mut self, millis: i64, event: Event) {
        self.counter += 1;
        self.events.insert((self.now + millis, self.counter), event);
    }

    fn some_millis(&mut self, most: u64) -> i64 {
        (self.draw() % most + 1) as i64
    }

    pub fn input(&mut self, input: Input) {
        let now = self.moment();
        let effects = self.engine.handle(&now, input);
        self.carry_out(effects);
    }

    pub fn sign_in(&mut self) {
        let log = format!("log-{}", self.draw());
        let tenant = Some(self.tenant().to_owned());
        let user = "ada@example.com".to_owned();
        self.input(Input::SignedIn(TokenFacts { server: None, tenant, user, expires_at: None, log }));
    }

    pub fn switch_tenant(&mut self) {
        self.tenant = 1 - self.tenant;
        self.forget_pulls();
        self.sign_in();
    }

    /// An application pushes an entity, which is marked with the tenant that it is meant for.
    pub fn push(&mut self, entity_type: &str, entity: Value) -> u64 {
        self.push_as(entity_type, entity, None)
    }

    /// The same, with a `requestId`.
    pub fn push_as(&mut self, entity_type: &str, mut entity: Value, request_id: Option<&str>) -> u64 {
        entity["tenant"] = json!(self.tenant());
        let changes = vec![(entity_type.to_owned(), vec![entity])];
        let (wait, timeout) = (PushWait::Queued, Duration::from_secs(60));
        self.call(Call::Push { changes, request_id: request_id.map(str::to_owned), wait, timeout })
    }

    /// An application calls; the answer will be in `replies` under this number.
    pub fn call(&mut self, call: Call) -> u64 {
        self.calls += 1;
        self.input(Input::Call(CallId(self.calls), call));
        self.calls
    }

    /// The live entries of the present identity, by number.
    pub fn outbox(&self) -> Vec<Entry> {
        let Some(epoch) = self.epoch() else { return Vec::new() };
        self.state.entries(epoch, 0, usize::MAX).expect("readable")
    }

    /// A number that grows with every call.
    pub fn count(&self) -> u64 {
        self.calls
    }

    pub fn sync(&mut self) {
        self.call(Call::Sync);
    }

    /// Another device writes, and the server tells.
    pub fn remote_write(&mut self, entity_type: &str, id: &str, fields: Record, ahead: i64) {
        let tenant = self.tenant();
        self.server.write(tenant, entity_type, id, fields, self.now, ahead);
        self.notify(tenant, entity_type);
    }

    fn notify(&mut self, tenant: &str, entity_type: &str) {
        if tenant == self.tenant() && !self.server.has(Fault::Deaf, self.now) {
            self.hint(entity_type);
        }
    }

    /// A notification arrives, if a session is up.
    pub fn hint(&mut self, entity_type: &str) {
        let Some((session, true)) = self.session else { return };
        let hint = Hint {
            kind: "data_available".to_owned(),
            entity_type: entity_type.to_owned(),
            entity_id: None,
            message: String::new(),
            timestamp: None,
            batch_types: Vec::new(),
        };
        let delay = self.some_millis(50);
        self.later(delay, Event::Client(Input::Session(session, SessionEvent::Notification(hint))));
    }

    /// A fault begins; a server that goes down takes the session with it.
    pub fn fault(&mut self, fault: Fault, millis: i64) {
        self.server.set(fault, self.now + millis);
        if fault == Fault::Down {
            self.lose_session();
        }
    }

    fn lose_session(&mut self) {
        if let Some((session, _)) = self.session.take() {
            let end = SessionEnd { kind: SessionEndKind::Lost, detail: "lost".to_owned() };
            self.later(1, Event::Client(Input::Session(session, SessionEvent::Ended(end))));
        }
    }

    /// The daemon is killed and started again: what it was told and what it was about to do are gone, its disk is not. Of what was
    /// on its way there, the older part may have arrived.
    pub fn crash(&mut self) {
        self.events.retain(|_, event| matches!(event, Event::Arrives(..)));
        let arrived = self.draw() as usize % (self.unflushed.len() + 1);
        for (write_set, outcome) in std::mem::take(&mut self.unflushed).into_iter().take(arrived) {
            self.disk.apply(&write_set);
            self.watch(&outcome);
        }
        self.state = self.disk.clone();
        self.folds.clear();
        self.life += 1;
        self.session = None;
        self.in_flight = None;
        self.pages.clear();
        self.forget_pulls();
        let (engine, effects) = start(&self.settings, &self.disk, self.now, self.skew);
        self.engine = engine;
        self.carry_out(effects);
        self.sign_in();
    }

    /// Time passes; everything that is due happens.
    pub fn advance(&mut self, millis: i64) {
        let end = self.now + millis;
        let mut turns = 0_u64;
        loop {
            let now = self.moment();
            let deadline = self.engine.deadline(&now).map(|deadline| START + deadline.at.as_millis() as i64 + 1);
            let next = self.events.keys().next().map(|(at, _)| *at);
            let due = next.into_iter().chain(deadline.map(|at| at.max(self.now))).min().filter(|at| *at <= end);
            let Some(at) = due else { break };
            turns += 1;
            assert!(turns < 30_000, "the engine spins: {:?}", self.engine.deadline(&now));
            self.now = self.now.max(at);
            match self.events.keys().next().copied().filter(|(at, _)| *at <= self.now) {
                Some(key) => {
                    let event = self.events.remove(&key).expect("just seen");
                    self.happen(event);
                }
                None => self.input(Input::Woke),
            }
        }
        self.now = end;
    }

    fn forget_pulls(&mut self) {
        self.pulled.clear();
        self.listing.clear();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Client(input) => {
                if matches!(&input, Input::Rest(id, event) if self.in_flight == Some(*id) && !matches!(event, RestEvent::Rows { .. }))
                {
                    self.in_flight = None;
                }
                self.input(input);
            }
            Event::Flushed => {
                let (write_set, outcome) = self.unflushed.pop_front().expect("it waited");
                self.disk.apply(&write_set);
                self.watch(&outcome);
                self.input(Input::Committed(Box::new(outcome)));
            }
            Event::Arrives(life, id, tenant, request) => {
                let done = self.server.serve(&tenant, &request, self.now);
                let answered = done.answer.iter().flatten().all(|event| !matches!(event, RestEvent::Failed(_)));
                if let Request::Pull { entity_types, since } = &request
                    && answered
                    && life == self.life
                    && tenant == self.tenant()
                {
                    for entity_type in entity_types {
                        self.pulled.insert(entity_type.clone(), self.now);
                        self.listing.remove(entity_type);
                        if self.server.hides(entity_type, self.now) {
                            self.hidden.insert((self.tenant(), entity_type.clone()));
                        } else if *since == Timestamp::EPOCH {
                            self.listing.insert(entity_type.clone());
                        }
                    }
                }
                for entity_type in &done.notified {
                    self.notify(&tenant, entity_type);
                }
                let Some(mut answer) = done.answer.filter(|_| life == self.life) else { return };
                let delay = if self.server.has(Fault::Hang, self.now) { 60_000 } else { self.some_millis(200) };
                // Two pages at once, the others as they are asked for.
                let rest = answer.split_off(answer.len().min(2));
                for event in answer {
                    self.later(delay, Event::Client(Input::Rest(id, event)));
                }
                if !rest.is_empty() {
                    self.pages.push((id, rest));
                }
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::OpenSession(id) => self.open(id),
                Effect::CloseSession => self.session = None,
                Effect::Send(id, request) => {
                    self.count_request(id);
                    let tenant = self.tenant().to_owned();
                    let delay = self.some_millis(100);
                    self.later(delay, Event::Arrives(self.life, id, tenant, request));
                }
                Effect::NextPage(id) => {
                    let Some(at) = self.pages.iter().position(|(request, _)| *request == id) else { continue };
                    let page = self.pages[at].1.remove(0);
                    if self.pages[at].1.is_empty() {
                        self.pages.remove(at);
                    }
                    self.later(1, Event::Client(Input::Rest(id, page)));
                }
                Effect::Transact(txn) => {
                    let (write_set, outcome) = run(&txn, &self.settings, &self.state).expect("memory can be read");
                    self.state.apply(&write_set);
                    if let Done::Enqueued { entries, .. } = &outcome.done {
                        self.check_warnings(outcome.epoch, entries);
                        for entry in entries {
                            let place = (outcome.epoch, entry.entity_type.clone(), entry.id.clone());
                            self.enqueued.insert(entry.entry, place);
                        }
                    }
                    // One writer: what was committed first is on disk first.
                    let last =
                        self.events.iter().filter(|(_, event)| matches!(event, Event::Flushed)).map(|((at, _), _)| *at).max();
                    let delay = self.some_millis(8).max(last.map_or(0, |at| at - self.now));
                    self.later(delay, Event::Flushed);
                    self.unflushed.push_back((write_set, outcome));
                }
                Effect::Abandon(id) if self.in_flight == Some(id) => self.in_flight = None,
                Effect::Reply(call, reply) => {
                    if let Ok(Reply::Pushed(pushed)) = &reply {
                        for entry in &pushed.entries {
                            if let Some(place) = self.enqueued.get(&entry.entry) {
                                self.acknowledged.insert(entry.entry, place.clone());
                            }
                        }
                    }
                    self.replies.insert(call.0, reply);
                }
                Effect::Publish(event) => {
                    if let ToldEvent::Status { status } = *event {
                        self.told.push((self.now, *status));
                    }
                }
                Effect::Snapshot(status) => {
                    if status.status == StatusWord::Synced {
                        self.check_synced(&status);
                    }
                    self.status = Some(status);
                }
                // A token that was refused is followed by a new one.
                Effect::Login => self.later(1_000, Event::Client(Input::LoginFailed(LoginFailure::NoCredentials))),
                _ => {}
            }
        }
    }

    /// One request at a time (R8), and not too many of them (I5).
    fn count_request(&mut self, id: RequestId) {
        assert_eq!(self.in_flight.replace(id), None, "R8: a request was sent while another was under way");
        while self.sent.front().is_some_and(|at| *at < self.now - 60_000) {
            self.sent.pop_front();
        }
        self.sent.push_back(self.now);
        assert!(self.sent.len() < 300, "I5: {} requests in a minute", self.sent.len());
    }

    /// Which connection attempt this is, of those of this life.
    pub fn session_number(&self) -> u64 {
        self.session.map_or(0, |(SessionId(number), _)| number)
    }

    /// Whether a session is up.
    pub fn is_connected(&self) -> bool {
        self.session.is_some_and(|(_, up)| up)
    }

    fn open(&mut self, id: SessionId) {
        let down = self.server.has(Fault::Down, self.now) || self.server.has(Fault::NoWebsocket, self.now);
        self.session = None;
        if down {
            let end = SessionEnd { kind: SessionEndKind::Unreachable, detail: "refused".to_owned() };
            return self.later(2, Event::Client(Input::Session(id, SessionEvent::Ended(end))));
        }
        self.session = Some((id, true));
        self.later(5, Event::Client(Input::Session(id, SessionEvent::Connected)));
        self.later(10, Event::Client(Input::Session(id, SessionEvent::Authenticated)));
    }

    /// Everything works again, and there is time.
    pub fn settle(&mut self) {
        self.server.heal();
        // A token that was refused needs a person: here is one.
        self.sign_in();
        for _ in 0..8 {
            self.advance(HOUR / 2);
        }
        self.rest();
    }

    /// Until no poll happens to be under way.
    pub fn rest(&mut self) {
        for _ in 0..20 {
            if self.status.as_ref().is_some_and(|status| status.status != StatusWord::Syncing) {
                return;
            }
            self.advance(1_000);
        }
    }
}

fn start(settings: &Settings, disk: &Memory, now: i64, skew: i64) -> (Engine, Vec<Effect>) {
    let registry = disk.registry().expect("readable");
    let found = identity::boot(settings, disk, &registry).expect("readable");
    let wall = Timestamp::from_millis(now + skew);
    let host = Host { version: "0".to_owned(), pid: 1, started_at: wall, instance: "default".to_owned() };
    let now = Now { mono: Duration::from_millis((now - START).unsigned_abs()), wall, dice: 7 };
    Engine::new(settings.clone(), host, found, &now)
}

pub fn user(id: &str, name: u32) -> Record {
    let user = json!({"id": id, "email": format!("{id}@example.com"), "name": name, "is_deleted": 0});
    user.as_object().cloned().expect("an object")
}
