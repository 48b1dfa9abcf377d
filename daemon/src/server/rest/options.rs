//! What HTTP is told from outside.

use std::path::PathBuf;
use std::time::Duration;

use crate::server::{ServerUrl, TlsError};

/// The settings of [`Rest`](super::Rest).
#[derive(Clone, Debug)]
pub struct RestOptions {
    /// The server.
    pub server: ServerUrl,
    /// A private authority to trust beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Fields that are taken out of every row at its top level (rule R41); upper and lower case are the same.
    pub secret_fields: Vec<String>,
    /// Sizes.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
}

impl RestOptions {
    /// The defaults, with `password` as the only secret field.
    #[must_use]
    pub fn new(server: ServerUrl) -> Self {
        let secret_fields = vec!["password".to_owned()];
        Self { server, ca_file: None, secret_fields, limits: Limits::default(), timeouts: Timeouts::default() }
    }
}

/// How large an answer may be. A larger one is [`FailureKind::TooLarge`](crate::engine::input::FailureKind::TooLarge).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The answer to a push; default 16 MiB.
    pub push_answer_bytes: usize,
    /// The answer to a pull-pending; default 64 MiB.
    pub pending_answer_bytes: usize,
    /// The answer to a login; default 64 KiB.
    pub login_answer_bytes: usize,
    /// What is read of an error's body; default 64 KiB. A larger one counts as none of the server's.
    pub error_body_bytes: usize,
    /// One row of a pull; default 8 MiB. The whole of a pull has no limit: it is never in memory.
    pub row_bytes: usize,
    /// The rows of one page of a pull; default 500.
    pub page_rows: usize,
    /// The bytes of one page of a pull; default 512 KiB. A larger row has a page of its own.
    pub page_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            push_answer_bytes: 16 * MIB,
            pending_answer_bytes: 64 * MIB,
            login_answer_bytes: 64 * KIB,
            error_body_bytes: 64 * KIB,
            row_bytes: 8 * MIB,
            page_rows: 500,
            page_bytes: 512 * KIB,
        }
    }
}

/// Deadlines (rule R36).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TCP and TLS; default 10 s.
    pub connect: Duration,
    /// Push, pull-pending and login, from the first byte sent to the last received, before the body's share: default 60 s, and one second
    /// more for every 8 KiB of the request's body, so that a full push over a slow link gets the time it needs.
    pub request: Duration,
    /// A pull, until its headers are there; default 60 s.
    pub pull_headers: Duration,
    /// The same for a pull from the beginning of time: the server writes the whole answer before it sends the first byte, 134 ms for 1,000
    /// rows, so that a large tenant would never get through its first pull in `pull_headers`. Default 5 min.
    pub full_pull_headers: Duration,
    /// A pull, without a single byte once its headers are there; default 60 s. The whole of a pull has no limit.
    pub silence: Duration,
    /// How long a page may wait for the one before it to be committed; default 5 min.
    pub page_patience: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(60),
            pull_headers: Duration::from_secs(60),
            full_pull_headers: Duration::from_secs(300),
            silence: Duration::from_secs(60),
            page_patience: Duration::from_secs(300),
        }
    }
}

/// Why [`Rest`](super::Rest) could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The HTTP client.
    #[error("setting up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}
