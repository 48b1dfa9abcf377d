//! What a configuration means for the parts of the daemon.

use serde_json::Value;

use super::keys::{self, When};
use super::{AccessConfig, Changes, Config, LogConfig, SyncConfig};
use crate::engine::settings::Settings;
use crate::ipc::AccessLists;

impl Config {
    /// The engine's numbers and tables. Without `server.url` the server is the empty string, which stands for none.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let types: Vec<&str> = self.sync.entity_types.iter().map(String::as_str).collect();
        let rules = Settings::new(self.server.url.as_deref().unwrap_or_default(), self.server.tenant.as_deref(), &types);
        Settings {
            secret_fields: self.replica.secret_fields.clone(),
            announce: self.sync.announce_status,
            interval: self.sync.interval,
            http_interval: self.tuning.http_interval,
            overlap_ms: milliseconds(self.sync.overlap),
            hint_delay: self.tuning.hint_delay,
            pull_gap: self.tuning.pull_gap,
            batch_bytes: self.sync.batch_bytes,
            batch_count: self.sync.batch_count,
            entity_bytes: self.tuning.entity_bytes,
            outbox_entries: self.tuning.outbox_entries,
            outbox_bytes: self.tuning.outbox_bytes,
            backoff_min: self.tuning.backoff_min,
            backoff_max: self.tuning.backoff_max,
            stable_after: self.tuning.stable_after,
            reconcile_interval: self.sync.reconcile_interval,
            reconcile_agree_ms: milliseconds(self.tuning.reconcile_agree),
            feed_retention_ms: milliseconds(self.state.feed_retention),
            feed_bytes: self.state.feed_size,
            ..rules
        }
    }

    /// Who may do what.
    #[must_use]
    pub fn access_lists(&self) -> AccessLists {
        let AccessConfig { observers, operators, admins } = self.access.clone();
        AccessLists { observers, operators, admins }
    }

    /// The configuration as in the file, with defaults filled in. It holds no secrets, only the names of the files that do.
    #[must_use]
    pub fn shown(&self) -> Value {
        // Text keys and plain values only: this can't fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What is different in `new`.
    #[must_use]
    pub fn diff(&self, new: &Self) -> Changes {
        let (mine, theirs) = (self.shown(), new.shown());
        let mut changes = Changes::default();
        for key in keys::KEYS {
            let pointer = key.pointer();
            if mine.pointer(&pointer) != theirs.pointer(&pointer) {
                match key.when {
                    When::Reload => changes.changed.push(key.name.to_owned()),
                    When::Restart => changes.restart_needed.push(key.name.to_owned()),
                }
            }
        }
        changes
    }

    /// This configuration with those values of `new` that a reload applies.
    #[must_use]
    pub fn reloaded(&self, new: &Self) -> Self {
        let new = new.clone();
        Self {
            auth: new.auth,
            sync: SyncConfig { entity_types: self.sync.entity_types.clone(), ..new.sync },
            access: new.access,
            log: LogConfig { filter: new.log.filter, format: self.log.format },
            ..self.clone()
        }
    }
}

fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
