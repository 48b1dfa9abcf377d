//! The sections and their defaults.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::shown::{bytes, bytes_of_memory, duration};
use crate::engine::settings::Settings;
use crate::server::{SessionTimings, Timeouts};

/// The whole configuration, with defaults where nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    /// Where the server is.
    pub server: ServerConfig,
    /// How to sign in without a person.
    pub auth: AuthConfig,
    /// What is synced, and when.
    pub sync: SyncConfig,
    /// What of it is kept.
    pub replica: ReplicaConfig,
    /// The local socket.
    pub ipc: IpcConfig,
    /// Who may do what on it.
    pub access: AccessConfig,
    /// What is on disk.
    pub state: StateConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Numbers that nobody should have to change.
    pub tuning: TuningConfig,
}

/// `[server]`
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerConfig {
    /// The address: lower-case scheme and host, no slash at the end, no credentials, query or fragment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The tenant in lower case; from the token or the login when absent (rule R39).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A private authority to trust beside the system's, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// `[auth]`: a token file, or an e-mail address with a password file, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AuthConfig {
    /// A file that holds a token and nothing else. The systemd credential `aesyncd.token`, when nothing is configured and it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Who signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A file that holds the password and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// `[sync]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncConfig {
    /// The entity types; at least one, each once.
    pub entity_types: Vec<String>,
    /// The poll floor while connected (rule R33), 1 s to 7 d.
    #[serde(serialize_with = "duration")]
    pub interval: Duration,
    /// How far before the high water a pull asks (rule R20), up to 1 h.
    #[serde(serialize_with = "duration")]
    pub overlap: Duration,
    /// Between full listings (rule R28), 1 min to 365 d.
    #[serde(serialize_with = "duration")]
    pub reconcile_interval: Duration,
    /// Whether `sync_status_update` is sent when the status word changes.
    pub announce_status: bool,
    /// The most bytes of entities in one push (rule R7), 1 to 100,000.
    #[serde(serialize_with = "bytes")]
    pub batch_bytes: u64,
    /// The most entities in one push (rule R7), 1 to 1,000.
    pub batch_count: usize,
}

/// `[replica]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicaConfig {
    /// Fields that are taken out of every row (rule R41).
    pub secret_fields: Vec<String>,
}

/// `[ipc]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IpcConfig {
    /// The socket, or the pipe's name on Windows; the scope's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// Connections at a time, 1 to 65,536.
    pub max_connections: usize,
    /// Bytes of one line, 1 KiB to 64 MiB.
    #[serde(serialize_with = "bytes_of_memory")]
    pub max_message: usize,
}

/// `[access]`: users by name or number, groups as `@name` or `@number`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AccessConfig {
    /// Those who may only look.
    pub observers: Vec<String>,
    /// Those who may sync and read and write records.
    pub operators: Vec<String>,
    /// Those who may do everything.
    pub admins: Vec<String>,
}

/// `[state]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateConfig {
    /// The state directory; the scope's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Bytes of the store's page cache, 1 MiB to 64 GiB.
    #[serde(serialize_with = "bytes")]
    pub cache: u64,
    /// How long the change feed keeps a change, 1 min to 10 years.
    #[serde(serialize_with = "duration")]
    pub feed_retention: Duration,
    /// Bytes of changes that the feed keeps at most, 1 MiB to 64 GiB; the oldest go first.
    #[serde(serialize_with = "bytes")]
    pub feed_size: u64,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogConfig {
    /// What is logged, a level, for all or for a part by its path: `info`, or `info,aesyncd::engine=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `journal` when stderr is the journal, else `pretty`.
    #[default]
    Auto,
    /// With time stamps, and with colour on a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
    /// With a priority for the journal in front (`<6>`), and without a time stamp.
    Journal,
}

