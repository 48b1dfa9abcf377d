//! `aectl completions`

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::context::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  aectl completions bash > ~/.local/share/bash-completion/completions/aectl
  aectl completions zsh > \"${fpath[1]}/_aectl\"
  aectl completions fish > ~/.config/fish/completions/aectl.fish";

/// What `completions` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Args::command(), "aectl", &mut script);
    context.output.write(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
