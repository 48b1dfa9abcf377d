//! `aectl outbox retry`

use std::process::ExitCode;

use aesync_protocol::request::OutboxRetry;

use super::Chosen;
use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::text::count;

pub(super) fn run(context: &Context, chosen: Chosen) -> Result<ExitCode, Failure> {
    let (entries, all) = chosen.into_params();
    context.answer(&OutboxRetry { entries, all }, LOCAL, |answer, _| {
        format!("{} sent again.\n", count(answer.count, "entry is", "entries are"))
    })
}
