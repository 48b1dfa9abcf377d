//! Where the socket is: one rule for the daemon, `aectl` and every client.
//!
//! A client takes the first of: a path that it was given (`--socket`), `AESYNC_SOCKET` unless it was given an instance (`--instance`), the
//! system daemon's socket if it is there, the user daemon's socket. A daemon binds to the first of: a path that it was given,
//! `AESYNC_SOCKET`, its configuration's `ipc.socket`, the default of its [`Scope`].
//!
//! | instance  | system                      | user                                 | Windows                |
//! |-----------|-----------------------------|--------------------------------------|------------------------|
//! | `default` | `/run/aesyncd/aesyncd.sock` | `$XDG_RUNTIME_DIR/aesyncd/aesyncd.sock` | `\\.\pipe\aesyncd`      |
//! | `NAME`    | `/run/aesyncd/NAME.sock`    | `$XDG_RUNTIME_DIR/aesyncd/NAME.sock` | `\\.\pipe\aesyncd-NAME` |
//!
//! The functions are pure: the environment is an argument, and so is the question whether a file is there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directory of the system daemon's sockets.
pub const SYSTEM_DIR: &str = "/run/aesyncd";
/// The environment variable that names the socket.
pub const SOCKET_VARIABLE: &str = "AESYNC_SOCKET";
/// The instance that has no name of its own.
pub const DEFAULT_INSTANCE: &str = "default";
/// The longest socket path in bytes that every Unix takes with its closing NUL (`sun_path` holds 108 on Linux).
pub const MAX_PATH: usize = 107;
/// The longest name of an instance, in bytes.
pub const MAX_INSTANCE: usize = 32;

/// Why there is no usable path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The kernel's limit for socket paths.
    #[error("the socket path {} is {length} bytes long, and the system allows {MAX_PATH}; choose a shorter one with --socket or {SOCKET_VARIABLE}", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// A path was given, and it is empty.
    #[error("the socket path is empty; give --socket or {SOCKET_VARIABLE} a path, or leave it out")]
    Empty,
    /// A name that would lead out of the directory or collide with the default instance.
    #[error("{0:?} can't be the name of an instance: use 1 to {MAX_INSTANCE} of a-z, 0-9, `-` and `_`, and not `aesyncd`")]
    BadInstance(String),
    /// A user's daemon has no place for its socket.
    #[error(
        "XDG_RUNTIME_DIR is not set to an absolute path, so that there is no place for the socket; set it, or choose a path with --socket or {SOCKET_VARIABLE}"
    )]
    NoRuntimeDir,
}

/// What the environment says, as far as it concerns the socket. Empty variables count as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `AESYNC_SOCKET`
    pub socket: Option<OsString>,
    /// `XDG_RUNTIME_DIR`
    pub runtime_dir: Option<OsString>,
}

impl Environment {
    /// This process's own.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self { socket: std::env::var_os(SOCKET_VARIABLE), runtime_dir: std::env::var_os("XDG_RUNTIME_DIR") }
    }

    fn socket(&self) -> Option<&Path> {
        self.socket.as_deref().filter(|value| !value.is_empty()).map(Path::new)
    }

    /// A relative path is no runtime directory (XDG Base Directory Specification).
    fn runtime_dir(&self) -> Option<&Path> {
        self.runtime_dir.as_deref().map(Path::new).filter(|dir| dir.is_absolute())
    }
}

/// Whose daemon it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Root's or the service user's.
    System,
    /// Anybody else's.
    User,
}

/// The path at which a client looks for the daemon, by this process's environment and file system.
///
/// # Errors
/// See [`find`].
pub fn locate(explicit: Option<&Path>, instance: Option<&str>) -> Result<PathBuf, EndpointError> {
    // A directory that may not be entered holds a system socket that this user may not open: say that, rather than look elsewhere.
    find(explicit, instance, &Environment::of_this_process(), |path| path.try_exists().unwrap_or(true))
}

/// The path at which a client looks for the daemon; `present` tells whether a file is there.
///
/// Whoever names an instance means that one, whatever socket the environment names. Without a runtime directory it is the system daemon's, so that an error names a path.
///
/// # Errors
/// For a path or an instance name that can't be used.
pub fn find(
    explicit: Option<&Path>,
    instance: Option<&str>,
    environment: &Environment,
    present: impl Fn(&Path) -> bool,
) -> Result<PathBuf, EndpointError> {
    let from_environment = environment.socket().filter(|_| instance.is_none());
    let instance = checked_instance(instance)?;
    if let Some(path) = explicit.or(from_environment) {
        return checked_path(path.to_owned());
    }
    if cfg!(windows) {
        return Ok(PathBuf::from(pipe_name(instance)));
    }
    let system = system_path(instance);
    match environment.runtime_dir() {
        Some(dir) if !present(&system) => checked_path(user_path(dir, instance)),
        _ => checked_path(system),
    }
}

