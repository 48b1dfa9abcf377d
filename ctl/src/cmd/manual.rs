//! `aectl manual`: for packages; people type `man aectl`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::exit::Failure;

/// What `manual` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write aectl.1 and a page for each command
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let failed = |source| Failure::File {
        tried: format!("writing the man pages to {}", args.directory.display()),
        source,
        next: "name a directory that is there and may be written to",
    };
    clap_mangen::generate_to(crate::args::Args::command(), &args.directory).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
