//! Full listings, from the mark that one is owed to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::{Record, Timestamp};
use serde_json::json;

use super::super::durable::{Cursor, EpochId, Identity, Ledger, Registry};
use super::super::effect::Request;
use super::super::input::{RequestId, RestEvent, SessionEvent, StoreFailure, TokenFacts};
use super::super::memory::Memory;
use super::super::settings::Settings;
use super::super::transact::{Step, Txn, run};
use super::super::view::View as _;
use super::super::write_set::{Write, WriteSet};
use super::super::{Effect, Engine, Host, Input, Now, identity};

const EPOCH: EpochId = EpochId(1);
const TYPE: &str = "end_user";

fn at(seconds: u64) -> Now {
    let wall = Timestamp::from_millis(1_767_225_600_000 + i64::try_from(seconds).expect("small") * 1_000);
    Now { mono: Duration::from_secs(seconds), wall, dice: 3 }
}

/// An engine that is connected, over a type that is owed a listing.
struct Bench {
    engine: Engine,
    memory: Memory,
    settings: Settings,
    now: Now,
    /// Effects that are yet to be looked at.
    effects: VecDeque<Effect>,
}

impl Bench {
    fn connected() -> Self {
        let settings = Settings::new("http://server.example", None, &[TYPE]);
        let identity = Identity { server: settings.server.clone(), tenant: "t".into(), user: "u".into() };
        let registry = Registry { epochs: [(EPOCH, identity)].into(), current: Some(EPOCH), ..Registry::default() };
        let ledger = Ledger { log: "log".into(), first_seq: 1, ..Ledger::default() };
        let high_water = Some(at(0).wall);
        let cursor = Cursor { high_water, first_sync_done: true, listing_owed: true, ..Cursor::default() };
        let mut memory = Memory::default();
        let writes =
            vec![Write::Registry(registry.clone()), Write::Ledger(EPOCH, ledger), Write::Cursor(EPOCH, TYPE.into(), cursor)];
        memory.apply(&WriteSet { writes });
        let host = Host { version: String::new(), pid: 1, started_at: at(0).wall, instance: String::new() };
        let found = identity::boot(&settings, &memory, &registry).expect("readable");
        let (engine, effects) = Engine::new(settings.clone(), host, found, &at(0));
        let mut bench = Self { engine, memory, settings, now: at(0), effects: effects.into() };
        let token = TokenFacts { server: None, tenant: Some("t".into()), user: "u".into(), expires_at: None, log: "new".into() };
        bench.input(Input::SignedIn(token));
        let session = bench.next("a session", |effect| match effect {
            Effect::OpenSession(session) => Some(session),
            _ => None,
        });
        bench.input(Input::Session(session, SessionEvent::Connected));
        bench.input(Input::Session(session, SessionEvent::Authenticated));
        bench
    }

    fn input(&mut self, input: Input) {
        self.effects.extend(self.engine.handle(&self.now, input));
    }

    /// The next effect that is looked for; transactions before it are carried out, and time passes until there is one.
    fn next<T>(&mut self, what: &str, pick: impl Fn(Effect) -> Option<T>) -> T {
        for _ in 0..100 {
            while let Some(effect) = self.effects.pop_front() {
                if let Some(found) = pick(effect.clone()) {
                    return found;
                }
                if let Effect::Transact(txn) = effect {
                    self.commit(&txn);
                }
            }
            let deadline = self.engine.deadline(&self.now).expect("something to wait for");
            self.now = at(deadline.at.as_secs() + 1);
            self.input(Input::Woke);
        }
        panic!("waited in vain for {what}");
    }

    fn commit(&mut self, txn: &Txn) {
        let (writes, outcome) = run(txn, &self.settings, &self.memory).expect("readable");
        self.memory.apply(&writes);
        self.input(Input::Committed(Box::new(outcome)));
    }

    fn pull(&mut self) -> (RequestId, Timestamp) {
        self.next("a pull", |effect| match effect {
            Effect::Send(request, Request::Pull { since, .. }) => Some((request, since)),
            _ => None,
        })
    }

