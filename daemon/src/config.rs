//! The configuration: what an administrator may say, in a TOML file and in `AESYNC_SECTION__KEY` variables.
//!
//! Every key has a default, `server.url` as well: a daemon without configuration starts and says what it lacks. The names, types and
//! limits of all keys stand in one table, `keys`, which reads the file and the variables, finds misspelt keys and says what a reload
//! applies.

mod consistency;
mod draft;
mod effect;
mod environment;
mod error;
mod keys;
mod place;
pub mod secret_file;
mod sections;
mod shown;
mod value;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::draft::Draft;
pub use self::environment::Environment;
pub use self::error::{ConfigError, Place, Problem};
pub use self::place::{Installation, NoStateDir, SERVICE_USER, default_file, make_user_directories, scope_of_this_process};
pub use self::sections::{
    AccessConfig, AuthConfig, Config, IpcConfig, LogConfig, LogFormat, ReplicaConfig, ServerConfig, StateConfig, SyncConfig,
    TuningConfig,
};

/// More than any configuration needs, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The name of the systemd credential that holds a token.
const TOKEN_CREDENTIAL: &str = "aesyncd.token";

/// A configuration, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file; `None` when the default file is not there.
    pub file: Option<PathBuf>,
    /// What is allowed and still should not be so, in one sentence each, with what to do.
    pub warnings: Vec<String>,
    /// Where each key was said that was: for what turns out to be wrong only when it is used.
    pub places: BTreeMap<&'static str, Place>,
}

impl Loaded {
    /// What is wrong with a key that may have been said somewhere.
    #[must_use]
    pub fn about(&self, key: &'static str, message: String) -> String {
        match self.places.get(key) {
            Some(place) => Problem { place: place.clone(), key: key.to_owned(), message }.to_string(),
            None => message,
        }
    }
}

/// The names of all keys, such as `sync.interval`, in the order of the file.
pub fn key_names() -> impl Iterator<Item = &'static str> {
    keys::KEYS.iter().map(|key| key.name)
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

impl Config {
    /// Reads the configuration: `file` (`--config`), else the installation's default file if it is there, and over it the variables
    /// `AESYNC_SECTION__KEY`.
    ///
    /// # Errors
    /// When the file can't be read, and with all problems at once when something in it or in the variables can't be.
    pub fn load(file: Option<&Path>, environment: &Environment, installation: &Installation) -> Result<Loaded, ConfigError> {
        let mut draft = Draft::default();
        let file = match file {
            Some(path) => Some((path.to_owned(), read(path).map_err(|source| unreadable(path, source))?)),
            None => default_file(environment, installation).map(read_if_there).transpose()?.flatten(),
        };
        if let Some((path, text)) = &file {
            draft.file(path, text);
        }
        draft.environment(environment);
        draft.compare();
        let Draft { mut config, mut problems, places } = draft;
        if !problems.is_empty() {
            problems.sort_by(|left, right| left.place.cmp(&right.place));
            return Err(ConfigError::Invalid(problems));
        }
        take_credential(&mut config.auth, environment);
        let secrets = [&config.auth.token_file, &config.auth.password_file];
        let warnings = secrets.into_iter().flatten().filter_map(|path| secret_file::warning(path)).collect();
        Ok(Loaded { config, file: file.map(|(path, _)| path), warnings, places })
    }
}

/// The token that systemd hands over is the configured one when no other is. Beside another way to sign in it is used as well, by the
/// keyring: of all tokens that are there the one that lasts longest.
fn take_credential(auth: &mut AuthConfig, environment: &Environment) {
    let credential = environment.directory("CREDENTIALS_DIRECTORY").map(|dir| dir.join(TOKEN_CREDENTIAL));
    if auth.token_file.is_none() && auth.email.is_none() {
        auth.token_file = credential.filter(|path| path.is_file());
    }
}

fn read_if_there(path: PathBuf) -> Result<Option<(PathBuf, String)>, ConfigError> {
    match read(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unreadable(&path, source)),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is larger than 1 MiB and thus no configuration"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = valid.filter(|byte| **byte == b'\n').count().saturating_add(1);
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not valid UTF-8"))
    })
}

fn unreadable(path: &Path, source: io::Error) -> ConfigError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::InvalidData => ConfigError::NoText { path, source },
        _ => ConfigError::Read { path, source },
    }
}
