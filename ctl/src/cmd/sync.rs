//! `aectl sync`

use std::process::ExitCode;

use aesync_protocol::request::Sync;

use crate::cmd::pull::pulled_text;
use crate::context::{BULK, Context};
use crate::exit::Failure;
use crate::progress;
use crate::text::count;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let json = progress::fetch(context, &Sync {}, BULK)?;
    context.show::<Sync>(&json, |synced, view| {
        let pushed = match synced.pushed {
            0 => String::new(),
            pushed => format!("{} sent.\n", count(pushed, "change", "changes")),
        };
        pushed + &pulled_text(&synced.types, view)
    })
}
