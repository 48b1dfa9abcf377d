//! `aectl wait`

use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::request::{Goal, Method as _, Wait};
use aesync_protocol::response::Waited;
use clap::ValueEnum;

use crate::cmd::status::report::{headline, indicator};
use crate::context::{Context, LOCAL, fetch_from, millis, parse};
use crate::exit::{self, Failure};

/// The longest that the daemon waits.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

const EXAMPLES: &str = "\
Exits with 5 when it was not reached within --timeout (a day, unless given); --timeout 0s asks once.

Example:
  aectl wait outbox-empty --timeout 2min && poweroff";

/// What `wait` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to wait for
    #[arg(value_enum)]
    goal: GoalArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GoalArg {
    /// The indicator says Synced
    Synced,
    /// The server can be reached
    Online,
    /// Nothing is left to be sent but what needs a person
    OutboxEmpty,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let (goal, wanted) = match args.goal {
        GoalArg::Synced => (Goal::Synced, "synced"),
        GoalArg::Online => (Goal::Online, "online"),
        GoalArg::OutboxEmpty => (Goal::OutboxEmpty, "done with the outbox"),
    };
    let limit = context.patience(A_DAY).min(A_DAY);
    let params = Wait { goal, seq: None, timeout_ms: millis(limit) };
    // The daemon's own time-out is the answer; this side only has to notice a daemon that hangs.
    let json = fetch_from(&mut context.connect_for(LOCAL)?, Wait::NAME, &params, limit + LOCAL)?;
    let waited: Waited = parse(Wait::NAME, &json)?;
    let view = context.output.view();
    if context.json {
        context.output.json(&json)?;
    } else if waited.reached {
        context.output.line(&indicator(waited.status.status, view.paint))?;
    }
    match (waited.reached, context.json) {
        (true, _) => Ok(ExitCode::SUCCESS),
        (false, true) => Err(Failure::Silent(exit::TIMED_OUT)),
        (false, false) => Err(Failure::NotReached(format!(
            "not {wanted} {}: {}; see `aectl status`",
            if limit.is_zero() { "now".to_owned() } else { format!("within {}", humantime::format_duration(limit)) },
            headline(&waited.status, view.now)
        ))),
    }
}
