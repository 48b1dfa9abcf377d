//! Where things are when nobody says otherwise.

use std::io;
use std::path::{Path, PathBuf};

use aesync_protocol::endpoint::{self, DEFAULT_INSTANCE, EndpointError, Scope};

use super::{Config, Environment};

/// The user that the package creates for the service.
pub const SERVICE_USER: &str = "aesync";

const SYSTEM_CONFIG: &str = "/etc/aesyncd";
const SYSTEM_STATE: &str = "/var/lib/aesyncd";
/// Below the state directory of the default instance, which has nothing else of this name in it.
const INSTANCES: &str = "instances";

/// Whose daemon it is, and which of several: together they say where things are when nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Whose.
    pub scope: Scope,
    /// The instance, `default` for the one that has no name of its own; [`endpoint::check_instance`] says what else it may be.
    pub instance: String,
}

impl From<Scope> for Installation {
    fn from(scope: Scope) -> Self {
        Self { scope, instance: DEFAULT_INSTANCE.to_owned() }
    }
}

impl Installation {
    /// The name, if it has one of its own.
    fn named(&self) -> Option<&str> {
        (self.instance != DEFAULT_INSTANCE).then_some(&*self.instance)
    }
}

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

/// The configuration file that is read without `--config`: `aesyncd.toml`, or `NAME.toml` for an instance. `None` without a home directory.
#[must_use]
pub fn default_file(environment: &Environment, installation: &Installation) -> Option<PathBuf> {
    let dir = match installation.scope {
        Scope::System => PathBuf::from(SYSTEM_CONFIG),
        Scope::User => user_directory(environment, "XDG_CONFIG_HOME", ".config")?.join("aesyncd"),
    };
    Some(dir.join(format!("{}.toml", installation.named().unwrap_or("aesyncd"))))
}

impl Config {
    /// The state directory: `state.dir`, else systemd's (`STATE_DIRECTORY`), else `/var/lib/aesyncd` for the system's daemon and
    /// `$XDG_STATE_HOME/aesyncd` for a user's, with `instances/NAME` below it for an instance.
    ///
    /// # Errors
    /// [`NoStateDir`], for a user without a home directory.
    pub fn state_dir(&self, environment: &Environment, installation: &Installation) -> Result<PathBuf, NoStateDir> {
        if let Some(dir) = &self.state.dir {
            return Ok(dir.clone());
        }
        if let Some(dir) = systemd_directory(environment, "STATE_DIRECTORY") {
            return Ok(dir);
        }
        let dir = match installation.scope {
            Scope::System => PathBuf::from(SYSTEM_STATE),
            Scope::User => user_directory(environment, "XDG_STATE_HOME", ".local/state").ok_or(NoStateDir)?.join("aesyncd"),
        };
        Ok(installation.named().map_or_else(|| dir.clone(), |name| dir.join(INSTANCES).join(name)))
    }

    /// The socket: `option` (`--socket`), else `AESYNC_SOCKET`, else `ipc.socket`, else the installation's own.
    ///
    /// # Errors
    /// For a path that no socket can have, and for a user without a runtime directory.
    pub fn socket_path(
        &self,
        option: Option<&Path>,
        environment: &Environment,
        installation: &Installation,
    ) -> Result<PathBuf, EndpointError> {
        let variable = |name| environment.get(name).map(ToOwned::to_owned);
        let environment =
            endpoint::Environment { socket: variable(endpoint::SOCKET_VARIABLE), runtime_dir: variable("XDG_RUNTIME_DIR") };
        let Installation { scope, instance } = installation;
        endpoint::bind_path(option, self.ipc.socket.as_deref(), *scope, Some(instance), &environment)
    }
}

/// Makes what a user's own daemon needs in the user's own directories, as the XDG Base Directory Specification wants it: what is above the
/// state directory, and the directory of the socket, each for the user alone. Places that somebody chose are left to those.
///
/// # Errors
/// When a directory can't be made.
pub fn make_user_directories(environment: &Environment, state_dir: &Path, socket: &Path) -> io::Result<()> {
    let state_home = user_directory(environment, "XDG_STATE_HOME", ".local/state");
    if let Some(above) = state_dir.parent().filter(|_| state_home.is_some_and(|home| state_dir.starts_with(home.join("aesyncd"))))
    {
        make(above)?;
    }
    let runtime = environment.directory("XDG_RUNTIME_DIR").map(|dir| dir.join("aesyncd"));
    match socket.parent() {
        Some(dir) if runtime.is_some_and(|runtime| runtime == dir) => make(dir),
        _ => Ok(()),
    }
}

fn make(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let failed = |source: io::Error| io::Error::new(source.kind(), format!("making the directory {}: {source}", dir.display()));
    builder.create(dir).map_err(failed)
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