    fn txn(&mut self, what: &str, is_it: impl Fn(&Step) -> bool) -> Box<Txn> {
        self.next(what, |effect| match effect {
            Effect::Transact(txn) if is_it(&txn.step) => Some(txn),
            _ => None,
        })
    }
}

fn rows(count: u64) -> Vec<Record> {
    let row = |n: u64| json!({"id": format!("{n:05}"), "name": n, "updatedAt": at(n).wall.to_string()});
    (0..count).map(|n| row(n).as_object().cloned().expect("an object")).collect()
}

#[test]
fn a_listing_that_is_owed_comes_first_and_is_owed_until_it_is_settled() {
    let mut bench = Bench::connected();
    let (request, since) = bench.pull();
    assert_eq!(since, Timestamp::EPOCH);
    let owed = |bench: &Bench| bench.memory.cursor(EPOCH, TYPE).expect("readable").listing_owed;
    bench.input(Input::Rest(request, RestEvent::Rows { entity_type: TYPE.into(), rows: rows(3) }));
    bench.input(Input::Rest(request, RestEvent::PullDone { sync_timestamp: at(60).wall, listed: vec![TYPE.into()] }));
    let settle = bench.txn("the end", |step| matches!(step, Step::Settle { .. }));
    assert!(owed(&bench), "all of it is stored, and not yet compared");
    bench.commit(&settle);
    assert!(!owed(&bench));
    let (_, since) = bench.pull();
    assert_ne!(since, Timestamp::EPOCH, "and no other one follows");
}

#[test]
fn a_listing_that_the_disk_did_not_take_is_made_again() {
    for failing in ["the rows", "the cursor", "the comparison", "the end"] {
        let mut bench = Bench::connected();
        let (request, since) = bench.pull();
        assert_eq!(since, Timestamp::EPOCH);
        bench.input(Input::Rest(request, RestEvent::Rows { entity_type: TYPE.into(), rows: rows(3) }));
        bench.input(Input::Rest(request, RestEvent::PullDone { sync_timestamp: at(60).wall, listed: vec![TYPE.into()] }));
        let txn = bench.txn(failing, |step| match step {
            Step::Rows { .. } => failing == "the rows",
            Step::Finish { .. } => failing == "the cursor",
            Step::Sweep { .. } => failing == "the comparison",
            Step::Settle { .. } => failing == "the end",
            _ => false,
        });
        bench.input(Input::TxnFailed(txn, StoreFailure { full: true, detail: "no room".into() }));
        let (_, since) = bench.pull();
        assert_eq!(since, Timestamp::EPOCH, "{failing}");
    }
}

#[test]
fn all_slices_of_a_comparison_share_one_list_of_ids() {
    let mut bench = Bench::connected();
    let (request, _) = bench.pull();
    bench.input(Input::Rest(request, RestEvent::Rows { entity_type: TYPE.into(), rows: rows(600) }));
    bench.input(Input::Rest(request, RestEvent::PullDone { sync_timestamp: at(900).wall, listed: vec![TYPE.into()] }));
    let mut lists = Vec::new();
    loop {
        let txn = bench.txn("a slice or the end", |step| matches!(step, Step::Sweep { .. } | Step::Settle { .. }));
        match &txn.step {
            Step::Sweep { listed, .. } => {
                lists.push(Arc::clone(listed));
                let (writes, _) = run(&txn, &bench.settings, &bench.memory).expect("readable");
                assert!(writes.is_empty(), "a slice without news has nothing for the disk");
            }
            Step::Settle { listed, compared, .. } => {
                assert_eq!((compared.missing, compared.listed), (0, 600));
                lists.push(Arc::clone(listed));
                break;
            }
            _ => {}
        }
        bench.commit(&txn);
    }
    assert_eq!(lists.len(), 4);
    assert!(lists.iter().all(|list| Arc::ptr_eq(list, &lists[0])));
}
