//! `aectl logout`

use std::process::ExitCode;

use aesync_protocol::request::AuthLogout;

use crate::context::{Context, REMOTE};
use crate::exit::Failure;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&AuthLogout {}, REMOTE, |_, _| "Signed out. What was not sent yet is kept.\n".to_owned())
}
