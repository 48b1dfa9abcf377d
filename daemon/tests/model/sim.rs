//! The engine, a disk, a server and a network over virtual time: everything between them can be lost at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aesync_protocol::event::ChangeOp;
use aesync_protocol::request::PushWait;
use aesync_protocol::response::EntryState;
use aesync_protocol::{Record, Status, StatusWord, Timestamp};
use aesyncd::engine::durable::{Entry, EpochId};
use aesyncd::engine::effect::{CallId, Effect};
use aesyncd::engine::input::{Call, Hint, Input, RequestId, SessionEnd, SessionEndKind, SessionEvent, SessionId, TokenFacts};
use aesyncd::engine::memory::Memory;
use aesyncd::engine::query::Query;
use aesyncd::engine::settings::Settings;
use aesyncd::engine::transact::run;
use aesyncd::engine::view::View as _;
use aesyncd::engine::{Engine, Host, Now, identity};
use serde_json::{Value, json};

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
    /// A request reaches the server; its answer is for the life of the daemon that sent it.
    Arrives(u64, RequestId, String, aesyncd::engine::effect::Request),
}

pub struct Sim {
    pub now: i64,
    pub server: Server,
    pub disk: Memory,
    engine: Engine,
    settings: Settings,
    events: BTreeMap<(i64, u64), Event>,
    counter: u64,
    /// Counts starts: request ids begin anew with each.
    life: u64,
    session: Option<(SessionId, bool)>,
    /// Pages of the pull under way that have not been let go.
    pages: Vec<(RequestId, Vec<aesyncd::engine::input::RestEvent>)>,
    tenant: usize,
    chance: u64,
    calls: u64,
    pub status: Option<Status>,
    /// Entries that were acknowledged, and how those ended that left the outbox.
    pub acknowledged: BTreeMap<u64, (EpochId, String, String)>,
    pub ended: BTreeMap<u64, (EntryState, Entry)>,
    /// Deletions of rows by reconciliation, for the brakes.
    pub refused: u64,
}

