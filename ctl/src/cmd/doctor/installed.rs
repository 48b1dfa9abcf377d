//! The installed aesyncd, asked without a running one: what it thinks of its configuration, and how far the server is.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aesync_protocol::endpoint::Scope;
use serde::Deserialize;

use crate::cmd::external::{self, Finished};
use crate::keeper::{Keeper, is_root};

/// `--check` reads a few files and asks nobody.
const CHECK: Duration = Duration::from_secs(10);
/// `--probe` gives the server eight seconds.
const PROBE: Duration = Duration::from_secs(12);

/// The daemon's program, called as the daemon that is meant.
#[derive(Debug)]
pub(in crate::cmd) struct Installed<'a> {
    program: PathBuf,
    keeper: &'a Keeper,
    socket: &'a Path,
}

/// What `--check` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cmd) struct Checked {
    /// The one line of a configuration that is good.
    pub(in crate::cmd) summary: Option<String>,
    pub(in crate::cmd) warnings: Vec<String>,
    pub(in crate::cmd) errors: Vec<String>,
}

/// What `--probe` says. Nothing of it when no server is named.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Probed {
    pub(super) url: Option<String>,
    pub(super) health: Option<Asked<Health>>,
    pub(super) websocket: Option<Asked<Upgraded>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Asked<T> {
    Answered(T),
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    pub(super) took_ms: u64,
    pub(super) ahead_ms: Option<i64>,
    pub(super) offers_websocket: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Upgraded {}

impl<'a> Installed<'a> {
    /// The program beside this one, or the one on PATH.
    pub(in crate::cmd) fn find(keeper: &'a Keeper, socket: &'a Path) -> Option<Self> {
        let name = if cfg!(windows) { "aesyncd.exe" } else { "aesyncd" };
        let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(|dir| dir.join(name)));
        let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        let mut programs = beside.into_iter().chain(on_path.map(|dir| dir.join(name)));
        programs.find(|program| program.is_file()).map(|program| Self { program, keeper, socket })
    }

    /// What it thinks of its configuration.
    pub(in crate::cmd) fn check(&self) -> io::Result<Checked> {
        external::output_of(self.command().arg("--check"), CHECK).map(|done| checked(&done))
    }

    /// The way to the server: the one at `url`, else the one that it would connect to. An error is one sentence.
    pub(super) fn probe(&self, url: Option<&str>, patience: Duration) -> Result<Probed, String> {
        let mut command = self.command();
        command.arg("--probe").args(url);
        let done = external::output_of(&mut command, patience.min(PROBE)).map_err(|error| error.to_string())?;
        if !done.success {
            return Err(lines_of("error: ", &done.stderr).into_iter().next().unwrap_or_else(|| first_line(&done.stderr)));
        }
        serde_json::from_str(&done.stdout).map_err(|error| format!("its answer is not what this program knows ({error})"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(name) = self.keeper.named() {
            command.args(["--instance", name]);
        }
        command.arg("--socket").arg(self.socket);
        // Somebody else would read his own.
        if self.keeper.scope == Some(Scope::System) && !is_root() && cfg!(unix) {
            let file = self.keeper.system_configuration();
            if file.try_exists().unwrap_or(true) {
                command.arg("--config").arg(file);
            }
            // As systemd tells it to the service.
            command.env("STATE_DIRECTORY", self.keeper.system_state());
        }
        command
    }
}

impl Checked {
    /// The configuration file, if there is one.
    pub(in crate::cmd) fn file(&self) -> Option<&Path> {
        let (file, _) = self.summary.as_deref()?.strip_prefix("ok: configuration ")?.rsplit_once(", server ")?;
        (file != "(defaults)").then(|| Path::new(file))
    }

    /// Where the state would be.
    pub(in crate::cmd) fn state(&self) -> Option<&Path> {
        let (_, dir) = self.summary.as_deref()?.rsplit_once(", state ")?;
        (dir != "(none)").then(|| Path::new(dir))
    }
}

fn checked(done: &Finished) -> Checked {
    let mut errors = lines_of("error: ", &done.stderr);
    if !done.success && errors.is_empty() {
        errors.push(first_line(&done.stderr));
    }
    let summary = done.success.then(|| first_line(&done.stdout));
    Checked { summary, warnings: lines_of("warning: ", &done.stderr), errors }
}

/// The lines that begin so, each with the lines that go on with it.
fn lines_of(prefix: &str, text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix(prefix) {
            found.push(rest.to_owned());
            inside = true;
        } else if line.starts_with("error: ") || line.starts_with("warning: ") {
            inside = false;
        } else if let Some(last) = found.last_mut().filter(|_| inside && !line.trim().is_empty()) {
            last.push(' ');
            last.push_str(line.trim());
        }
    }
    found
}

fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("aesyncd said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_the_file_and_the_state() {
        let checked = |summary: &str| Checked { summary: Some(summary.to_owned()), ..Checked::default() };
        let usual = checked("ok: configuration /etc/aesyncd/a, b.toml, server https://h, socket /run/s, state /var/lib/aesyncd");
        assert_eq!(usual.file(), Some(Path::new("/etc/aesyncd/a, b.toml")));
        assert_eq!(usual.state(), Some(Path::new("/var/lib/aesyncd")));
        let none = checked("ok: configuration (defaults), server (none), socket (none), state (none)");
        assert_eq!((none.file(), none.state()), (None, None));
        assert_eq!((checked("else").file(), Checked::default().state()), (None, None));
    }

    #[test]
    fn errors_and_warnings_are_told_apart_with_what_goes_on_with_them() {
        let stderr = "warning: one\n\nerror: /f:3:\n   | at x\nerror: two\nwarning: three\n".to_owned();
        let told = checked(&Finished { success: false, stdout: String::new(), stderr });
        assert_eq!(told.errors, ["/f:3: | at x", "two"]);
        assert_eq!((told.warnings, told.summary), (vec!["one".to_owned(), "three".to_owned()], None));
        let silent = checked(&Finished { success: false, stdout: String::new(), stderr: String::new() });
        assert_eq!(silent.errors, ["aesyncd said nothing"]);
    }

    #[test]
    fn a_probe_is_read() {
        let line = r#"{"url":"https://h","health":{"answered":{"tookMs":3,"aheadMs":-2}},"websocket":{"failed":"no"}}"#;
        let probed: Probed = serde_json::from_str(line).expect("a probe");
        assert_eq!(probed.health, Some(Asked::Answered(Health { took_ms: 3, ahead_ms: Some(-2), offers_websocket: None })));
        assert_eq!(probed.websocket, Some(Asked::Failed("no".to_owned())));
        let done = r#"{"websocket":{"answered":{}}}"#;
        assert_eq!(serde_json::from_str::<Probed>(done).expect("a probe").websocket, Some(Asked::Answered(Upgraded {})));
        assert_eq!(serde_json::from_str::<Probed>("{}").expect("a probe"), Probed::default());
    }
}
