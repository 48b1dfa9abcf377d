//! What is said when there is no log yet, or none any more: why the daemon does not start, and panics.

use std::fmt::Write as _;
use std::io::Write as _;

use super::log::stderr_is_the_journal;

/// Writes it to stderr. For the journal each line is an error: without a priority it would take them for news.
pub fn say(text: &str) {
    // Who closed stderr does not want to know.
    let _ = std::io::stderr().write_all(lines(text, are_for_the_journal()).as_bytes());
}

/// Whether the journal reads stderr.
#[must_use]
pub fn are_for_the_journal() -> bool {
    stderr_is_the_journal()
}

/// From now on panics are errors in the journal, too. Elsewhere they look as always.
pub fn of_panics() {
    if !are_for_the_journal() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        say(&format!("thread {:?}: {panic}", thread.name().unwrap_or_default()));
    }));
}

fn lines(text: &str, for_the_journal: bool) -> String {
    let mut out = String::new();
    for line in text.lines() {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{}{line}", if for_the_journal { "<3>" } else { "" });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_priority_where_the_journal_reads_and_none_has_it_elsewhere() {
        assert_eq!(lines("one\ntwo", true), "<3>one\n<3>two\n");
        assert_eq!(lines("one\ntwo\n", false), "one\ntwo\n");
    }
}
