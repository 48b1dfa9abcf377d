//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cmd;

const EXIT_CODES: &str = "\
Exit codes:
  0  done                           4  sign-in needed: aectl login
  1  the daemon refused or failed   5  timed out
  2  wrong usage                    6  permission denied
  3  no daemon there                10, 11, 12  see `aectl status --help`

Examples:
  aectl status                              how things are, and what to do next
  aectl push --type interactions notes.json
  aectl watch change --json | jq .change
  aectl wait synced --timeout 30s && echo done";

/// Status, push, pull and the local replica of aesync, at hand.
#[derive(Debug, Parser)]
#[command(name = "aectl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// The daemon's socket [default: what `aectl socket-path` prints]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) socket: Option<PathBuf>,
    /// The daemon of this name, where there are several
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub(crate) instance: Option<String>,
    /// Print the daemon's result itself, as one JSON document (streams: one a line)
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// When to colour the output: auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Global options")]
    pub(crate) color: ColorChoice,
    /// How long to wait for an answer, such as 500ms, 10s or 5min; what goes on, such as `watch`, waits for events without end
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration, help_heading = "Global options")]
    pub(crate) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the indicator, and below it what matters now
    Status(cmd::status::Args),
    /// Print events as they happen
    Watch(cmd::watch::Args),
    /// Queue changes for the server
    Push(cmd::push::Args),
    /// Fetch what is new on the server
    Pull(cmd::pull::Args),
    /// Show the server's pending rows, without storing them
    PullPending(cmd::pull_pending::Args),
    /// Push what waits and pull everything
    Sync,
    /// Show one record of the local replica
    Get(cmd::get::Args),
    /// List the records of a type
    List(cmd::list::Args),
    /// Print the change feed
    Changes(cmd::changes::Args),
    /// See and settle what waits to reach the server
    Outbox(cmd::outbox::Args),
    /// See and settle what the server overruled
    Conflicts(cmd::conflicts::Args),
    /// Compare the replica with a full listing of the server
    Reconcile(cmd::reconcile::Args),
    /// Sign in with e-mail and password
    Login(cmd::login::Args),
    /// Sign in with a token from elsewhere
    Token(cmd::token::Args),
    /// Forget the token
    Logout,
    /// Stop talking to the server until `resume`
    Pause,
    /// End a pause
    Resume,
    /// Let the daemon read its configuration again
    Reload,
    /// Stop the daemon cleanly
    Shutdown,
    /// Wait until something is so
    Wait(cmd::wait::Args),
    /// Ask the daemon for a sign of life
    Ping,
    /// Examine the whole chain from the socket to the server, and say what to do
    #[command(after_help = cmd::doctor::EXAMPLES)]
    Doctor(cmd::doctor::Args),
    /// Write everything that explains a fault into one file, without secrets
    BugReport(cmd::bug_report::Args),
    /// Show everything at once, live, on the whole terminal
    Top,
    /// Post desktop notifications when something needs a person, until it is ended
    Notify,
    /// Show the indicator as an icon in the tray, until it is ended
    Indicator,
    /// List who is connected to the daemon
    Clients,
    /// Print the daemon's metrics in Prometheus text format
    Metrics,
    /// Print where the daemon's socket is looked for
    SocketPath,
    /// Print a completion script for a shell
    Completions(cmd::completions::Args),
    /// Write the man pages of aectl
    #[command(hide = true)]
    Manual(cmd::manual::Args),
}

impl Args {
    /// A shell prompt is no place for error messages.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(&self.command, Command::Status(status) if status.is_for_a_prompt())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 10s or 5min"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let args = Args::parse_from(["aectl", "status", "--json", "--timeout", "2s", "--socket", "/s"]);
        assert!(args.json);
        assert_eq!((args.timeout, args.socket), (Some(Duration::from_secs(2)), Some(PathBuf::from("/s"))));
    }

    #[test]
    fn a_duration_needs_a_unit() {
        for (text, expected) in
            [("500ms", Some(500)), ("2s", Some(2_000)), ("1min", Some(60_000)), ("5", None), ("0s", Some(0)), ("", None)]
        {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
    }
}