impl Sim {
    pub fn new(chance: u64) -> Self {
        let mut settings = Settings::new("http://server.example", None, &TYPES);
        settings.reconcile_interval = Duration::from_secs(3_600);
        settings.batch_count = 5;
        let disk = Memory::default();
        let (engine, effects) = start(&settings, &disk, START);
        let mut sim = Self {
            now: START,
            server: Server::default(),
            disk,
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
            refused: 0,
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
        Now { mono: Duration::from_millis((self.now - START).unsigned_abs()), wall: Timestamp::from_millis(self.now), dice }
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
        self.sign_in();
    }

    pub fn push(&mut self, entity_type: &str, entity: Value) {
        self.calls += 1;
        let changes = vec![(entity_type.to_owned(), vec![entity])];
        let (wait, timeout) = (PushWait::Queued, Duration::from_secs(60));
        self.input(Input::Call(CallId(self.calls), Call::Push { changes, request_id: None, wait, timeout }));
    }

    pub fn sync(&mut self) {
        self.calls += 1;
        self.input(Input::Call(CallId(self.calls), Call::Sync));
    }

    /// Another device writes, and the server tells.
    pub fn remote_write(&mut self, entity_type: &str, id: &str, fields: Record, ahead: i64) {
        let tenant = self.tenant();
        self.server.write(tenant, entity_type, id, fields, self.now, ahead);
        self.notify(tenant, entity_type);
    }

    fn notify(&mut self, tenant: &str, entity_type: &str) {
        let Some((session, true)) = self.session else { return };
        if tenant != self.tenant() || self.server.has(Fault::Deaf, self.now) {
            return;
        }
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

    /// The daemon is killed and started again: what it was told and what it was about to do are gone, its disk is not.
    pub fn crash(&mut self) {
        self.events.retain(|_, event| matches!(event, Event::Arrives(..)));
        self.life += 1;
        self.session = None;
        self.pages.clear();
        let (engine, effects) = start(&self.settings, &self.disk, self.now);
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

    fn happen(&mut self, event: Event) {
        match event {
            Event::Client(input) => self.input(input),
            Event::Arrives(life, id, tenant, request) => {
                let done = self.server.serve(&tenant, &request, self.now);
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
                    let (write_set, outcome) = run(&txn, &self.settings, &self.disk).expect("memory can be read");
                    self.disk.apply(&write_set);
                    self.watch(&outcome.written.entries);
                    if let aesyncd::engine::transact::Done::Enqueued { entries, .. } = &outcome.done {
                        for entry in entries {
                            let place = (outcome.epoch, entry.entity_type.clone(), entry.id.clone());
                            self.acknowledged.insert(entry.entry, place);
                        }
                    }
                    self.later(1, Event::Client(Input::Committed(Box::new(outcome))));
                }
                Effect::Snapshot(status) => {
                    if status.status == StatusWord::Synced {
                        let outbox = status.outbox;
                        assert_eq!(
                            outbox.pending + outbox.sent + outbox.in_doubt + outbox.acked,
                            0,
                            "synced with changes on their way"
                        );
                        assert!(status.has_synced, "synced before the first sync was done");
                        assert!(
                            self.session.is_some_and(|(_, up)| up) || status.server.transport.is_some(),
                            "synced without a connection"
                        );
                    }
                    self.status = Some(Status::clone(&status));
                }
                Effect::Reply(_, Err(_)) => self.refused += 1,
                // A token that was refused is followed by a new one.
                Effect::Login => {
                    self.later(1_000, Event::Client(Input::LoginFailed(aesyncd::engine::input::LoginFailure::NoCredentials)))
                }
                _ => {}
            }
        }
    }

    fn watch(&mut self, entries: &[Entry]) {
        for entry in entries {
            if matches!(entry.state, EntryState::Confirmed | EntryState::Discarded) {
                self.ended.insert(entry.number, (entry.state, entry.clone()));
            }
        }
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
        for _ in 0..12 {
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

    /// What must hold once it is quiet.
    pub fn check(&mut self) {
        self.check_feed();
        let tenant = self.tenant();
        let epoch = self.epoch().expect("somebody signed in");
        for entity_type in TYPES {
            let base: BTreeMap<String, Record> = self
                .disk
                .rows(epoch, entity_type, "", usize::MAX)
                .expect("readable")
                .into_iter()
                .filter(|(id, row)| row.is_live() && !self.is_changed_here(epoch, entity_type, id))
                .map(|(id, row)| (id, without_stamp(row.record)))
                .collect();
            let mut shown = self.server.visible(tenant, entity_type);
            shown.retain(|id, _| !self.is_changed_here(epoch, entity_type, id));
            assert_eq!(base, shown, "I1: the base of {entity_type} is what the server shows");
        }
        for (number, (owner, entity_type, id)) in &self.acknowledged {
            let stored = self.disk.entry(*owner, *number).expect("readable");
            match (stored, self.ended.get(number)) {
                (Some(entry), None) => {
                    // Accepted, and erased by somebody before a pull showed it: that is reported (R16), and waits for a person.
                    let invisible = entry.state == EntryState::Acked && entry.misses >= 3;
                    let waits = *owner != epoch
                        || invisible
                        || matches!(entry.state, EntryState::Conflict | EntryState::Quarantined | EntryState::Blocked);
                    assert!(waits, "I7: entry {number} is still {}: {entry:?}", entry.state);
                }
                (None, Some(_)) => {}
                (stored, ended) => panic!("I2: entry {number} ({entity_type} {id}) is {stored:?} and ended {ended:?}"),
            }
        }
        for (number, (end, entry)) in &self.ended {
            if *end == EntryState::Confirmed {
                let owner = self.tenant_of(entry.epoch);
                let times = self.server.inserted.get(&(owner, entry.entity_type.clone(), entry.id.clone())).copied();
                assert!(times.is_some_and(|times| times >= 1), "I2: entry {number} is confirmed, and the server never had it");
            }
        }
        let status = self.status.clone().expect("a status");
        let kept = [EntryState::Quarantined, EntryState::Blocked, EntryState::Acked]
            .iter()
            .any(|state| !self.disk.entries_in(epoch, *state, 0, 1).expect("readable").is_empty());
        if !kept {
            assert_eq!(status.status, StatusWord::Synced, "I6, I7: quiet, and not synced: {status:#?}");
        }
    }

    /// A row with a local change is never deleted by a listing (R29): once quiet, that is one that waits for a person.
    fn is_changed_here(&self, epoch: EpochId, entity_type: &str, id: &str) -> bool {
        self.disk.overlay(epoch, entity_type, id).expect("readable").is_some()
    }

    fn tenant_of(&self, epoch: EpochId) -> String {
        self.disk.registry().expect("readable").epochs[&epoch].tenant.clone()
    }

    /// I3: folding the feed from 0 gives the visible replica; no gap, no repeat.
    pub fn check_feed(&self) {
        let epochs: BTreeSet<EpochId> = self.disk.registry().expect("readable").epochs.keys().copied().collect();
        for epoch in epochs {
            let changes = self.disk.changes(epoch, 0, usize::MAX).expect("readable");
            let mut folded: BTreeMap<(String, String), (Record, bool)> = BTreeMap::new();
            for (position, change) in changes.iter().enumerate() {
                assert_eq!(change.seq, position as u64 + 1, "I3: the feed has neither gap nor repeat");
                let key = (change.entity_type.clone(), change.id.clone());
                match change.op {
                    ChangeOp::Upsert => {
                        let seen = (change.record.clone().expect("an upsert has a record"), change.pending);
                        assert_ne!(folded.insert(key, seen.clone()), Some(seen), "R24: a change that changes nothing");
                    }
                    ChangeOp::Delete => assert!(folded.remove(&key).is_some(), "R24: a deletion of what is not there"),
                }
            }
            let query = Query { view: &self.disk, settings: &self.settings, epoch: Some(epoch), last_seq: u64::MAX };
            let mut listed = BTreeMap::new();
            for entity_type in TYPES {
                let page = query.records(entity_type, None, usize::MAX - 1).expect("readable");
                for found in page.records {
                    let id = found.record["id"].as_str().expect("records have ids").to_owned();
                    listed.insert((entity_type.to_owned(), id), (found.record, found.pending));
                }
            }
            assert_eq!(folded, listed, "I3: the folded feed is the visible replica");
        }
    }
}

fn start(settings: &Settings, disk: &Memory, now: i64) -> (Engine, Vec<Effect>) {
    let registry = disk.registry().expect("readable");
    let found = identity::boot(settings, disk, &registry).expect("readable");
    let wall = Timestamp::from_millis(now);
    let host = Host { version: "0".to_owned(), pid: 1, started_at: wall, instance: "default".to_owned() };
    let now = Now { mono: Duration::from_millis((now - START).unsigned_abs()), wall, dice: 7 };
    Engine::new(settings.clone(), host, found, &now)
}

fn without_stamp(mut record: Record) -> Record {
    record.remove("updatedAt");
    record
}

pub fn user(id: &str, name: u32) -> Record {
    let user = json!({"id": id, "email": format!("{id}@example.com"), "name": name, "is_deleted": 0});
    user.as_object().cloned().expect("an object")
}
