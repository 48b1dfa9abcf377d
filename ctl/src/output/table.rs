//! Aligned columns.

use super::View;
use crate::text::{columns, cut, fill};

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table whose last column may be cut to the terminal's width. Cells are without colour and must have been cleaned.
#[derive(Debug)]
pub(crate) struct Table {
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Row>,
    indent: usize,
    headless: bool,
    yielding: Option<usize>,
    wrapping: bool,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    below: Option<String>,
}

const GAP: usize = 2;
/// A last column narrower than this is not worth cutting for.
const NARROWEST: usize = 10;
/// What is left of a column that yields: the first part of a UUID, and an ellipsis.
const YIELDED: usize = 9;

/// The longest word that is kept whole while there is room: a UUID.
const LONGEST: usize = 36;

impl Table {
    pub(crate) fn new(heads: &[(&'static str, Align)]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new(), indent: 0, headless: false, yielding: None, wrapping: false }
    }

    pub(crate) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Rows that continue an earlier table.
    pub(crate) fn continued(mut self, continued: bool) -> Self {
        self.headless = continued;
        self
    }

    /// A column that is cut, too, where cutting the last one is not enough: one that nobody has to copy.
    pub(crate) fn yielding(mut self, column: usize) -> Self {
        self.yielding = Some(column);
        self
    }

    /// Nothing is cut: the columns behind the first share what is there, and their cells take as many lines as they need.
    pub(crate) fn wrapping(mut self) -> Self {
        self.wrapping = true;
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(Row { cells, below: None });
    }

    /// A line below the last row that belongs to it.
    pub(crate) fn below(&mut self, line: String) {
        if let Some(row) = self.rows.last_mut() {
            row.below = Some(line);
        }
    }

    /// The lines, each with its end. Columns that are empty in every row are left out.
    pub(crate) fn text(&self, view: &View) -> String {
        let used: Vec<usize> =
            (0..self.heads.len()).filter(|column| self.rows.iter().any(|row| !cell(&row.cells, *column).is_empty())).collect();
        let mut widths: Vec<usize> = used.iter().map(|column| self.width_of(*column)).collect();
        if let (Some(total), true, Some((first, others))) = (view.width, self.wrapping, widths.split_first_mut()) {
            let words: Vec<usize> = used.iter().skip(1).map(|column| self.longest_word_of(*column)).collect();
            share(others, &words, total.saturating_sub(self.indent + *first + others.len() * GAP));
        } else if let (Some(total), Some((last, others))) = (view.width, widths.split_last_mut()) {
            let before = |others: &[usize]| self.indent + others.iter().map(|width| width + GAP).sum::<usize>();
            let yielding = used.iter().position(|column| Some(*column) == self.yielding);
            let missing = (before(others) + (*last).min(NARROWEST)).saturating_sub(total);
            if let Some(width) = yielding.and_then(|place| others.get_mut(place)) {
                *width = (*width).min(width.saturating_sub(missing).max(YIELDED));
            }
            *last = (*last).min(total.saturating_sub(before(others)).max(NARROWEST));
        }
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        let mut text = if self.headless { String::new() } else { self.line(&heads, &used, &widths, |line| view.paint.dim(line)) };
        for row in &self.rows {
            if self.wrapping {
                for line in lines_of(&row.cells, &used, &widths) {
                    text.push_str(&self.line(&line, &used, &widths, str::to_owned));
                }
            } else {
                text.push_str(&self.line(&row.cells, &used, &widths, str::to_owned));
            }
            if let Some(below) = &row.below {
                let indent = self.indent + widths.first().copied().unwrap_or_default() + GAP;
                let below = view.width.map_or(below.into(), |total| cut(below, total.saturating_sub(indent)));
                text.push_str(&format!("{}{}\n", " ".repeat(indent), view.paint.dim(below)));
            }
        }
        text
    }

    fn width_of(&self, column: usize) -> usize {
        let head = self.heads.get(column).map_or(0, |(head, _)| columns(head));
        self.rows.iter().map(|row| columns(cell(&row.cells, column))).fold(head, usize::max)
    }

    fn longest_word_of(&self, column: usize) -> usize {
        let words = self.rows.iter().flat_map(|row| cell(&row.cells, column).split(' ').map(columns));
        // What is longer is no word that anybody copies.
        words.filter(|columns| *columns <= LONGEST).max().unwrap_or(0)
    }

    fn line(&self, row: &[String], used: &[usize], widths: &[usize], paint: impl Fn(&str) -> String) -> String {
        let mut line = String::new();
        for (column, width) in used.iter().zip(widths) {
            let shown = cut(cell(row, *column), *width);
            let padding = " ".repeat(width.saturating_sub(columns(&shown)));
            match self.heads.get(*column).map(|(_, align)| *align) {
                Some(Align::Right) => line.extend([&padding, &*shown]),
                _ => line.extend([&*shown, &padding]),
            }
            line.push_str(&" ".repeat(GAP));
        }
        format!("{}{}\n", " ".repeat(self.indent), paint(line.trim_end()))
    }
}

/// Takes from the widest until all of them fit. Where there is room, no column gets less than its longest word takes, as an id.
fn share(widths: &mut [usize], words: &[usize], mut room: usize) {
    let mut by_width: Vec<(&mut usize, usize)> = widths.iter_mut().zip(words.iter().copied()).collect();
    by_width.sort_unstable();
    let mut others = by_width.len();
    for (width, word) in by_width {
        let most = room.saturating_sub((others - 1) * NARROWEST);
        *width = (*width).min((room / others).max(word.min(most)).max(NARROWEST));
        room = room.saturating_sub(*width);
        others -= 1;
    }
}

/// A row as the lines that its cells take.
fn lines_of(row: &[String], used: &[usize], widths: &[usize]) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    for (column, width) in used.iter().zip(widths) {
        for (number, part) in fill(cell(row, *column), *width).into_iter().enumerate() {
            if lines.len() == number {
                lines.push(vec![String::new(); row.len()]);
            }
            if let Some(cell) = lines.get_mut(number).and_then(|line| line.get_mut(*column)) {
                *cell = part;
            }
        }
    }
    lines
}

fn cell(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;

    use super::*;
    use crate::output::Paint;

    fn table() -> Table {
        let mut table =
            Table::new(&[("TYPE", Align::Left), ("EMPTY", Align::Left), ("COUNT", Align::Right), ("TEXT", Align::Left)]);
        table.row(vec!["end_user".into(), String::new(), "7".into(), "a long text that goes on".into()]);
        table.row(vec!["漢字".into(), String::new(), "1,204".into(), "x".into()]);
        table
    }

    fn view(width: Option<usize>) -> View {
        View { paint: Paint(false), width, now: Timestamp::EPOCH }
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        assert_eq!(
            table().text(&view(None)),
            "TYPE      COUNT  TEXT\nend_user      7  a long text that goes on\n漢字      1,204  x\n"
        );
    }

    #[test]
    fn where_that_is_not_enough_another_column_yields() {
        let mut table = Table::new(&[("N", Align::Right), ("ID", Align::Left), ("TEXT", Align::Left)]).yielding(1);
        table.row(vec!["1".into(), "0af0c1d2-aaaa-4bbb".into(), "a long text".into()]);
        assert_eq!(table.text(&view(Some(33))), "N  ID                  TEXT\n1  0af0c1d2-aaaa-4bbb  a long te…\n");
        assert_eq!(table.text(&view(Some(28))), "N  ID             TEXT\n1  0af0c1d2-aaa…  a long te…\n");
        assert_eq!(table.text(&view(Some(10))), "N  ID         TEXT\n1  0af0c1d2…  a long te…\n");
    }

    #[test]
    fn columns_that_wrap_share_what_is_there() {
        let mut table = Table::new(&[("FIELD", Align::Left), ("SENT", Align::Left), ("SERVER", Align::Left)]).wrapping();
        table.row(vec!["title".into(), "a long text that goes on".into(), "0af0c1d2-aaaa-4bbb-8ccc".into()]);
        table.row(vec!["n".into(), "1".into(), String::new()]);
        assert_eq!(
            table.text(&view(Some(30))),
            "FIELD  SENT        SERVER\ntitle  a long      0af0c1d2-aa\n       text that   aa-4bbb-8cc\n       \
             goes on     c\nn      1\n"
        );
        assert_eq!(table.text(&view(Some(80))), table.text(&view(None)));
    }

    #[test]
    fn a_line_below_a_row_is_cut_to_the_terminal() {
        let mut table = table();
        table.below("refused: a text that is longer than this".into());
        let text = table.text(&view(Some(30)));
        assert!(text.ends_with("漢字      1,204  x\n          refused: a text tha…\n"), "{text}");
    }

    #[test]
    fn the_last_column_is_cut_to_the_terminal() {
        assert_eq!(table().text(&view(Some(30))), "TYPE      COUNT  TEXT\nend_user      7  a long text …\n漢字      1,204  x\n");
    }
}
