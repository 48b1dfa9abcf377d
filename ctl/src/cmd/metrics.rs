//! `aectl metrics`

use std::process::ExitCode;

use aesync_protocol::request::Metrics;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::text::clean;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&Metrics {}, LOCAL, |metrics, _| metrics.text.lines().map(|line| clean(line).into_owned() + "\n").collect())
}
