//! The methods and their params: one struct a method, named as the method is.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::entity::{Changes, Record};
use crate::error::{Error, rpc};
use crate::event::Channel;
use crate::params;
use crate::response::{self, Role};
use crate::status;

/// A method's params, which know the method's name and its result.
pub trait Method: Serialize + DeserializeOwned {
    /// The name on the wire.
    const NAME: &'static str;
    /// The least role that may call it. A subscription may need more: see [`Channel::role`].
    const ROLE: Role;
    /// What a success answers.
    type Answer: Serialize + DeserializeOwned;
}

macro_rules! methods {
    ($($role:ident $name:literal $params:ident => $answer:ty),* $(,)?) => {
        /// A parsed request.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            $(#[doc = concat!("`", $name, "`")] $params($params),)*
        }

        /// The names of all methods, in the order of the reference.
        pub const METHODS: &[&str] = &[$($name),*];

        $(impl Method for $params {
            const NAME: &'static str = $name;
            const ROLE: Role = Role::$role;
            type Answer = $answer;
        })*

        impl Request {
            /// Reads a request.
            ///
            /// # Errors
            /// `-32601` for a name that is no method; `-32602`, which names the field, for params that don't fit it.
            pub fn parse(method: &str, params: Option<&RawValue>) -> Result<Self, Error> {
                match method {
                    $($name => crate::params::parse::<$params>(params).map(Self::$params),)*
                    _ => Err(unknown_method(method)),
                }
            }

            /// The method's name.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$params(_) => $name,)*
                }
            }

            /// The least role that may make this request.
            #[must_use]
            pub fn role(&self) -> Role {
                let least = match self {
                    $(Self::$params(_) => $params::ROLE,)*
                };
                let channels = match self {
                    Self::Subscribe(params) => params.channels.as_slice(),
                    _ => &[],
                };
                channels.iter().map(|channel| channel.role()).fold(least, Ord::max)
            }
        }

        /// The methods as the OpenRPC document has them.
        #[cfg(feature = "schema")]
        pub(crate) fn describe_all(generator: &mut schemars::generate::SchemaGenerator) -> Vec<Value> {
            vec![$(crate::schema::describe::<$params>(generator)),*]
        }
    };
}

methods! {
    Observer "hello" Hello => response::Hello,
    Observer "ping" Ping => response::Pong,
    Observer "status" GetStatus => status::Status,
    Observer "wait" Wait => response::Waited,
    Observer "subscribe" Subscribe => response::Position,
    Observer "unsubscribe" Unsubscribe => response::Empty,
    Operator "push" Push => response::Pushed,
    Operator "pull" Pull => response::Pulled,
    Operator "pullPending" PullPending => response::PendingPulled,
    Operator "sync" Sync => response::Synced,
    Operator "records.get" RecordsGet => response::RecordFound,
    Operator "records.list" RecordsList => response::RecordPage,
    Operator "changes" Changed => response::ChangePage,
    Operator "outbox.list" OutboxList => response::EntryPage,
    Operator "outbox.retry" OutboxRetry => response::Count,
    Operator "outbox.discard" OutboxDiscard => response::Count,
    Operator "outbox.edit" OutboxEdit => response::Entry,
    Operator "conflicts.list" ConflictsList => response::Conflicts,
    Operator "conflicts.resolve" ConflictsResolve => response::Empty,
    Operator "reconcile" Reconcile => response::Reconciled,
    Operator "attention.acknowledge" AttentionAcknowledge => response::Count,
    Admin "auth.login" AuthLogin => response::SignedIn,
    Admin "auth.setToken" AuthSetToken => response::SignedIn,
    Admin "auth.logout" AuthLogout => response::Empty,
    Admin "pause" Pause => response::Empty,
    Admin "resume" Resume => response::Empty,
    Admin "config.get" ConfigGet => Value,
    Admin "config.reload" ConfigReload => response::Reloaded,
    Admin "clients" Clients => response::ConnectedClients,
    Operator "store.figures" GetStoreFigures => response::StoreFigures,
    Admin "store.check" StoreCheck => response::CheckedSlice,
    Observer "metrics" Metrics => response::MetricsText,
    Admin "shutdown" Shutdown => response::Empty,
    Observer "rpc.discover" Discover => Value,
}

