//! `aesyncd.toml(5)`, from the commented configuration that the package installs.

use roff::{Roff, bold, roman};

use crate::page::{begin, heading, see_also};

const EXAMPLE: &str = include_str!("../../aesyncd.toml");

/// A piece of the example.
#[derive(Debug, PartialEq)]
enum Piece {
    /// `[section]`
    Section(String),
    /// `#key = value`, without the `#`
    Key(String),
    /// Lines of prose that belong together.
    Prose(String),
}

/// The page.
pub(crate) fn page() -> String {
    let mut roff = begin("aesyncd.toml", "5", "the configuration of aesyncd");
    heading(&mut roff, "DESCRIPTION");
    let mut prose: Option<String> = None;
    for piece in pieces(EXAMPLE) {
        match piece {
            Piece::Prose(text) => {
                flush(&mut roff, prose.replace(text));
            }
            Piece::Section(name) => {
                // What stands right above a section is about the whole of it.
                let about = prose.take();
                heading(&mut roff, &name);
                flush(&mut roff, about);
            }
            Piece::Key(key) => {
                roff.control("TP", []);
                roff.text([bold(key)]);
                if let Some(text) = prose.take() {
                    roff.text([roman(text)]);
                }
            }
        }
    }
    flush(&mut roff, prose);
    see_also(&mut roff, &["aesyncd(8)", "aectl(1)"]);
    roff.render()
}

fn flush(roff: &mut Roff, prose: Option<String>) {
    if let Some(text) = prose {
        roff.control("PP", []);
        roff.text([roman(text)]);
    }
}

fn pieces(example: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open = false;
    for line in example.lines() {
        if let Some(prose) = line.strip_prefix("# ") {
            match pieces.last_mut() {
                Some(Piece::Prose(text)) if open => {
                    text.push(' ');
                    text.push_str(prose);
                }
                _ => pieces.push(Piece::Prose(prose.to_owned())),
            }
            open = true;
            continue;
        }
        open = false;
        if line.starts_with('[') {
            pieces.push(Piece::Section(line.to_owned()));
        } else if let Some(key) = line.strip_prefix('#').filter(|key| !key.is_empty()) {
            pieces.push(Piece::Key(key.to_owned()));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_comment_belong_together_and_to_the_key_below() {
        let text = "# About\n# all.\n\n[a]\n# What it\n# is.\n#key = 1\n#other = 2\n";
        let prose = |text: &str| Piece::Prose(text.to_owned());
        let key = |text: &str| Piece::Key(text.to_owned());
        let expected =
            [prose("About all."), Piece::Section("[a]".to_owned()), prose("What it is."), key("key = 1"), key("other = 2")];
        assert_eq!(pieces(text), expected);
    }
}
