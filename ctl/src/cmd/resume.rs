//! `aectl resume`

use std::process::ExitCode;

use aesync_protocol::request::Resume;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&Resume {}, LOCAL, |_, _| "Resumed.\n".to_owned())
}
