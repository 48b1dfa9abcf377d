//! The messages of the database and of the server's own code, word for word.

use serde::{Deserialize, Serialize};

/// What the `error` of a 500 on a sync route says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Passing: the database does not listen.
    ConnectionRefused,
    /// Passing: the tenant's database can't be opened.
    TenantDatabase,
    /// Passing: the database is going down.
    Terminating,
    /// Passing: a parallel push is writing the same row.
    PrimaryKey,
    /// Permanent: an `end_user` without `email`.
    EmailRequired,
    /// Permanent: a required column is null. Column, then table.
    NotNull(String, String),
    /// Permanent: the tenant has another `end_user` with this `email`.
    UniqueEmail,
    /// Permanent: `clientUser` names no `end_user`.
    ForeignKey,
    /// Permanent: a value that its column can't hold. Column type, then value.
    InvalidSyntax(String, String),
    /// Permanent: a text with a NUL character.
    InvalidBytes,
    /// Permanent: an entity type that the server does not know.
    NotRegistered(String),
    /// Any other text.
    Text(String),
}

impl Failure {
    /// Every failure that goes away by itself.
    pub const PASSING: [Self; 4] = [Self::ConnectionRefused, Self::TenantDatabase, Self::Terminating, Self::PrimaryKey];

    /// The text as the server sends it.
    pub fn message(&self) -> String {
        match self {
            Self::ConnectionRefused => "connect ECONNREFUSED 127.0.0.1:5432".into(),
            Self::TenantDatabase => "Failed to initialize tenant database: connect ECONNREFUSED 127.0.0.1:5432".into(),
            Self::Terminating => "terminating connection due to administrator command".into(),
            Self::PrimaryKey => duplicate("PK_8fbf1ac3ef2a5ae5a3ce2d3e3f1"),
            Self::EmailRequired => "Email is required for ClientUser".into(),
            Self::NotNull(column, table) => {
                format!("null value in column \"{column}\" of relation \"{table}\" violates not-null constraint")
            }
            Self::UniqueEmail => duplicate("UQ_7c1b8a4e90d3f52a6be0d9f4c21"),
            Self::ForeignKey => {
                "insert or update on table \"interactions\" violates foreign key constraint \"FK_3d0c6a9b7e5f48127a1e4bd5c90\""
                    .into()
            }
            Self::InvalidSyntax(kind, value) => format!("invalid input syntax for type {kind}: \"{value}\""),
            Self::InvalidBytes => "invalid byte sequence for encoding \"UTF8\": 0x00".into(),
            Self::NotRegistered(entity_type) => format!("Entity type {entity_type} not registered"),
            Self::Text(text) => text.clone(),
        }
    }
}

fn duplicate(constraint: &str) -> String {
    format!("duplicate key value violates unique constraint \"{constraint}\"")
}
