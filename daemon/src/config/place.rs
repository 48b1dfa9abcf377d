//! Where things are when nobody says otherwise.

use std::path::{Path, PathBuf};

use aesync_protocol::endpoint::{self, EndpointError, Scope};

use super::{Config, Environment};

/// The user that the package creates for the service.
pub const SERVICE_USER: &str = "aesync";

const SYSTEM_CONFIG: &str = "/etc/aesyncd/aesyncd.toml";
const SYSTEM_STATE: &str = "/var/lib/aesyncd";

/// A user's daemon has no place for its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no place for the state: neither XDG_STATE_HOME nor HOME is set to an absolute path; choose a directory with --state-dir or state.dir"
)]
pub struct NoStateDir;

/// Whose daemon this process is: the system's when it runs as root or as [`SERVICE_USER`].
#[must_use]
pub fn scope_of_this_process() -> Scope {
    #[cfg(unix)]
    {
        use nix::unistd::{User, geteuid};
        let user = geteuid();
        let is_service = || User::from_uid(user).is_ok_and(|found| found.is_some_and(|user| user.name == SERVICE_USER));
        if user.is_root() || is_service() { Scope::System } else { Scope::User }
    }
    #[cfg(not(unix))]
    Scope::User
}

/// The configuration file that is read without `--config`; `None` without a home directory.
#[must_use]
pub fn default_file(environment: &Environment, scope: Scope) -> Option<PathBuf> {
    match scope {
        Scope::System => Some(PathBuf::from(SYSTEM_CONFIG)),
        Scope::User => Some(user_directory(environment, "XDG_CONFIG_HOME", ".config")?.join("aesyncd").join("aesyncd.toml")),
    }
}

impl Config {
    /// The state directory: `state.dir`, else systemd's (`STATE_DIRECTORY`), else `/var/lib/aesyncd` for the system's daemon and
    /// `$XDG_STATE_HOME/aesyncd` for a user's.
    ///
    /// # Errors
    /// [`NoStateDir`], for a user without a home directory.
    pub fn state_dir(&self, environment: &Environment, scope: Scope) -> Result<PathBuf, NoStateDir> {
        if let Some(dir) = &self.state.dir {
            return Ok(dir.clone());
        }
        if let Some(dir) = systemd_directory(environment, "STATE_DIRECTORY") {
            return Ok(dir);
        }
        match scope {
            Scope::System => Ok(PathBuf::from(SYSTEM_STATE)),
            Scope::User => Ok(user_directory(environment, "XDG_STATE_HOME", ".local/state").ok_or(NoStateDir)?.join("aesyncd")),
        }
    }

    /// The socket: `option` (`--socket`), else `AESYNC_SOCKET`, else `ipc.socket`, else the scope's own.
    ///
    /// # Errors
    /// For a path that no socket can have, and for a user without a runtime directory.
    pub fn socket_path(&self, option: Option<&Path>, environment: &Environment, scope: Scope) -> Result<PathBuf, EndpointError> {
        let variable = |name| environment.get(name).map(ToOwned::to_owned);
        let environment =
            endpoint::Environment { socket: variable(endpoint::SOCKET_VARIABLE), runtime_dir: variable("XDG_RUNTIME_DIR") };
        endpoint::bind_path(option, self.ipc.socket.as_deref(), scope, None, &environment)
    }
}

/// The first of the directories that systemd made for the service.
fn systemd_directory(environment: &Environment, variable: &str) -> Option<PathBuf> {
    let value = environment.get(variable)?;
    let first = std::env::split_paths(value).next()?;
    first.is_absolute().then_some(first)
}

fn user_directory(environment: &Environment, variable: &str, in_home: &str) -> Option<PathBuf> {
    let home = || environment.directory("HOME").map(|home| home.join(in_home));
    environment.directory(variable).map(Path::to_owned).or_else(home).or_else(|| windows_directory(environment))
}

fn windows_directory(environment: &Environment) -> Option<PathBuf> {
    environment.directory("LOCALAPPDATA").filter(|_| cfg!(windows)).map(Path::to_owned)
}
