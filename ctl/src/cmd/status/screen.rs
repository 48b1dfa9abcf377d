//! Text that is updated in place on a terminal.

use std::fmt::Write as _;

use crate::text::columns;

/// Remembers how many rows of the terminal the last text took.
#[derive(Debug, Default)]
pub(super) struct Screen {
    rows: usize,
}

impl Screen {
    /// What to write so that `text` stands where the last one stood. It is cut at the bottom when the terminal is too low, since rows that
    /// scrolled away can't be written to again.
    pub(super) fn replace(&mut self, text: &str, width: usize, height: usize) -> String {
        let mut written = String::new();
        if self.rows > 0 {
            // Writing to a string can't fail. Up to the first row, and everything from there on is erased.
            let _ = write!(written, "\x1b[{}F\x1b[J", self.rows);
        }
        self.rows = 0;
        for line in text.lines() {
            let rows = columns(&anstream::adapter::strip_str(line).to_string()).div_ceil(width.max(1)).max(1);
            if self.rows + rows >= height {
                break;
            }
            self.rows += rows;
            written.push_str(line);
            written.push('\n');
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_text_begins_where_the_last_one_began() {
        let mut screen = Screen::default();
        assert_eq!(screen.replace("a\n\nb", 80, 24), "a\n\nb\n");
        assert_eq!(screen.replace("c", 80, 24), "\x1b[3F\x1b[Jc\n");
        assert_eq!(screen.replace("d", 80, 24), "\x1b[1F\x1b[Jd\n");
    }

    #[test]
    fn wrapped_lines_count_as_the_rows_they_take_and_colours_as_none() {
        let mut screen = Screen::default();
        screen.replace("\x1b[32m12345\x1b[0m\n123456\n漢字漢", 5, 24);
        assert!(screen.replace("x", 5, 24).starts_with("\x1b[5F"));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(Screen::default().replace("1\n2\n3\n4", 80, 3), "1\n2\n");
    }
}
