//! `aectl shutdown`

use std::process::ExitCode;

use aesync_protocol::request::Shutdown;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&Shutdown {}, LOCAL, |_, _| "aesyncd is stopping. What is queued stays queued.\n".to_owned())
}
