//! Markdown for troff: headings, paragraphs, lists, tables and code. Links keep their text alone.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

/// What is being written.
#[derive(Default)]
struct Writer {
    /// The line under way.
    line: Vec<Inline>,
    /// Whether the next text is emphasised.
    emphasis: bool,
    strong: bool,
    /// The number that the next item of each open list has; none for bullets.
    lists: Vec<Option<u64>>,
    /// The text of the code block under way.
    code: Option<String>,
    /// The cells of the table's row under way.
    row: Vec<Vec<Inline>>,
    in_table_head: bool,
}

/// Writes the document. Its title, of the first level, is left out: the page has its own.
pub(crate) fn write(text: &str, roff: &mut Roff) {
    let mut writer = Writer::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        writer.event(event, roff);
    }
}

impl Writer {
    fn event(&mut self, event: Event<'_>, roff: &mut Roff) {
        match event {
            Event::Start(tag) => self.start(&tag, roff),
            Event::End(tag) => self.end(&tag, roff),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None if self.strong => self.line.push(bold(&*text)),
                None if self.emphasis => self.line.push(italic(&*text)),
                None => self.line.push(roman(&*text)),
            },
            Event::Code(text) => self.line.push(bold(&*text)),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>, roff: &mut Roff) {
        match tag {
            Tag::Paragraph if self.lists.is_empty() => {
                roff.control("PP", []);
            }
            Tag::List(first) => self.lists.push(*first),
            Tag::Item => self.item(roff),
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => self.code = Some(String::new()),
            Tag::Emphasis => self.emphasis = true,
            Tag::Strong => self.strong = true,
            Tag::TableHead => self.in_table_head = true,
            _ => {}
        }
    }

    fn end(&mut self, tag: &TagEnd, roff: &mut Roff) {
        match tag {
            TagEnd::Heading(level) => self.heading(*level, roff),
            TagEnd::Paragraph | TagEnd::Item => self.flush(roff),
            TagEnd::List(_) => drop(self.lists.pop()),
            TagEnd::CodeBlock => {
                if let Some(code) = self.code.take() {
                    block(&code, roff);
                }
            }
            TagEnd::Emphasis => self.emphasis = false,
            TagEnd::Strong => self.strong = false,
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.line)),
            // The names of the columns would stand alone: each row speaks for itself.
            TagEnd::TableHead => {
                self.in_table_head = false;
                self.row.clear();
            }
            TagEnd::TableRow if !self.in_table_head => self.table_row(roff),
            _ => {}
        }
    }

    fn heading(&mut self, level: HeadingLevel, roff: &mut Roff) {
        let title: String = std::mem::take(&mut self.line).into_iter().map(|part| plain(&part)).collect();
        match level {
            HeadingLevel::H1 => {}
            HeadingLevel::H2 => {
                roff.control("SH", [title.to_uppercase().as_str()]);
            }
            _ => {
                roff.control("SS", [title.as_str()]);
            }
        }
    }

    fn item(&mut self, roff: &mut Roff) {
        self.flush(roff);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}.");
                *number = number.saturating_add(1);
                mark
            }
            _ => "•".to_owned(),
        };
        roff.control("IP", [mark.as_str(), "3"]);
    }

    /// The first cell is the term; the others explain it.
    fn table_row(&mut self, roff: &mut Roff) {
        let mut cells = std::mem::take(&mut self.row).into_iter().filter(|cell| !cell.is_empty());
        let Some(term) = cells.next() else { return };
        roff.control("TP", []);
        roff.text(term);
        let mut line = Vec::new();
        for cell in cells {
            if !line.is_empty() {
                line.push(roman("; "));
            }
            line.extend(cell);
        }
        roff.text(line);
    }

    fn flush(&mut self, roff: &mut Roff) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            roff.text(line);
        }
    }
}

/// Lines as they stand.
fn block(code: &str, roff: &mut Roff) {
    roff.control("PP", []);
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in code.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}

fn plain(part: &Inline) -> String {
    match part {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut roff = Roff::new();
        write(text, &mut roff);
        roff.to_roff()
    }

    #[test]
    fn headings_lists_tables_and_code_have_their_macros() {
        let text = "# Title\n\n## Two *big*\n\nSome `code` here.\n\n- one\n- two\n\n1. first\n\n```json\n.not a macro\n```\n\n\
                    | a | b | c |\n|---|---|---|\n| `x` | y | |\n| `p` | q | r |\n\n#### `push`\n";
        let got = written(text);
        for part in [
            ".SH \"TWO BIG\"",
            "Some \\fBcode\\fR here.",
            ".IP • 3\none",
            ".IP 1. 3\nfirst",
            ".nf\n\\&.not a macro\n.fi",
            ".TP\n\\fBx\\fR\ny\n",
            ".TP\n\\fBp\\fR\nq; r\n",
            ".SS push",
        ] {
            assert!(got.contains(part), "{part:?} in:\n{got}");
        }
        assert!(!got.contains("Title"), "{got}");
    }
}
