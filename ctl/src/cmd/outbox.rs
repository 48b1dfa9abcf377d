//! `aectl outbox`

mod discard;
mod edit;
mod list;
mod retry;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

pub(super) use show::op;

use crate::context::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  aectl outbox list --state quarantined    what the server refused
  aectl outbox show 7                      one entry with its error
  aectl outbox edit 7                      correct it in $EDITOR and send it again
  aectl outbox retry --all";

/// What `outbox` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what waits, oldest first (without a verb: this)
    List(list::Args),
    /// Show one entry whole
    Show(show::Args),
    /// Send entries again now, refused ones included
    Retry(Chosen),
    /// Give entries up, for good
    Discard(discard::Args),
    /// Correct a refused entry and send it again
    Edit(edit::Args),
}

/// Entries that were named, or all of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// The entries' numbers
    #[arg(value_name = "ENTRY", add = clap_complete::ArgValueCompleter::new(crate::complete::entries))]
    entries: Vec<u64>,
    /// All of them
    #[arg(long)]
    all: bool,
}

impl Chosen {
    /// The params `entries` and `all`.
    fn into_params(self) -> (Option<Vec<u64>>, Option<bool>) {
        if self.all { (None, Some(true)) } else { (Some(self.entries), None) }
    }
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    match args.verb {
        None => list::run(context, list::Args::default()),
        Some(Verb::List(args)) => list::run(context, args),
        Some(Verb::Show(args)) => show::run(context, &args),
        Some(Verb::Retry(chosen)) => retry::run(context, chosen),
        Some(Verb::Discard(args)) => discard::run(context, args),
        Some(Verb::Edit(args)) => edit::run(context, &args),
    }
}
