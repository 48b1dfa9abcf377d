//! `aectl`: everything that a person or a script asks of aesyncd.

mod args;
mod cmd;
mod complete;
mod context;
mod exit;
mod keeper;
mod output;
mod progress;
mod text;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Ends the process when it was a shell that called.
    complete::answer_a_shell();
    let args = args::Args::of_this_process();
    let quiet = args.is_quiet();
    cmd::run(args).unwrap_or_else(|failure| exit::report(&failure, quiet))
}
