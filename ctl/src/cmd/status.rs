//! `aectl status`

mod bar;
pub(super) mod report;
#[cfg(test)]
pub(super) mod sample;
mod screen;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::request::{GetStatus, Method as _};
use aesync_protocol::{Status, StatusWord};
use clap::ValueEnum;

use crate::context::{Context, LOCAL, parse};
use crate::exit::{self, Failure};
use crate::output::View;

/// A prompt that waits is worse than one that says nothing.
const PROMPT_PATIENCE: Duration = Duration::from_millis(5);

const EXAMPLES: &str = "\
With --exit-code: 0 synced, 10 syncing, 11 pending, 12 offline.

Examples:
  aectl status --watch                  updated in place
  PS1='$(aectl status --format prompt) \\w \\$ '
  waybar:   \"custom/aesync\": {\"exec\": \"aectl status --watch --format waybar\", \"return-type\": \"json\"}
  i3blocks: command=aectl status --watch --format i3, interval=persist, format=json";

/// What `status` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Go on and show every change
    #[arg(long)]
    watch: bool,
    /// For whom it is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", conflicts_with = "json")]
    format: Format,
    /// Tell the indicator by the exit code
    #[arg(long, conflicts_with = "watch")]
    exit_code: bool,
}

/// For whom the status is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// People
    #[default]
    Plain,
    /// A custom module of waybar
    Waybar,
    /// i3blocks and other bars that speak i3bar's JSON
    I3,
    /// A shell prompt: a sign, and how many changes wait; nothing at all when there is no daemon
    Prompt,
}

impl Args {
    pub(crate) fn is_for_a_prompt(&self) -> bool {
        self.format == Format::Prompt
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    if args.watch {
        return watch::run(context, args.format);
    }
    let usual = if args.format == Format::Prompt { PROMPT_PATIENCE } else { LOCAL };
    let json = match context.fetch(&GetStatus {}, usual) {
        Err(failure) if args.format.is_a_bar() && failure.exit_code() == exit::NO_DAEMON => {
            context.output.line(&without_daemon(args.format, &context.output.view()))?;
            return if args.exit_code { Err(failure) } else { Ok(ExitCode::SUCCESS) };
        }
        other => other?,
    };
    let status: Status = parse(GetStatus::NAME, &json)?;
    if context.json {
        context.output.json(&json)?;
    } else {
        context.output.line(&text(&status, args.format, &context.output.view()))?;
    }
    Ok(if args.exit_code { ExitCode::from(exit_code(status.status)) } else { ExitCode::SUCCESS })
}

impl Format {
    /// A bar shows what it is given as long as it runs, so that the missing daemon is something to show.
    fn is_a_bar(self) -> bool {
        matches!(self, Self::Waybar | Self::I3)
    }
}

/// The status without the end of its last line.
fn text(status: &Status, format: Format, view: &View) -> String {
    match format {
        Format::Plain => report::report(status, view),
        Format::Waybar => bar::waybar(status, view),
        Format::I3 => bar::i3(status),
        Format::Prompt => bar::prompt(status, view),
    }
}

/// The same when nobody answers.
fn without_daemon(format: Format, view: &View) -> String {
    match format {
        Format::Plain => format!("{}: aectl doctor", view.paint.red(report::NOT_RUNNING)),
        Format::Waybar => bar::waybar_without_daemon(),
        Format::I3 => bar::i3_without_daemon(),
        Format::Prompt => String::new(),
    }
}

fn exit_code(word: StatusWord) -> u8 {
    match word {
        StatusWord::Synced => 0,
        StatusWord::Syncing => 10,
        StatusWord::Pending => 11,
        StatusWord::Offline => 12,
    }
}
