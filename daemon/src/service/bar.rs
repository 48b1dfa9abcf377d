//! How far an export or an import has come, on a terminal. Where there is none it stays silent.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);
/// The bar's own part of the line, in columns; the whole line fits 80.
const COLUMNS: u64 = 20;

/// One line on stderr, which is gone when the value is dropped.
#[derive(Debug)]
pub struct Bar {
    what: &'static str,
    begun: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Bar {
    /// A line for `what`, such as `exporting`.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, begun: Instant::now(), shown: None, is_terminal: std::io::stderr().is_terminal() }
    }

    /// Shows `done` of `total`, at most ten times a second.
    pub fn show(&mut self, done: u64, total: u64) {
        let now = Instant::now();
        if !self.is_terminal || self.shown.is_some_and(|shown| now < shown + EVERY) {
            return;
        }
        self.shown = Some(now);
        // Whoever closed stderr does not want to know.
        let _ = write!(std::io::stderr(), "\r{}\x1b[K", line(self.what, done, total, now - self.begun));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// `exporting  ━━━━━━━━━━╸─────────  12,345 of 24,000  4,100/s  3 s left`
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let total = total.max(done);
    let filled = done.saturating_mul(COLUMNS).checked_div(total).unwrap_or(0);
    let bar: String = (0..COLUMNS)
        .map(|column| match column.cmp(&filled) {
            std::cmp::Ordering::Less => '━',
            std::cmp::Ordering::Equal => '╸',
            std::cmp::Ordering::Greater => '─',
        })
        .collect();
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.saturating_mul(1000) / millis;
    let left = (total - done).checked_div(rate).map(|seconds| match seconds {
        0..=119 => format!("  {seconds} s left"),
        _ => format!("  {} min left", seconds / 60),
    });
    format!("{what}  {bar}  {} of {}  {}/s{}", grouped(done), grouped(total), grouped(rate), left.unwrap_or_default())
}

/// `1,204`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_counts_rate_and_the_time_that_is_left() {
        let seconds = Duration::from_secs;
        for (done, total, elapsed, text) in [
            (0, 2_000, seconds(0), "exporting  ╸───────────────────  0 of 2,000  0/s"),
            (1_000, 2_000, seconds(2), "exporting  ━━━━━━━━━━╸─────────  1,000 of 2,000  500/s  2 s left"),
            (2_000, 2_000, seconds(4), "exporting  ━━━━━━━━━━━━━━━━━━━━  2,000 of 2,000  500/s  0 s left"),
            (2_001, 2_000, seconds(4), "exporting  ━━━━━━━━━━━━━━━━━━━━  2,001 of 2,001  500/s  0 s left"),
            (0, 0, seconds(0), "exporting  ╸───────────────────  0 of 0  0/s"),
        ] {
            assert_eq!(line("exporting", done, total, elapsed), text);
        }
        let longest = line("importing", 1_000_000, 9_000_000, seconds(999));
        assert!(longest.ends_with("1,001/s  133 min left") && longest.chars().count() <= 80, "{longest}");
    }
}
