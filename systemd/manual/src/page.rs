//! What all pages have in common.

use roff::{Roff, bold, roman};

use crate::VERSION;

/// A page with its title and what it is for.
pub(crate) fn begin(name: &str, section: &str, purpose: &str) -> Roff {
    let mut roff = Roff::new();
    let source = format!("aesync {VERSION}");
    roff.control("TH", [name, section, "", &source, ""]);
    heading(&mut roff, "NAME");
    roff.text([roman(format!("{name} - {purpose}"))]);
    roff
}

/// A section.
pub(crate) fn heading(roff: &mut Roff, title: &str) {
    roff.control("SH", [title]);
}

/// A term and its explanation.
pub(crate) fn entry(roff: &mut Roff, term: &str, explanation: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(explanation)]);
}

/// The last section: other pages, such as `aectl(1)`.
pub(crate) fn see_also(roff: &mut Roff, pages: &[&str]) {
    heading(roff, "SEE ALSO");
    let mut line = Vec::new();
    for (index, page) in pages.iter().enumerate() {
        let (name, section) = page.split_once('(').unwrap_or((page, ""));
        let comma = if index + 1 < pages.len() { ", " } else { "" };
        line.extend([bold(name), roman(format!("({section}{comma}"))]);
    }
    roff.text(line);
}
