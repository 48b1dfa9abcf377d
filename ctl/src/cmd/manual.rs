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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Command;

    use super::*;

    /// What a reader of the page sees of it: roff writes hyphens and apostrophes in its own way.
    fn page(dir: &Path, name: &str) -> String {
        let text = std::fs::read_to_string(dir.join(format!("{name}.1")));
        text.unwrap_or_else(|error| panic!("the page of {name}: {error}")).replace("\\-", "-").replace("\\*(Aq", "'")
    }

    /// Asserts that everything of the command is on its page, and the same of those below it.
    fn check(dir: &Path, command: &Command, name: &str) {
        let text = page(dir, name);
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            for option in argument
                .get_long()
                .map(|long| format!("--{long}"))
                .into_iter()
                .chain(argument.get_short().map(|short| format!("-{short}")))
            {
                assert!(text.contains(&format!("\\fB{option}\\fR")), "{option} is not on the page of {name}");
            }
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let words = help.split_whitespace().next().unwrap_or_default().trim_start_matches('`');
            assert!(!words.is_empty() && text.contains(words), "nothing says what {} of {name} is for", argument.get_id());
        }
        for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
            let full = format!("{name}-{}", below.get_name());
            assert!(text.contains(&format!("{full}(1)")), "{full} is not on the page of {name}");
            check(dir, below, &full);
        }
    }

    #[test]
    fn each_command_and_each_option_is_on_its_page() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut all = crate::args::Args::command();
        clap_mangen::generate_to(all.clone(), dir.path()).expect("written");
        all.build();
        check(dir.path(), &all, "aectl");
        let listed = all.get_subcommands().filter(|command| !command.is_hide_set()).count();
        assert!(listed > 25, "{listed} commands");
        assert!(page(dir.path(), "aectl-outbox-list").contains("--state"), "commands below a command have pages of their own");
    }
}