fn unknown_method(method: &str) -> Error {
    let shown: String = method.chars().take(64).collect();
    Error::protocol(rpc::METHOD_NOT_FOUND, format!("there is no method {shown:?}; rpc.discover lists those that there are"))
}

/// Params of a method that takes none.
macro_rules! empty_params {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields)]
        pub struct $name {})*
    };
}

empty_params! {
    /// The daemon's own time; no server round trip.
    Ping,
    /// The status.
    GetStatus,
    /// Ends this connection's subscription.
    Unsubscribe,
    /// Pushes what waits and pulls everything.
    Sync,
    /// The changes that the server overruled.
    ConflictsList,
    /// Forgets the token.
    AuthLogout,
    /// Stops talking to the server; survives a restart.
    Pause,
    /// Ends a pause.
    Resume,
    /// The effective configuration, without secrets.
    ConfigGet,
    /// Reads the configuration again.
    ConfigReload,
    /// Who is connected.
    Clients,
    /// What the store takes up on disk. (`store.figures` on the wire.)
    GetStoreFigures,
    /// Prometheus text.
    Metrics,
    /// Stops the daemon cleanly.
    Shutdown,
    /// The OpenRPC document.
    Discover,
}

/// Agrees on a version; not needed before other calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hello {
    /// Who calls.
    #[serde(deserialize_with = "params::object")]
    pub client: ClientName,
    /// The version that the client speaks.
    pub protocol: u32,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientName {
    /// The application's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Waits until something is so, or the time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Wait {
    /// What to wait for.
    #[serde(rename = "for")]
    pub goal: Goal,
    /// With `seq`: the position to wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// How long at most, in milliseconds; at most a day.
    pub timeout_ms: u64,
}

/// What one can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    /// The status says `synced`.
    Synced,
    /// The link is online.
    Online,
    /// Nothing is left in the outbox but what needs a person.
    OutboxEmpty,
    /// The change feed has reached `seq`.
    Seq,
}

/// Starts this connection's subscription, replacing an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Subscribe {
    /// Which events.
    pub channels: Vec<Channel>,
    /// Only these entity types, for the channels that have one; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_types: Option<Vec<String>>,
    /// Replay the changes after this position first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The feed that `since` belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// Enqueues changes: all of them or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Push {
    /// The changes. A deletion is an entity with `is_deleted` set to 1.
    pub changes: Changes,
    /// Makes the call idempotent (rule R4): the same id again gets the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When to answer; `queued` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<PushWait>,
    /// How long `acked` and `confirmed` wait at most, in milliseconds; then the answer tells how far it came. 60,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// When a push is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PushWait {
    /// When the changes are on this machine's disk.
    #[default]
    Queued,
    /// When the server has judged them.
    Acked,
    /// When a pull has shown them.
    Confirmed,
}

/// Pulls what is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pull {
    /// Only these; all configured types when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_types: Option<Vec<String>>,
    /// Ask for everything, not just for what is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<bool>,
}

/// The server's `pull-pending`, passed through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PullPending {
    /// Only these; all configured types when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_types: Option<Vec<String>>,
}

/// One record of the replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RecordsGet {
    /// Its type.
    pub entity_type: String,
    /// Its id, in any case.
    pub id: String,
}

/// The records of a type, ordered by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RecordsList {
    /// The type.
    pub entity_type: String,
    /// How many at most: 1 to 1,000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only ids after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One slice of a check of all checksums, while the daemon goes on serving. A slice takes a fraction of a second; the whole check is as many
