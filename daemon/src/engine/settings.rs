//! The numbers and tables that the engine works by. The configuration fills them in; the defaults are the rules' own values.

use std::time::Duration;

use super::without::Without;

/// Everything that can be tuned.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server's address, normalised: part of every identity (rule R38).
    pub server: String,
    /// The configured tenant, in lower case; from the token when absent (rule R39).
    pub tenant: Option<String>,
    /// The entity types, parents before children (rule R2).
    pub types: Vec<TypeRules>,
    /// Fields that are stripped from everything the server sends (rule R41); not compared in verdicts.
    pub secret_fields: Vec<String>,
    /// Emit `sync_status_update` when the status word changes.
    pub announce: bool,
    /// The poll floor with the socket up (rule R33); drawn ± 20 %.
    pub interval: Duration,
    /// The poll floor without a socket (rule R33).
    pub http_interval: Duration,
    /// How far before the high water a pull asks (rule R20), in milliseconds.
    pub overlap_ms: i64,
    /// From the first hint to the pull (rule R35).
    pub hint_delay: Duration,
    /// From the start of one pull to the start of the next, at least (rule R35).
    pub pull_gap: Duration,
    /// The most bytes of entities in one push (rule R7).
    pub batch_bytes: u64,
    /// The most entities in one push (rule R7).
    pub batch_count: usize,
    /// The largest entity that is taken, in bytes as JSON (rule R6): with its envelope it must pass the server's 102,400.
    pub entity_bytes: u64,
    /// The most entries that the outbox holds; then `storage_full`.
    pub outbox_entries: u64,
    /// The most bytes of entities that the outbox holds; then `storage_full`.
    pub outbox_bytes: u64,
    /// The first step of every backoff (rule R14).
    pub backoff_min: Duration,
    /// The cap of every backoff (rule R14).
    pub backoff_max: Duration,
    /// How long a session must have been authenticated before its end starts the backoff anew.
    pub stable_after: Duration,
    /// Healthy pulls that may miss an accepted entry before it is called invisible (rule R16).
    pub misses: u32,
    /// Failures alone before an entry is quarantined (rule R11).
    pub strikes: u32,
    /// Between full listings of a type (rule R28); drawn ± 50 %.
    pub reconcile_interval: Duration,
    /// Between two listings that must agree before anything is deleted (rule R29), in milliseconds.
    pub reconcile_agree_ms: i64,
    /// Rows that a reconciliation may delete without asking, whatever the share (rule R29).
    pub brake_rows: u64,
    /// The share of a type's rows that it may delete without asking, in percent (rule R29).
    pub brake_percent: u64,
    /// How long the feed keeps a change, in milliseconds.
    pub feed_retention_ms: i64,
    /// How much the feed keeps, in bytes; the newest change always stays.
    pub feed_bytes: u64,
    /// How many calls may wait for entries at once; then `busy`.
    pub max_waiters: usize,
    /// The rule that is taken out, to show that the tests notice; none outside tests.
    pub without: Without,
}

/// What is known of an entity type (rule R6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeRules {
    /// Its name.
    pub name: String,
    /// Fields that a new entity must have, and not as null.
    pub required: Vec<String>,
    /// The field that links to a parent entity, and the parent's type (rules R2, R12).
    pub parent: Option<Parent>,
    /// Whether the server was documented to know it; an unknown type is passed on with a warning.
    pub known: bool,
}

/// A link to a parent entity: `{"<field>": {"id": "<uuid>"}}`. The server does not return it, so verdicts don't compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The field.
    pub field: String,
    /// The parent's type.
    pub entity_type: String,
}

impl TypeRules {
    /// The rules of one of the server's two registered types, or of one that nothing is known about.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let required = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
        match name {
            "end_user" => Self { name: name.to_owned(), required: required(&["email"]), parent: None, known: true },
            "interactions" => Self {
                name: name.to_owned(),
                required: required(&["type", "title", "description", "date"]),
                parent: Some(Parent { field: "clientUser".to_owned(), entity_type: "end_user".to_owned() }),
                known: true,
            },
            _ => Self { name: name.to_owned(), required: Vec::new(), parent: None, known: false },
        }
    }
}

impl Settings {
    /// The rules' own values for a server and its types.
    #[must_use]
    pub fn new(server: &str, tenant: Option<&str>, types: &[&str]) -> Self {
        let mut rules: Vec<TypeRules> = types.iter().map(|name| TypeRules::named(name)).collect();
        // Stable: types that are no one's parent keep their order.
        rules.sort_by_key(|rule| rule.parent.is_some());
        Self {
            server: server.to_owned(),
            tenant: tenant.map(str::to_lowercase),
            types: rules,
            secret_fields: vec!["password".to_owned()],
            announce: true,
            interval: Duration::from_secs(300),
            http_interval: Duration::from_secs(60),
            overlap_ms: 10_000,
            hint_delay: Duration::from_millis(150),
            pull_gap: Duration::from_secs(1),
            batch_bytes: 64 * 1024,
            batch_count: 25,
            entity_bytes: 101_376,
            outbox_entries: 2_000_000,
            outbox_bytes: 2 * 1024 * 1024 * 1024,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            stable_after: Duration::from_secs(30),
            misses: 3,
            strikes: 3,
            reconcile_interval: Duration::from_secs(12 * 3600),
            reconcile_agree_ms: 5 * 60 * 1000,
            brake_rows: 20,
            brake_percent: 10,
            feed_retention_ms: 30 * 24 * 3600 * 1000,
            feed_bytes: 128 * 1024 * 1024,
            max_waiters: 10_000,
            without: Without::default(),
        }
    }

    /// The rules of a configured type.
    #[must_use]
    pub fn rules(&self, entity_type: &str) -> Option<&TypeRules> {
        self.types.iter().find(|rules| rules.name == entity_type)
    }

    /// The names of the configured types, parents first.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|rules| rules.name.as_str())
    }
}
