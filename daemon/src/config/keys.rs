//! The table of all keys: name, what may stand there, where it goes, and when a new value takes effect.

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, LogFormat};

/// A key of the configuration.
pub(super) struct Key {
    /// `section.key`
    pub(super) name: &'static str,
    pub(super) when: When,
    pub(super) kind: Kind,
}

/// When a new value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// With the next reload.
    Reload,
    /// With the next start.
    Restart,
}

/// What may stand there, and where it goes. Bounds are inclusive.
pub(super) enum Kind {
    Flag(fn(&mut Config, bool)),
    Text(fn(&mut Config, String)),
    Url(fn(&mut Config, String)),
    Path(fn(&mut Config, PathBuf)),
    Duration { least: Duration, most: Duration, set: fn(&mut Config, Duration) },
    Bytes { least: u64, most: u64, set: fn(&mut Config, u64) },
    Count { least: u64, most: u64, set: fn(&mut Config, u64) },
    Names { of: NamesOf, set: fn(&mut Config, Vec<String>) },
    LogFilter(fn(&mut Config, String)),
    LogFormat(fn(&mut Config, LogFormat)),
}

/// What a list of names names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamesOf {
    /// At least one.
    EntityTypes,
    Fields,
    /// Users and `@groups`.
    Accounts,
}

impl Key {
    /// The section of the file.
    pub(super) fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    pub(super) fn leaf(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, leaf)| leaf)
    }

    /// The JSON pointer to its value in [`Config::shown`].
    pub(super) fn pointer(&self) -> String {
        format!("/{}/{}", self.section(), self.leaf())
    }

    /// The variable that overrides it.
    pub(super) fn variable(&self) -> String {
        format!("AESYNC_{}__{}", self.section(), self.leaf()).to_ascii_uppercase()
    }
}

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The sections, each once.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    sections
}

// In milliseconds.
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
// In bytes.
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// All keys, in the order of the file.
pub(super) const KEYS: &[Key] = &[
    restart("server.url", Kind::Url(|config, url| config.server.url = Some(url))),
    restart("server.tenant", Kind::Text(|config, id| config.server.tenant = Some(id.to_lowercase()))),
    restart("server.ca_file", Kind::Path(|config, path| config.server.ca_file = Some(path))),
    reload("auth.token_file", Kind::Path(|config, path| config.auth.token_file = Some(path))),
    reload("auth.email", Kind::Text(|config, email| config.auth.email = Some(email))),
    reload("auth.password_file", Kind::Path(|config, path| config.auth.password_file = Some(path))),
    restart("sync.entity_types", names(NamesOf::EntityTypes, |config, types| config.sync.entity_types = types)),
    reload("sync.interval", duration(SECOND, 7 * DAY, |config, time| config.sync.interval = time)),
    reload("sync.overlap", duration(0, HOUR, |config, time| config.sync.overlap = time)),
    reload("sync.reconcile_interval", duration(MINUTE, 365 * DAY, |config, time| config.sync.reconcile_interval = time)),
    reload("sync.announce_status", Kind::Flag(|config, flag| config.sync.announce_status = flag)),
    reload("sync.batch_bytes", bytes(1, 100_000, |config, size| config.sync.batch_bytes = size)),
    reload("sync.batch_count", count(1, 1000, |config, number| config.sync.batch_count = memory(number))),
    restart("replica.secret_fields", names(NamesOf::Fields, |config, fields| config.replica.secret_fields = fields)),
    restart("ipc.socket", Kind::Path(|config, path| config.ipc.socket = Some(path))),
    restart("ipc.max_connections", count(1, 65_536, |config, number| config.ipc.max_connections = memory(number))),
    restart("ipc.max_message", bytes(KIB, 64 * MIB, |config, size| config.ipc.max_message = memory(size))),
    reload("access.observers", names(NamesOf::Accounts, |config, names| config.access.observers = names)),
    reload("access.operators", names(NamesOf::Accounts, |config, names| config.access.operators = names)),
    reload("access.admins", names(NamesOf::Accounts, |config, names| config.access.admins = names)),
    restart("state.dir", Kind::Path(|config, path| config.state.dir = Some(path))),
    restart("state.cache", bytes(MIB, 64 * GIB, |config, size| config.state.cache = size)),
    restart("state.feed_retention", duration(MINUTE, 3650 * DAY, |config, time| config.state.feed_retention = time)),
    restart("state.feed_size", bytes(MIB, 64 * GIB, |config, size| config.state.feed_size = size)),
    reload("log.filter", Kind::LogFilter(|config, filter| config.log.filter = filter)),
    restart("log.format", Kind::LogFormat(|config, format| config.log.format = format)),
    restart("tuning.hint_delay", duration(0, MINUTE, |config, time| config.tuning.hint_delay = time)),
    restart("tuning.pull_gap", duration(0, HOUR, |config, time| config.tuning.pull_gap = time)),
    restart("tuning.http_interval", duration(SECOND, DAY, |config, time| config.tuning.http_interval = time)),
    restart("tuning.backoff_min", duration(1, HOUR, |config, time| config.tuning.backoff_min = time)),
    restart("tuning.backoff_max", duration(1, DAY, |config, time| config.tuning.backoff_max = time)),
    restart("tuning.stable_after", duration(0, HOUR, |config, time| config.tuning.stable_after = time)),
    restart("tuning.ping_interval", duration(SECOND, HOUR, |config, time| config.tuning.ping_interval = time)),
    restart("tuning.silence", duration(SECOND, DAY, |config, time| config.tuning.silence = time)),
    restart("tuning.request_timeout", duration(SECOND, HOUR, |config, time| config.tuning.request_timeout = time)),
    restart("tuning.reconcile_agree", duration(0, DAY, |config, time| config.tuning.reconcile_agree = time)),
    restart("tuning.entity_bytes", bytes(KIB, 102_000, |config, size| config.tuning.entity_bytes = size)),
    restart("tuning.outbox_entries", count(1, 100_000_000, |config, number| config.tuning.outbox_entries = number)),
    restart("tuning.outbox_bytes", bytes(MIB, 1024 * GIB, |config, size| config.tuning.outbox_bytes = size)),
    restart("tuning.ring", bytes(64 * KIB, GIB, |config, size| config.tuning.ring = memory(size))),
];

const fn reload(name: &'static str, kind: Kind) -> Key {
    Key { name, when: When::Reload, kind }
}

const fn restart(name: &'static str, kind: Kind) -> Key {
    Key { name, when: When::Restart, kind }
}

const fn duration(least: u64, most: u64, set: fn(&mut Config, Duration)) -> Kind {
    Kind::Duration { least: Duration::from_millis(least), most: Duration::from_millis(most), set }
}

const fn bytes(least: u64, most: u64, set: fn(&mut Config, u64)) -> Kind {
    Kind::Bytes { least, most, set }
}

const fn count(least: u64, most: u64, set: fn(&mut Config, u64)) -> Kind {
    Kind::Count { least, most, set }
}

const fn names(of: NamesOf, set: fn(&mut Config, Vec<String>)) -> Kind {
    Kind::Names { of, set }
}

/// A number that the bounds above keep far below the end of the address space.
fn memory(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
