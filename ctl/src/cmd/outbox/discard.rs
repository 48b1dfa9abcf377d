//! `aectl outbox discard`

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use aesync_protocol::request::OutboxDiscard;

use super::Chosen;
use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::text::count;

/// What `outbox discard` is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let what = if args.chosen.all {
        "everything in the outbox".to_owned()
    } else {
        count(args.chosen.entries.len() as u64, "entry", "entries")
    };
    if !args.yes && !confirmed(&what)? {
        return Err(Failure::Refused("nothing was given up; answer y to do it".to_owned()));
    }
    let (entries, all) = args.chosen.into_params();
    context.answer(&OutboxDiscard { entries, all }, LOCAL, |answer, _| {
        format!("{} given up.\n", count(answer.count, "entry was", "entries were"))
    })
}

/// Changes that are given up can't be had back.
fn confirmed(what: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!("giving up {what} is for good, and nobody is there to ask; say --yes")));
    }
    let failed = |source| Failure::File { tried: "asking".to_owned(), source, next: "say --yes" };
    let mut stderr = io::stderr();
    write!(stderr, "Give up {what}, for good? [y/N] ").and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