/// The path at which a daemon binds; `configured` is its configuration's `ipc.socket`.
///
/// # Errors
/// For a path or an instance name that can't be used, and for a user's daemon without `XDG_RUNTIME_DIR`.
pub fn bind_path(
    explicit: Option<&Path>,
    configured: Option<&Path>,
    scope: Scope,
    instance: Option<&str>,
    environment: &Environment,
) -> Result<PathBuf, EndpointError> {
    let instance = checked_instance(instance)?;
    if let Some(path) = explicit.or_else(|| environment.socket()).or(configured) {
        return checked_path(path.to_owned());
    }
    if cfg!(windows) {
        return Ok(PathBuf::from(pipe_name(instance)));
    }
    match scope {
        Scope::System => checked_path(system_path(instance)),
        Scope::User => {
            let dir = environment.runtime_dir().ok_or(EndpointError::NoRuntimeDir)?;
            checked_path(user_path(dir, instance))
        }
    }
}

/// Whose daemon, and which instance, listens at a path where nobody chose it; `None` for a path of somebody's choice.
#[must_use]
pub fn usual_at(path: &Path, environment: &Environment) -> Option<(Scope, String)> {
    let dir = path.parent()?;
    let scope = if dir == Path::new(SYSTEM_DIR) {
        Scope::System
    } else if environment.runtime_dir().is_some_and(|runtime| dir == runtime.join("aesyncd")) {
        Scope::User
    } else {
        return None;
    };
    let instance = match path.file_name()?.to_str()?.strip_suffix(".sock")? {
        "aesyncd" => DEFAULT_INSTANCE,
        name => checked_instance(Some(name)).ok()?,
    };
    Some((scope, instance.to_owned()))
}

/// The named pipe of an instance on Windows.
#[must_use]
pub fn pipe_name(instance: &str) -> String {
    if instance == DEFAULT_INSTANCE { r"\\.\pipe\aesyncd".to_owned() } else { format!(r"\\.\pipe\aesyncd-{instance}") }
}

fn system_path(instance: &str) -> PathBuf {
    Path::new(SYSTEM_DIR).join(file_name(instance))
}

fn user_path(runtime_dir: &Path, instance: &str) -> PathBuf {
    runtime_dir.join("aesyncd").join(file_name(instance))
}

fn file_name(instance: &str) -> String {
    if instance == DEFAULT_INSTANCE { "aesyncd.sock".to_owned() } else { format!("{instance}.sock") }
}

/// Whether this can be the name of an instance.
///
/// # Errors
/// [`EndpointError::BadInstance`] says what is allowed.
pub fn check_instance(name: &str) -> Result<(), EndpointError> {
    checked_instance(Some(name)).map(|_| ())
}

fn checked_instance(instance: Option<&str>) -> Result<&str, EndpointError> {
    let name = instance.unwrap_or(DEFAULT_INSTANCE);
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    // `aesyncd` would share the default instance's file.
    if (1..=MAX_INSTANCE).contains(&name.len()) && name.bytes().all(allowed) && name != "aesyncd" {
        Ok(name)
    } else {
        Err(EndpointError::BadInstance(name.chars().take(64).collect()))
    }
}

