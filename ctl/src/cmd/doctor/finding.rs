//! What an examination found, and how it is shown.

use serde::Serialize;

use crate::keeper::Keeper;
use crate::output::View;
use crate::text::{clean, wrap};

/// The columns of the sign, the name and the gaps behind them.
const INDENT: usize = 17;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cmd) enum Level {
    /// As it should be.
    Ok,
    /// Could not be looked at from here.
    Skipped,
    /// Works, and deserves a look.
    Warning,
    /// Does not work.
    Broken,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cmd) struct Finding {
    /// A stable name of what was looked at.
    pub(in crate::cmd) check: &'static str,
    pub(in crate::cmd) level: Level,
    /// One sentence.
    pub(in crate::cmd) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cmd) next: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into(), next: None }
    }

    pub(super) fn skipped(check: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, level: Level::Skipped, message: message.into(), next: Some(next.into()) }
    }

    pub(super) fn warning(check: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, message: message.into(), next: Some(next.into()) }
    }

    pub(super) fn broken(check: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, level: Level::Broken, message: message.into(), next: Some(next.into()) }
    }

    /// With what to do about it said of this daemon.
    pub(super) fn addressed(self, keeper: &Keeper) -> Self {
        Self { next: self.next.map(|next| keeper.addressed(&next)), ..self }
    }
}

/// A line for each finding, what to do below it, and a sentence at the end.
pub(in crate::cmd) fn list_text(findings: &[Finding], view: &View) -> String {
    let paint = view.paint;
    let mut text = String::new();
    for finding in findings {
        let sign = match finding.level {
            Level::Ok => paint.green("✓"),
            Level::Skipped => paint.dim("-"),
            Level::Warning => paint.orange("!"),
            Level::Broken => paint.red("✕"),
        };
        let line = format!("{sign} {:<14} {}", finding.check, clean(&finding.message));
        text.push_str(&(wrap(&line, INDENT, view.width) + "\n"));
        if let Some(next) = &finding.next {
            let line = format!("{:INDENT$}→ {}", "", clean(next));
            text.push_str(&(wrap(&line, INDENT + 2, view.width) + "\n"));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let verdict = match (count(Level::Broken), count(Level::Warning)) {
        (0, 0) => "Nothing is wrong.".to_owned(),
        (0, warnings) => format!("It works; worth a look: {warnings}."),
        (broken, _) => format!("Broken: {broken}. Begin with the first ✕."),
    };
    text + "\n" + &wrap(&verdict, 0, view.width) + "\n"
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;

    use super::*;
    use crate::output::Paint;

    #[test]
    fn each_finding_is_a_line_with_what_to_do_below_it() {
        let view = View { paint: Paint(false), width: None, now: Timestamp::EPOCH };
        let findings = [
            Finding::ok("socket", "/run/s is a socket."),
            Finding::warning("disk", "40 MiB are free.", "make room\u{1b}[2J"),
            Finding::broken("service", "aesyncd is not running.", "systemctl start aesyncd"),
            Finding::skipped("store", "Only the daemon can read it.", "start it"),
        ];
        insta::assert_snapshot!(list_text(&findings, &view));
        assert!(list_text(&findings[..1], &view).ends_with("\n\nNothing is wrong.\n"));
        assert!(list_text(&findings[..2], &view).ends_with("worth a look: 1.\n"));
    }
}
