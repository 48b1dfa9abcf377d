//! What the tour says, and in which colours.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use aesync_protocol::StatusWord;

/// Between two steps. It is longer than the second that lies between two pulls (rule R35), so that the times shown are not that gap.
const PAUSE: Duration = Duration::from_millis(1_100);

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const BLUE: &str = "34";
const ORANGE: &str = "38;5;208";
const RED: &str = "31";

/// Writes to stdout, in colour on a terminal only.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    colored: bool,
    start: Instant,
    steps: usize,
}

impl Voice {
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self { colored: wanted && std::io::stdout().is_terminal(), start: Instant::now(), steps: 0 }
    }

    pub(crate) fn welcome(&self, url: &str, socket: &Path) {
        say(&format!("{}\n", self.paint(BOLD, "A tour of aesync: a server and a daemon in this process, on temporary state.")));
        say(&format!("  server  {url}"));
        say(&format!("  socket  {}", socket.display()));
    }

    /// The next thing to see, after a moment to read what came before it.
    pub(crate) fn step(&mut self, title: &str) {
        if self.steps > 0 {
            std::thread::sleep(PAUSE);
        }
        self.steps += 1;
        say(&format!("\n{}", self.paint(BOLD, &format!("{}. {title}", self.steps))));
    }

    /// Where in the tour one is.
    pub(crate) fn whereabouts(&self) -> String {
        format!("in step {}", self.steps)
    }

    /// What is done to the daemon or behind its back.
    pub(crate) fn act(&self, what: impl Display) {
        self.line(&format!("  {what}"));
    }

    /// What the daemon says to everyone who listens.
    pub(crate) fn hear(&self, what: impl Display) {
        self.line(&format!("{} {what}", self.paint(DIM, "›")));
    }

    /// The indicator, as apps show it.
    pub(crate) fn indicate(&self, word: StatusWord) {
        self.line(&match word {
            StatusWord::Synced => self.paint(GREEN, "● Synced"),
            StatusWord::Syncing => self.paint(BLUE, "⟳ Syncing…"),
            StatusWord::Pending => self.paint(ORANGE, "▲ Pending"),
            StatusWord::Offline => self.paint(RED, "✕ Offline"),
        });
    }

    pub(crate) fn summary(&self) {
        let seconds = self.start.elapsed().as_secs_f64();
        say(&format!("\n{}", self.paint(BOLD, &format!("All of it happened, in {seconds:.1} s."))));
    }

    /// Which commands to try.
    pub(crate) fn invite(&self, socket: &Path, url: &str, tenant: &str) {
        let aectl = format!("cargo run -q -p aectl -- --socket {}", socket.display());
        let row = r#"{"email":"you@example.com","name":"You"}"#;
        let elsewhere = format!(
            r#"{{"edit":"insert","tenant":"{tenant}","entityType":"end_user","row":{{"email":"new@example.com","name":"New"}}}}"#
        );
        let mut text = String::from("\nThe daemon stays up until Ctrl-C. Try in another terminal, in this directory:\n\n");
        for command in [
            format!("{aectl} status"),
            format!("{aectl} list end_user"),
            format!("{aectl} watch"),
            format!("echo '{row}' | {aectl} push - --type end_user --wait confirmed"),
        ] {
            writeln!(text, "  {command}").ok();
        }
        text.push_str("\nA change made elsewhere, for `watch` to see:\n\n");
        write!(text, "  curl -sS -H 'content-type: application/json' -d '{elsewhere}' {url}/__dev/rows").ok();
        say(&text);
    }

    pub(crate) fn goodbye(&self, once: bool) {
        if !once {
            say("\nStopped; the temporary state is gone.");
        }
    }

    pub(crate) fn failure(&self, error: &anyhow::Error) {
        writeln!(std::io::stderr(), "\nThe tour failed: {error:#}").ok();
    }

    fn line(&self, text: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        say(&format!("{}  {text}", self.paint(DIM, &format!("{seconds:5.1} s"))));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A closed stdout (`| head`) is no reason to stop the tour.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).ok();
}
