//! The `status` result: what a person or an application wants to know of the daemon at a glance.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The four states of the indicator, derived from facts and never set (rule R42). The first that applies wins, in this order:
/// offline, syncing, pending, synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum StatusWord {
    /// Nothing waits, and every type was pulled since the last connect.
    Synced,
    /// A request is in flight, or the first sync of a type is unfinished.
    Syncing,
    /// Something waits: local changes, a type known to be stale, or a confirmation.
    Pending,
    /// The server can't be reached, or may not be; see [`Status::reason`].
    Offline,
}

impl StatusWord {
    /// The word as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Syncing => "syncing",
            Self::Pending => "pending",
            Self::Offline => "offline",
        }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the daemon is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfflineReason {
    /// No connection to the server, or no answer from it.
    Unreachable,
    /// No token and no credentials: `aectl login`.
    SignedOut,
    /// The server refused the token, or it expired: `aectl login`.
    AuthRequired,
    /// The configuration or the token does not fit the server or the tenant.
    Misconfigured,
    /// Somebody paused the daemon: `aectl resume`.
    Paused,
}

/// The state of the desired connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum LinkWord {
    /// There is no token.
    SignedOut,
    /// A connection is being opened, or a login is under way.
    Connecting,
    /// Connected; the server has not yet answered `authenticate`.
    Authenticating,
    /// Authenticated, or working over HTTP alone; see [`ServerStatus::transport`].
    Online,
    /// Waiting until [`Status::retryAt`](Status::retry_at).
    Backoff,
    /// The server refused the token.
    AuthRequired,
    /// The token and the configuration contradict each other.
    Misconfigured,
}

/// How the daemon hears from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Notifications in real time.
    Websocket,
    /// Websockets are blocked: polling over HTTP alone.
    Http,
}

/// The state of the sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum AuthWord {
    /// No token.
    None,
    /// A token that is good as far as its own expiry tells.
    Valid,
    /// A token that expires within the hour.
    Expiring,
    /// A token whose expiry has passed.
    Expired,
    /// A token that the server refused.
    Rejected,
}

/// The whole status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The indicator.
    pub status: StatusWord,
    /// Why it is offline; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<OfflineReason>,
    /// Since when the indicator shows this word.
    pub since: Timestamp,
    /// When the next attempt to connect or to send will be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// True once the first sync of every configured type is done.
    pub has_synced: bool,
    /// When the indicator last showed `synced`; before it does after a restart, when the last type of all was pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<Timestamp>,
    /// The last position of the change feed.
    pub seq: u64,
    /// True between `pause` and `resume`.
    pub paused: bool,
    /// The server and the link to it.
    pub server: ServerStatus,
    /// The sign-in.
    pub auth: AuthStatus,
    /// What waits to reach the server.
    pub outbox: OutboxStatus,
    /// Each configured entity type.
    pub types: BTreeMap<String, TypeStatus>,
    /// The change feed.
    pub feed: FeedStatus,
    /// What needs a person.
    pub attention: Vec<Attention>,
    /// The last thing that went wrong; absent once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The daemon itself.
    pub daemon: DaemonStatus,
}

/// The server and the link to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The configured address, without credentials.
    pub url: String,
    /// The tenant, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The state of the link.
    pub link: LinkWord,
    /// How the daemon hears from the server, while it is online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// When the present connection was authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_since: Option<Timestamp>,
    /// The last measured round trip in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<u64>,
    /// When the server last answered a ping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pong_at: Option<Timestamp>,
    /// Connections that were authenticated after the first one, since the daemon started.
    pub reconnects: u64,
}

/// The sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuthStatus {
    /// Its state.
    pub state: AuthWord,
    /// When the token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Who signed in, as the token tells: usually an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// What waits to reach the server, in entries, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OutboxStatus {
    /// Never sent, or to be sent again.
    pub pending: u64,
    /// In a request that is under way.
    pub sent: u64,
    /// Sent, with an outcome that is not known yet (rule R9).
    pub in_doubt: u64,
    /// Accepted by the server, not yet seen in a pull (rule R16).
    pub acked: u64,
    /// Refused by the server for a reason of their own (rule R11).
    pub quarantined: u64,
    /// Waiting for a quarantined entry that they depend on (rule R12).
    pub blocked: u64,
    /// Overruled by the server, waiting for a decision (rule R15).
    pub conflicts: u64,
    /// Bytes of all of them, as JSON.
    pub bytes: u64,
}

/// One entity type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TypeStatus {
    /// Records in the replica, as the server has them.
    pub records: u64,
    /// The server time up to which everything was received (rule R20).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_water: Option<Timestamp>,
    /// Known to be stale: a pull is due.
    pub dirty: bool,
    /// The first sync is done (rule R30).
    pub first_sync_done: bool,
    /// The last answer lacked a row that it should have had (rule R21).
    pub suspicious: bool,
    /// The last pull that was stored whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pulled_at: Option<Timestamp>,
    /// The last full listing (rule R28).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reconciled_at: Option<Timestamp>,
}

/// The change feed's bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FeedStatus {
    /// The feed's identity: new whenever the feed starts anew.
    pub log: String,
    /// The oldest change that can still be replayed.
    pub first_seq: u64,
    /// The newest change; 0 when there is none.
    pub last_seq: u64,
}

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attention {
    /// A stable snake_case code, such as `conflicts` or `auth_expiring`.
    pub code: String,
    /// One sentence with what to do.
    pub message: String,
    /// How many, where that can be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// A code of errors such as `offline`, or one for the websocket alone: `untrusted_certificate`, `no_websocket` or `refused`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// When it was last seen.
    pub at: Timestamp,
}

/// The daemon itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DaemonStatus {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// The instance's name; `default` when it has none.
    pub instance: String,
}