/// `[tuning]`: the rules' own numbers. Their defaults are those of [`Settings::new`](crate::engine::settings::Settings::new).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TuningConfig {
    /// From the first hint to the pull (rule R35).
    #[serde(serialize_with = "duration")]
    pub hint_delay: Duration,
    /// From the start of one pull to the start of the next, at least (rule R35).
    #[serde(serialize_with = "duration")]
    pub pull_gap: Duration,
    /// The poll floor without a socket (rule R33).
    #[serde(serialize_with = "duration")]
    pub http_interval: Duration,
    /// The first step of every backoff (rule R14).
    #[serde(serialize_with = "duration")]
    pub backoff_min: Duration,
    /// The cap of every backoff (rule R14); not below `backoff_min`.
    #[serde(serialize_with = "duration")]
    pub backoff_max: Duration,
    /// How long a session must have been up before its end starts the backoff anew.
    #[serde(serialize_with = "duration")]
    pub stable_after: Duration,
    /// From one ping to the next.
    #[serde(serialize_with = "duration")]
    pub ping_interval: Duration,
    /// Silence on the socket after which it counts as dead (rule R36); more than `ping_interval`.
    #[serde(serialize_with = "duration")]
    pub silence: Duration,
    /// The deadline of a request, before the share of its size (rule R36).
    #[serde(serialize_with = "duration")]
    pub request_timeout: Duration,
    /// Between two listings that must agree before anything is deleted (rule R29).
    #[serde(serialize_with = "duration")]
    pub reconcile_agree: Duration,
    /// The largest entity in bytes of JSON (rule R6).
    #[serde(serialize_with = "bytes")]
    pub entity_bytes: u64,
    /// The most entries of the outbox.
    pub outbox_entries: u64,
    /// The most bytes of entities in the outbox.
    #[serde(serialize_with = "bytes")]
    pub outbox_bytes: u64,
    /// Bytes of events that all subscribers share; who falls out of them is served from the durable feed. 64 KiB to 1 GiB.
    #[serde(serialize_with = "bytes_of_memory")]
    pub ring: usize,
}

const MIB: u64 = 1024 * 1024;

impl Default for SyncConfig {
    fn default() -> Self {
        let rules = rules();
        Self {
            entity_types: vec!["end_user".to_owned(), "interactions".to_owned()],
            interval: rules.interval,
            overlap: milliseconds(rules.overlap_ms),
            reconcile_interval: rules.reconcile_interval,
            announce_status: rules.announce,
            batch_bytes: rules.batch_bytes,
            batch_count: rules.batch_count,
        }
    }
}

impl Default for ReplicaConfig {
    fn default() -> Self {
        Self { secret_fields: rules().secret_fields }
    }
}

impl Default for IpcConfig {
    fn default() -> Self {
        let limits = crate::ipc::Limits::default();
        Self { socket: None, max_connections: limits.connections, max_message: limits.message }
    }
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            dir: None,
            cache: 64 * MIB,
            feed_retention: milliseconds(rules().feed_retention_ms),
            feed_size: rules().feed_bytes,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Auto }
    }
}

impl Default for TuningConfig {
    fn default() -> Self {
        let rules = rules();
        let timings = SessionTimings::default();
        Self {
            hint_delay: rules.hint_delay,
            pull_gap: rules.pull_gap,
            http_interval: rules.http_interval,
            backoff_min: rules.backoff_min,
            backoff_max: rules.backoff_max,
            stable_after: rules.stable_after,
            ping_interval: timings.ping_every,
            silence: timings.dead_after,
            request_timeout: Timeouts::default().request,
            reconcile_agree: milliseconds(rules.reconcile_agree_ms),
            entity_bytes: rules.entity_bytes,
            outbox_entries: rules.outbox_entries,
            outbox_bytes: rules.outbox_bytes,
            ring: crate::ipc::DEFAULT_RING,
        }
    }
}

/// The engine's own values, so that no number stands in two places.
fn rules() -> Settings {
    Settings::new("", None, &[])
}

fn milliseconds(number: i64) -> Duration {
    Duration::from_millis(number.unsigned_abs())
}
