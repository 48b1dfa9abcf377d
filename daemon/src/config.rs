//! The configuration: what an administrator may say, in a TOML file and in `AESYNC_SECTION__KEY` variables.
//!
//! Every key has a default, `server.url` as well: a daemon without configuration starts and says what it lacks. The names, types and
//! limits of all keys stand in one table, [`keys`], which reads the file and the variables, finds misspelt keys and says what a reload
//! applies.

mod effect;
mod environment;
mod error;
mod keys;
mod place;
mod sections;
mod shown;
mod spelling;
mod value;

use std::path::PathBuf;

use serde::Serialize;

pub use self::environment::Environment;
pub use self::error::{ConfigError, Place, Problem};
pub use self::sections::{
    AccessConfig, AuthConfig, Config, IpcConfig, LogConfig, LogFormat, ReplicaConfig, ServerConfig, StateConfig, SyncConfig,
    TuningConfig,
};

/// A configuration, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file; `None` when the default file is not there.
    pub file: Option<PathBuf>,
    /// What is allowed and still should not be so, in one sentence each, with what to do.
    pub warnings: Vec<String>,
}

/// What differs between two configurations, as names of keys such as `sync.interval`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Keys that have a new value and take effect with a reload.
    pub changed: Vec<String>,
    /// Keys that have a new value and take effect with the next start.
    pub restart_needed: Vec<String>,
}