fn checked_path(path: PathBuf) -> Result<PathBuf, EndpointError> {
    let length = path.as_os_str().len();
    match length {
        0 => Err(EndpointError::Empty),
        _ if length > MAX_PATH && cfg!(unix) => Err(EndpointError::TooLong { path, length }),
        _ => Ok(path),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const SYSTEM: &str = "/run/aesyncd/aesyncd.sock";
    const USER: &str = "/run/user/7/aesyncd/aesyncd.sock";

    fn environment(socket: &str, runtime_dir: &str) -> Environment {
        let value = |text: &str| Some(OsString::from(text));
        Environment { socket: value(socket), runtime_dir: value(runtime_dir) }
    }

    #[test]
    fn a_client_takes_the_given_path_then_the_environment_then_the_system_socket_then_the_users() {
        for (explicit, socket, runtime_dir, system_is_there, expected) in [
            (Some("/a"), "/b", "/run/user/7", true, "/a"),
            (None, "/b", "/run/user/7", true, "/b"),
            (None, "", "/run/user/7", true, SYSTEM),
            (None, "", "/run/user/7", false, USER),
            (None, "", "", false, SYSTEM),
            (None, "", "relative", false, SYSTEM),
            (Some("relative.sock"), "", "", false, "relative.sock"),
        ] {
            let found = find(explicit.map(Path::new), None, &environment(socket, runtime_dir), |path| {
                assert_eq!(path, Path::new(SYSTEM));
                system_is_there
            });
            assert_eq!(found, Ok(PathBuf::from(expected)), "{explicit:?} {socket:?} {runtime_dir:?} {system_is_there}");
        }
    }

    #[test]
    fn a_daemon_takes_the_given_path_then_the_environment_then_its_configuration_then_its_scopes_default() {
        for (explicit, socket, configured, scope, expected) in [
            (Some("/a"), "/b", Some("/c"), Scope::System, "/a"),
            (None, "/b", Some("/c"), Scope::System, "/b"),
            (None, "", Some("/c"), Scope::System, "/c"),
            (None, "", None, Scope::System, SYSTEM),
            (None, "", None, Scope::User, USER),
        ] {
            let environment = environment(socket, "/run/user/7");
            let bound = bind_path(explicit.map(Path::new), configured.map(Path::new), scope, None, &environment);
            assert_eq!(bound, Ok(PathBuf::from(expected)), "{explicit:?} {socket:?} {configured:?} {scope:?}");
        }
    }

    #[test]
    fn a_users_daemon_without_a_runtime_directory_is_told_what_to_set() {
        for runtime_dir in ["", "relative"] {
            let bound = bind_path(None, None, Scope::User, None, &environment("", runtime_dir));
            assert_eq!(bound, Err(EndpointError::NoRuntimeDir));
        }
    }

    #[test]
    fn an_instance_has_its_own_socket_in_the_same_directories() {
        let environment = environment("", "/run/user/7");
        let name = Some("shop-2");
        assert_eq!(find(None, name, &environment, |_| true), Ok(PathBuf::from("/run/aesyncd/shop-2.sock")));
        assert_eq!(find(None, name, &environment, |_| false), Ok(PathBuf::from("/run/user/7/aesyncd/shop-2.sock")));
        assert_eq!(find(None, Some(DEFAULT_INSTANCE), &environment, |_| true), Ok(PathBuf::from(SYSTEM)));
        assert_eq!(pipe_name(DEFAULT_INSTANCE), r"\\.\pipe\aesyncd");
        assert_eq!(pipe_name("shop-2"), r"\\.\pipe\aesyncd-shop-2");
    }

    #[test]
    fn a_client_that_names_an_instance_is_not_sent_elsewhere_by_the_environment() {
        let environment = environment("/b", "/run/user/7");
        for (explicit, instance, expected) in [
            (None, Some("shop-2"), "/run/aesyncd/shop-2.sock"),
            (None, Some(DEFAULT_INSTANCE), SYSTEM),
            (None, None, "/b"),
            (Some("/a"), Some("shop-2"), "/a"),
        ] {
            let found = find(explicit.map(Path::new), instance, &environment, |_| true);
            assert_eq!(found, Ok(PathBuf::from(expected)), "{explicit:?} {instance:?}");
        }
        let bound = bind_path(None, None, Scope::System, Some("shop-2"), &environment);
        assert_eq!(bound, Ok(PathBuf::from("/b")), "a daemon does as its environment says");
    }

    #[test]
    fn a_usual_path_tells_whose_daemon_and_which_instance_it_is_of() {
        let environment = environment("", "/run/user/7");
        for (path, expected) in [
            (SYSTEM, Some((Scope::System, DEFAULT_INSTANCE))),
            ("/run/aesyncd/shop-2.sock", Some((Scope::System, "shop-2"))),
            (USER, Some((Scope::User, DEFAULT_INSTANCE))),
            ("/run/user/7/aesyncd/shop-2.sock", Some((Scope::User, "shop-2"))),
            ("/run/user/8/aesyncd/aesyncd.sock", None),
            ("/run/aesyncd/UPPER.sock", None),
            ("/run/aesyncd/aesyncd", None),
            ("/tmp/aesyncd.sock", None),
            ("aesyncd.sock", None),
            ("/", None),
        ] {
            let found = usual_at(Path::new(path), &environment);
            assert_eq!(found, expected.map(|(scope, name)| (scope, name.to_owned())), "{path}");
        }
    }

    #[test]
    fn an_instance_name_can_neither_leave_the_directory_nor_collide_with_the_default() {
        for name in ["", "..", "../x", "a/b", "a\\b", "A", "a b", "ü", "aesyncd", &"x".repeat(33)] {
            let environment = environment("", "/run/user/7");
            assert_eq!(
                find(None, Some(name), &environment, |_| true),
                Err(EndpointError::BadInstance(name.to_owned())),
                "{name}"
            );
            assert!(bind_path(None, None, Scope::System, Some(name), &environment).is_err(), "{name}");
        }
    }

    #[test]
    fn a_path_of_107_bytes_is_taken_and_one_of_108_is_refused_with_its_length() {
        let longest = format!("/{}", "x".repeat(106));
        let too_long = format!("{longest}x");
        let environment = Environment::default();
        assert_eq!(find(Some(Path::new(&longest)), None, &environment, |_| true), Ok(PathBuf::from(&longest)));
        let error = find(Some(Path::new(&too_long)), None, &environment, |_| true).expect_err("too long");
        assert!(error.to_string().contains("108 bytes") && error.to_string().contains("allows 107"), "{error}");
        assert!(bind_path(None, Some(Path::new(&too_long)), Scope::System, None, &environment).is_err());
    }

    #[test]
    fn an_empty_path_is_refused() {
        assert_eq!(find(Some(Path::new("")), None, &Environment::default(), |_| true), Err(EndpointError::Empty));
    }
}
