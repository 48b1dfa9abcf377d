//! Which events a subscriber wants.

use std::sync::Arc;

use aesync_protocol::Channel;

/// A set of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Channels(u8);

impl Channels {
    pub(super) const fn only(channel: Channel) -> Self {
        Self(match channel {
            Channel::Status => 1,
            Channel::Notification => 2,
            Channel::Change => 4,
            Channel::Outbox => 8,
            Channel::Progress => 16,
        })
    }

    pub(super) const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Channels and entity types.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    channels: Channels,
    /// Sorted; all when absent.
    entity_types: Option<Arc<[Arc<str>]>>,
}

impl Filter {
    pub(crate) fn new(channels: &[Channel], entity_types: Option<&[String]>) -> Self {
        let sorted = |names: &[String]| {
            let mut names: Vec<Arc<str>> = names.iter().map(|name| name.as_str().into()).collect();
            names.sort_unstable();
            names.dedup();
            names.into()
        };
        Self {
            channels: channels.iter().fold(Channels::default(), |all, channel| all.and(Channels::only(*channel))),
            entity_types: entity_types.map(sorted),
        }
    }

    pub(super) fn channels(&self) -> Channels {
        self.channels
    }

    pub(crate) fn entity_types(&self) -> Option<&[Arc<str>]> {
        self.entity_types.as_deref()
    }

    pub(crate) fn wants(&self, channel: Channel) -> bool {
        self.channels.meet(Channels::only(channel))
    }

    /// Whether events of this type pass; what concerns no single type passes always.
    pub(crate) fn passes(&self, entity_type: Option<&str>) -> bool {
        match (&self.entity_types, entity_type) {
            (Some(wanted), Some(name)) => wanted.iter().any(|candidate| **candidate == *name),
            _ => true,
        }
    }
}
