//! Colour, where it is wanted.

use std::fmt::Display;

use anstyle::{Ansi256Color, AnsiColor, Color, Style};

/// The indicator's orange, which the sixteen basic colours lack.
const ORANGE: Color = Color::Ansi256(Ansi256Color(208));

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn green(self, text: impl Display) -> String {
        self.colored(AnsiColor::Green, text)
    }

    pub(crate) fn blue(self, text: impl Display) -> String {
        self.colored(AnsiColor::Blue, text)
    }

    pub(crate) fn orange(self, text: impl Display) -> String {
        self.colored(ORANGE, text)
    }

    pub(crate) fn red(self, text: impl Display) -> String {
        self.colored(AnsiColor::Red, text)
    }

    /// What is there to be looked up rather than read.
    pub(crate) fn dim(self, text: impl Display) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    pub(crate) fn bold(self, text: impl Display) -> String {
        self.styled(Style::new().bold(), text)
    }

    fn colored(self, color: impl Into<Color>, text: impl Display) -> String {
        self.styled(Style::new().fg_color(Some(color.into())), text)
    }

    fn styled(self, style: Style, text: impl Display) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}
