//! The command line of the daemon.

mod check;
mod probe;

use std::path::PathBuf;

use aesync_protocol::endpoint::{DEFAULT_INSTANCE, EndpointError, Scope, check_instance};
use clap::Parser;

pub use self::check::check;
pub use self::probe::probe;
use crate::config::{Config, ConfigError, Environment, Installation, Loaded};
use crate::service::log::check_filter;

/// The exit code for arguments that can't be used.
pub const EXIT_USAGE: u8 = 2;
/// The exit code for a configuration that can't be used (`EX_CONFIG` of sysexits).
pub const EXIT_CONFIGURATION: u8 = 78;

const AFTER_HELP: &str = "\
Without --config: /etc/aesyncd/aesyncd.toml for root and the service user, else $XDG_CONFIG_HOME/aesyncd/aesyncd.toml;
for an instance, NAME.toml in the same place.
Every key can be overridden by the environment: AESYNC_SERVER__URL=... for server.url.

Signals:     SIGTERM and SIGINT stop cleanly, what is queued stays queued; SIGHUP reloads the configuration.
Exit codes:  0 stopped, 1 failed, 2 wrong usage, 78 configuration.";

/// The local sync daemon for AdminEngine.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "aesyncd", version, after_help = AFTER_HELP, max_term_width = 120)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen for local apps
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Where to keep what must survive a restart
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// One of several daemons, with a configuration, a state and a socket of its own
    #[arg(long, value_name = "NAME", value_parser = instance)]
    pub instance: Option<String>,
    /// What to log, such as info or info,aesyncd::engine=debug
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub log: Option<String>,
    /// Write the outbox and the replica to FILE as NDJSON, and exit; no daemon may run on the state directory
    #[arg(long, value_name = "FILE", conflicts_with_all = ["import", "check"])]
    pub export: Option<PathBuf>,
    /// Fill an empty state directory with what --export wrote to FILE, and exit
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub import: Option<PathBuf>,
    /// Read the configuration, say what is wrong, and exit
    #[arg(long)]
    pub check: bool,
    /// Ask the server, the configured one or that at URL, for its health and for a websocket; print what came as JSON, and exit
    #[arg(long, value_name = "URL", num_args = 0..=1, conflicts_with_all = ["export", "import", "check"])]
    pub probe: Option<Option<String>>,
    /// Run as a service; only the service control manager can start it so
    #[cfg(windows)]
    #[arg(long, conflicts_with_all = ["export", "import", "check", "probe"])]
    pub service: bool,
}

impl Args {
    /// Which daemon this is.
    #[must_use]
    pub fn installation(&self, scope: Scope) -> Installation {
        Installation { scope, instance: self.instance.clone().unwrap_or_else(|| DEFAULT_INSTANCE.to_owned()) }
    }

    /// Reads the configuration, at the start and for every reload; `--state-dir`, `--socket` and `--log` go over it.
    ///
    /// # Errors
    /// [`ConfigError`]; the process then ends with [`EXIT_CONFIGURATION`].
    pub fn load(&self, environment: &Environment, scope: Scope) -> Result<Loaded, ConfigError> {
        let mut loaded = Config::load(self.config.as_deref(), environment, &self.installation(scope))?;
        if let Some(dir) = &self.state_dir {
            loaded.config.state.dir = Some(dir.clone());
        }
        if let Some(socket) = &self.socket {
            loaded.config.ipc.socket = Some(socket.clone());
        }
        if let Some(filter) = &self.log {
            loaded.config.log.filter.clone_from(filter);
        }
        Ok(loaded)
    }

    /// The socket to bind to: `--socket`, else `AESYNC_SOCKET`, else `ipc.socket`, else the installation's own.
    ///
    /// # Errors
    /// For a path that no socket can have, and for a user without a runtime directory.
    pub fn socket_path(&self, config: &Config, environment: &Environment, scope: Scope) -> Result<PathBuf, EndpointError> {
        config.socket_path(self.socket.as_deref(), environment, &self.installation(scope))
    }
}

fn instance(text: &str) -> Result<String, String> {
    if text == DEFAULT_INSTANCE {
        return Err("it is the daemon that has no name of its own: leave --instance out (the unit is aesyncd.service)".to_owned());
    }
    check_instance(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn filter(text: &str) -> Result<String, String> {
    check_filter(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_can_not_be_is_a_usage_error_with_exit_code_2() {
        for (arguments, part) in [
            (&["--colour"][..], "--colour"),
            (&["start"], "start"),
            (&["--config"], "--config"),
            (&["--state-dir", ""], "--state-dir"),
            (&["--log", "inof"], "did you mean info?"),
            (&["--instance", "../x"], "can't be the name of an instance"),
            // It would take the socket of the one that has no name of its own.
            (&["--instance", "default"], "leave --instance out"),
        ] {
            let error = Args::try_parse_from(std::iter::once(&"aesyncd").chain(arguments)).expect_err(part);
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let version = Args::try_parse_from(["aesyncd", "--version"]).expect_err("a version");
        assert_eq!((version.kind(), version.exit_code()), (ErrorKind::DisplayVersion, 0));
    }

    #[test]
    fn options_go_over_the_file_and_the_variables() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("aesyncd.toml");
        std::fs::write(&file, "[state]\ndir = '/file'\n[log]\nfilter = 'warn'\n[ipc]\nsocket = '/file.sock'").expect("writable");
        let environment: Environment =
            [("AESYNC_STATE__DIR", "/variable"), ("AESYNC_SOCKET", "/variable.sock")].into_iter().collect();
        let file = file.to_str().expect("UTF-8");
        for (arguments, state, filter, socket) in [
            (&[][..], "/variable", "warn", "/variable.sock"),
            (&["--state-dir", "/option", "--log", "debug", "--socket", "/option.sock"], "/option", "debug", "/option.sock"),
        ] {
            let args = Args::parse_from([&["aesyncd", "--config", file], arguments].concat());
            let config = args.load(&environment, Scope::System).expect("valid").config;
            assert_eq!(config.state_dir(&environment, &Scope::System.into()), Ok(PathBuf::from(state)));
            assert_eq!(config.log.filter, filter);
            assert_eq!(args.socket_path(&config, &environment, Scope::System), Ok(PathBuf::from(socket)));
        }
    }
}
