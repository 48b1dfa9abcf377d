//! Every way in which the server can be made to misbehave, and when.

mod fault;
mod route;
mod rule;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::fault::Fault;
pub use self::route::Route;
pub use self::rule::{Rule, RuleId, Seen};

/// The rules in force. Several may meet one request.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    next: u64,
    active: Vec<(RuleId, Rule)>,
}

impl Faults {
    /// Switches a fault on until it is cleared.
    pub fn set(&self, fault: Fault) -> RuleId {
        self.add(Rule::new(fault))
    }

    /// The next `requests` that the fault applies to meet it.
    pub fn next(&self, requests: u32, fault: Fault) -> RuleId {
        self.add(Rule::new(fault).times(requests))
    }

    /// Puts a rule in force.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut rules = self.lock();
        rules.next += 1;
        let id = RuleId(rules.next);
        rules.active.push((id, rule));
        id
    }

    /// Takes one rule out; false if it was gone already.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut rules = self.lock();
        let before = rules.active.len();
        rules.active.retain(|(other, _)| *other != id);
        rules.active.len() < before
    }

    /// Takes every rule out.
    pub fn clear(&self) {
        self.lock().active.clear();
    }

    /// The rules still in force; a rule whose requests are used up is gone.
    pub fn active(&self) -> Vec<(RuleId, Rule)> {
        self.lock().active.clone()
    }

    /// The faults that this request meets; counts them.
    pub(crate) fn meet(&self, seen: &Seen<'_>) -> Vec<Fault> {
        let mut rules = self.lock();
        let met = rules.active.iter_mut().filter_map(|(_, rule)| rule.meet(seen)).collect();
        rules.active.retain(|(_, rule)| !rule.is_used_up());
        met
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
