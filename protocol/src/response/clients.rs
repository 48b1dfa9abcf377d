//! Who is connected.

use serde::{Deserialize, Serialize};

use super::Role;
use crate::event::Channel;
use crate::request::ClientName;
use crate::time::Timestamp;

/// `clients`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectedClients {
    /// One for each connection, the oldest first.
    pub clients: Vec<ConnectedClient>,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConnectedClient {
    /// Its number, counted from 1 since the daemon started.
    pub connection: u64,
    /// What it calls itself, where it said `hello`; cut at 100 characters each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientName>,
    /// The numeric id of its user, where the system has those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The numeric id of its process's group, where the system has those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Its process, where the system tells. It may have handed the connection on to another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What it may do.
    pub role: Role,
    /// When it connected.
    pub connected_at: Timestamp,
    /// Requests that it has made, those of batches counted one by one.
    pub requests: u64,
    /// Those that are not answered yet.
    pub in_flight: u64,
    /// What it is subscribed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<ClientSubscription>,
    /// Since when it has taken nothing, although something is there for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled_since: Option<Timestamp>,
}

/// What a connection is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ClientSubscription {
    /// The channels.
    pub channels: Vec<Channel>,
    /// Only these entity types; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_types: Option<Vec<String>>,
    /// With `change`: the position up to which the changes have left for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// With `change`: how many changes of the feed come after that, those of other entity types included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
}
