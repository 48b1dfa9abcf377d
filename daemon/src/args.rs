//! The command line of the daemon.

mod check;

use std::path::PathBuf;

use aesync_protocol::endpoint::{EndpointError, Scope};
use clap::Parser;

pub use self::check::check;
use crate::config::{Config, ConfigError, Environment, Loaded};
use crate::service::log::check_filter;

/// The exit code for a configuration that can't be used (`EX_CONFIG` of sysexits).
pub const EXIT_CONFIGURATION: u8 = 78;

const AFTER_HELP: &str = "\
Without --config: /etc/aesyncd/aesyncd.toml for root and the service user, else $XDG_CONFIG_HOME/aesyncd/aesyncd.toml.
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
    /// What to log, such as info or info,aesyncd::engine=debug
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub log: Option<String>,
    /// Read the configuration, say what is wrong, and exit
    #[arg(long)]
    pub check: bool,
}

impl Args {
    /// Reads the configuration, at the start and for every reload; `--state-dir` and `--log` go over it.
    ///
    /// # Errors
    /// [`ConfigError`]; the process then ends with [`EXIT_CONFIGURATION`].
    pub fn load(&self, environment: &Environment, scope: Scope) -> Result<Loaded, ConfigError> {
        let mut loaded = Config::load(self.config.as_deref(), environment, scope)?;
        if let Some(dir) = &self.state_dir {
            loaded.config.state.dir = Some(dir.clone());
        }
        if let Some(filter) = &self.log {
            loaded.config.log.filter.clone_from(filter);
        }
        Ok(loaded)
    }

    /// The socket to bind to: `--socket`, else `AESYNC_SOCKET`, else `ipc.socket`, else the scope's own.
    ///
    /// # Errors
    /// For a path that no socket can have, and for a user without a runtime directory.
    pub fn socket_path(&self, config: &Config, environment: &Environment, scope: Scope) -> Result<PathBuf, EndpointError> {
        config.socket_path(self.socket.as_deref(), environment, scope)
    }
}

fn filter(text: &str) -> Result<String, String> {
    check_filter(text).map(|()| text.to_owned())
}
