//! How many notifications and outbox events there were, by entity type: what a subscriber that lags has missed.

use std::collections::HashMap;
use std::sync::Arc;

use aesync_protocol::Channel;

use super::filter::Filter;

/// The most entity types that are counted apart. The server names them in its notifications, so that a bound is needed; those beyond it
/// count as concerning every type.
const MAX_NAMES: usize = 1024;

/// Counts that only grow.
#[derive(Debug, Default)]
pub(super) struct Tally {
    by_type: HashMap<Arc<str>, Counts>,
    of_all_types: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    notifications: u64,
    outbox: u64,
}

impl Counts {
    fn add(&mut self, channel: Channel) {
        match channel {
            Channel::Notification => self.notifications += 1,
            Channel::Outbox => self.outbox += 1,
            Channel::Status | Channel::Change | Channel::Progress => {}
        }
    }

    fn count(self, filter: &Filter) -> u64 {
        let counted = |channel, number| if filter.wants(channel) { number } else { 0 };
        counted(Channel::Notification, self.notifications) + counted(Channel::Outbox, self.outbox)
    }
}

impl Tally {
    /// The name in the one copy that all stretches share.
    pub(super) fn shared_name(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.by_type.get_key_value(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        if self.by_type.len() < MAX_NAMES {
            self.by_type.insert(Arc::clone(&new), Counts::default());
        }
        new
    }

    pub(super) fn add(&mut self, channel: Channel, entity_type: Option<&Arc<str>>) {
        let full = self.by_type.len() >= MAX_NAMES;
        match entity_type {
            Some(name) if !full || self.by_type.contains_key(name) => {
                self.by_type.entry(Arc::clone(name)).or_default().add(channel);
            }
            _ => self.of_all_types.add(channel),
        }
    }

    /// How many pass the filter.
    pub(super) fn count(&self, filter: &Filter) -> u64 {
        let named: u64 = match filter.entity_types() {
            Some(names) => names.iter().filter_map(|name| self.by_type.get(name)).map(|counts| counts.count(filter)).sum(),
            None => self.by_type.values().map(|counts| counts.count(filter)).sum(),
        };
        named + self.of_all_types.count(filter)
    }
}