/// calls as there are slices, each with `after` from the one before. A damaged value is mended as if it had been met by a read.
/// (`store.check` on the wire.)
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreCheck {
    /// `next` of the slice before; without it the check begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The change feed, for clients that poll. (`changes` on the wire.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Changed {
    /// Changes after this position.
    pub since: u64,
    /// The feed that `since` belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How many at most: 1 to 1,000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only these types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_types: Option<Vec<String>>,
    /// When there is none, wait this long for the first, in milliseconds; at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// The outbox, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct OutboxList {
    /// Only entries in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<response::EntryState>,
    /// Only entries of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// How many at most: 1 to 1,000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only entries after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Sends entries again now, quarantined ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OutboxRetry {
    /// These; or else `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<u64>>,
    /// All that are quarantined or waiting for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}

/// Gives entries up, for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OutboxDiscard {
    /// These; or else `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<u64>>,
    /// Every entry that is not in a request under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}

/// Replaces what a quarantined entry sends, and sends it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OutboxEdit {
    /// The entry.
    pub entry: u64,
    /// The whole entity.
    pub data: Record,
}

/// Decides a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConflictsResolve {
    /// The entry.
    pub entry: u64,
    /// Which side stays.
    pub keep: Keep,
}

/// Which side of a conflict stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The server's: the local change is dropped.
    Server,
    /// The local one: it is sent once more.
    Local,
}

/// Compares the replica with a full listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Reconcile {
    /// Only these; all configured types when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_types: Option<Vec<String>>,
    /// Carry out the deletions that the brakes held (rule R29).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<bool>,
}

/// Says that somebody knows of what happened, so that `attention` of the status no longer tells it. What is so until something is done
/// about it, such as a conflict, can't be acknowledged away. (`attention.acknowledge` on the wire.)
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttentionAcknowledge {
    /// Only what has these codes; everything that can be when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<Vec<String>>,
}

/// Signs in with e-mail and password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AuthLogin {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
    /// The server to sign in at, an http or https URL; where absent, the one that the daemon knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

impl std::fmt::Debug for AuthLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthLogin").field("email", &self.email).field("server", &self.server).finish_non_exhaustive()
    }
}

/// Signs in with a token from elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuthSetToken {
    /// The token.
    pub token: String,
    /// The tenant that it must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

impl std::fmt::Debug for AuthSetToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthSetToken").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, params: &str) -> Result<Request, Error> {
        let raw = RawValue::from_string(params.to_owned()).expect("valid JSON");
        Request::parse(method, Some(&raw))
    }

    #[test]
    fn every_method_without_required_params_can_be_called_without_any() {
        for method in
            ["ping", "status", "unsubscribe", "sync", "pull", "pullPending", "outbox.list", "pause", "metrics", "rpc.discover"]
        {
            assert_eq!(Request::parse(method, None).map(|r| r.name()), Ok(method));
            assert_eq!(parse(method, "{}").map(|r| r.name()), Ok(method));
        }
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = parse("status", r#"{"verbose":true}"#).expect_err("an unknown field");
        assert_eq!(error.code, rpc::INVALID_PARAMS);
        assert!(error.message.contains("`verbose`"), "{error}");
    }

    #[test]
    fn an_unknown_method_is_named_and_cut_short() {
        let error = Request::parse(&"x".repeat(10_000), None).expect_err("no such method");
        assert_eq!(error.code, rpc::METHOD_NOT_FOUND);
        assert!(error.message.len() < 200);
    }

    #[test]
    fn positional_params_are_refused() {
        assert_eq!(parse("ping", "[]").expect_err("positional").code, rpc::INVALID_PARAMS);
    }

    #[test]
    fn passwords_and_tokens_do_not_show_in_debug_output() {
        let login = parse("auth.login", r#"{"email":"a@example.com","password":"hunter2"}"#).expect("valid");
        let token = parse("auth.setToken", r#"{"token":"hunter2"}"#).expect("valid");
        assert!(!format!("{login:?}{token:?}").contains("hunter2"));
    }
}
