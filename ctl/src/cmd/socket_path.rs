//! `aectl socket-path`

use std::process::ExitCode;

use crate::context::Context;
use crate::exit::Failure;
use crate::text::clean;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let path = context.socket_path()?;
    let path = path.to_string_lossy();
    if context.json {
        context.output.line(&serde_json::json!({ "path": path }).to_string())?;
    } else {
        context.output.line(&clean(&path))?;
    }
    Ok(ExitCode::SUCCESS)
}
