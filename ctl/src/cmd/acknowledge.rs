//! `aectl acknowledge`

use std::process::ExitCode;

use aesync_protocol::request::AttentionAcknowledge;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::text::count;

/// What `acknowledge` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what has these codes, as `aectl status --json` shows them
    #[arg(value_name = "CODE", add = clap_complete::ArgValueCompleter::new(crate::complete::codes))]
    codes: Vec<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let codes = (!args.codes.is_empty()).then_some(args.codes);
    context.answer(&AttentionAcknowledge { codes }, LOCAL, |done, _| match done.count {
        0 => "There was nothing to acknowledge.\n".to_owned(),
        some => format!("Acknowledged: {}.\n", count(some, "thing", "things")),
    })
}
