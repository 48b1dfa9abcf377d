//! `aectl pause`

use std::process::ExitCode;

use aesync_protocol::request::Pause;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&Pause {}, LOCAL, |_, _| "Paused. Changes are queued until `aectl resume`.\n".to_owned())
}
