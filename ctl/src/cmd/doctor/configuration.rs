//! The configuration, by the daemon's own judgement: the running one's, or `aesyncd --check`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aesync_protocol::status::LinkWord;

use super::{Finding, Told};
use crate::cmd::external;

/// `--check` reads a few files and asks nobody.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn check(told: &Told) -> Finding {
    match &told.status {
        Some(status) if status.server.link == LinkWord::Misconfigured => {
            let why =
                status.last_error.as_ref().map_or("configuration, token and server don't fit together", |error| &error.message);
            Finding::broken("configuration", format!("{why}."), "correct aesyncd.toml, then aesyncd --check and aectl reload")
        }
        Some(status) if status.server.url.is_empty() => Finding::broken(
            "configuration",
            "No server is set.",
            "write its address as server.url into aesyncd.toml, then restart the daemon",
        ),
        Some(_) => Finding::ok("configuration", "The daemon works by its configuration."),
        None => by_check(),
    }
}

/// What the installed daemon would say of it.
fn by_check() -> Finding {
    let Some(program) = program() else {
        return Finding::skipped(
            "configuration",
            "aesyncd is not installed beside aectl or on PATH.",
            "install it, or run aesyncd --check",
        );
    };
    match external::output_of(Command::new(program).arg("--check"), PATIENCE) {
        Ok(done) if done.success => Finding::ok("configuration", first_line(&done.stdout)),
        Ok(done) => Finding::broken("configuration", first_line(&done.stderr), "correct it, then aesyncd --check"),
        Err(error) => Finding::skipped("configuration", format!("Running aesyncd --check failed: {error}."), "run it by hand"),
    }
}

/// The daemon's program: the one beside this one, or the one on PATH.
fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(|dir| dir.join("aesyncd")));
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    beside.into_iter().chain(on_path.map(|dir| dir.join("aesyncd"))).find(|program| program.is_file())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("aesyncd --check said nothing").to_owned()
}
