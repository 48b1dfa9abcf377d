//! `aectl completions`

use std::process::ExitCode;

use clap::ValueEnum;

use crate::complete;

use crate::context::Context;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Entity types, ids and entries are completed, too, from the running daemon.

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

/// Shells whose completion asks this program for what fits.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Zsh => "zsh",
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let script = complete::script(args.shell.name()).map_err(|source| Failure::File {
        tried: "writing the script".to_owned(),
        source,
        next: "name another shell",
    })?;
    context.output.write(&script)?;
    Ok(ExitCode::SUCCESS)
}
