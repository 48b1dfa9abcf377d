//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args as _, CommandFactory as _, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::cmd;

const NAME: &str = "aectl";
/// Columns that help texts use at most.
const WIDTH: usize = 100;

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
#[command(name = NAME, version, after_help = EXIT_CODES, max_term_width = WIDTH)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

// No doc comment: clap would take it for the text about aectl.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// The daemon's socket [default: what `aectl socket-path` prints]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(crate) socket: Option<PathBuf>,
    /// The daemon of this name, where there are several; goes before AESYNC_SOCKET
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
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

/// The arguments of a command, described to clap only once that command is called: describing all of them takes longer than
/// asking the daemon.
#[derive(Debug)]
pub(crate) struct Later<T>(pub(crate) T);

impl<T: clap::Args> clap::Args for Later<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(T::augment_args)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command.defer(T::augment_args_for_update)
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the indicator, and below it what matters now
    Status(Later<cmd::status::Args>),
    /// Print events as they happen
    Watch(Later<cmd::watch::Args>),
    /// Queue changes for the server
    Push(Later<cmd::push::Args>),
    /// Fetch what is new on the server
    Pull(Later<cmd::pull::Args>),
    /// Show the server's pending rows, without storing them
    PullPending(Later<cmd::pull_pending::Args>),
    /// Push what waits and pull everything
    Sync,
    /// Show one record of the local replica
    Get(Later<cmd::get::Args>),
    /// List the records of a type
    List(Later<cmd::list::Args>),
    /// Print the change feed
    Changes(Later<cmd::changes::Args>),
    /// See and settle what waits to reach the server
    Outbox(Later<cmd::outbox::Args>),
    /// See and settle what the server overruled
    Conflicts(Later<cmd::conflicts::Args>),
    /// Compare the replica with a full listing of the server
    Reconcile(Later<cmd::reconcile::Args>),
    /// Say that you know of what happened, so that the status no longer tells it
    Acknowledge(Later<cmd::acknowledge::Args>),
    /// Sign in with e-mail and password
    Login(Later<cmd::login::Args>),
    /// Sign in with a token from elsewhere
    Token(Later<cmd::token::Args>),
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
    Wait(Later<cmd::wait::Args>),
    /// Ask the daemon for a sign of life
    Ping,
    /// Examine the whole chain from the socket to the server, and say what to do
    #[command(after_help = cmd::doctor::EXAMPLES)]
    Doctor(Later<cmd::doctor::Args>),
    /// Write everything that explains a fault into one file, without secrets
    BugReport(Later<cmd::bug_report::Args>),
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
    Completions(Later<cmd::completions::Args>),
    /// Write the man pages of aectl
    #[command(hide = true)]
    Manual(Later<cmd::manual::Args>),
}

impl Args {
    /// What this process was asked for; ends it when that is help, or can't be understood.
    pub(crate) fn of_this_process() -> Self {
        Self::read(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    fn read(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = words.get(1).and_then(|word| only(word)).unwrap_or_else(Self::command);
        let mut matches = command.try_get_matches_from_mut(words)?;
        let args = Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
        // clap sees no conflict between a global option before the command and one behind it.
        if args.global.socket.is_some() && args.global.instance.is_some() {
            let both = "--socket and --instance both say which daemon is meant; give one of them";
            return Err(command.error(ErrorKind::ArgumentConflict, both));
        }
        Ok(args)
    }

    /// A shell prompt is no place for error messages.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(&self.command, Command::Status(Later(status)) if status.is_for_a_prompt())
    }
}

/// `aectl` as it looks to somebody who calls this one of its commands. The others are left out: clap would give each of them
/// its own copy of the global options.
fn only(command: &OsStr) -> Option<clap::Command> {
    let mut all = Command::augment_subcommands(clap::Command::new(NAME));
    let called = all.get_subcommands_mut().find(|one| command == one.get_name()).map(std::mem::take)?;
    Some(Global::augment_args(clap::Command::new(NAME)).max_term_width(WIDTH).subcommand(called))
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 10s or 5min"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_command_read_alone_explains_itself_as_one_of_all() {
        let said = |words: [&str; 3], command: Option<clap::Command>| match command {
            Some(mut all) => all.try_get_matches_from_mut(words).map(drop),
            None => Args::read(words.map(OsString::from).into()).map(drop),
        };
        for one in Args::command().get_subcommands() {
            for last in ["--help", "-h", "--no-such", "--timeout=5", "--json=1"] {
                let words = [NAME, one.get_name(), last];
                let expected = said(words, Some(Args::command())).unwrap_err().render().to_string();
                assert_eq!(said(words, None).unwrap_err().render().to_string(), expected, "{words:?}");
            }
        }
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let args = Args::parse_from(["aectl", "status", "--json", "--timeout", "2s", "--socket", "/s"]);
        assert!(args.global.json);
        assert_eq!((args.global.timeout, args.global.socket), (Some(Duration::from_secs(2)), Some(PathBuf::from("/s"))));
    }

    #[test]
    fn two_ways_to_say_which_daemon_are_a_usage_error_wherever_they_stand() {
        for words in [
            ["aectl", "--socket", "/s", "--instance", "shop", "ping"],
            ["aectl", "--socket", "/s", "ping", "--instance", "shop"],
            ["aectl", "ping", "--instance", "shop", "--socket", "/s"],
        ] {
            let error = Args::read(words.map(OsString::from).into()).expect_err("a conflict");
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains("--socket and --instance"), "{error}");
        }
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
