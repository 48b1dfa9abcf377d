//! Colours of the full screen; without colour, weight says the same.

use aesync_protocol::StatusWord;
use ratatui::style::{Color, Modifier, Style};

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    colored: bool,
}

impl Theme {
    pub(super) const fn new(colored: bool) -> Self {
        Self { colored }
    }

    /// The indicator's colour.
    pub(super) fn indicator(self, word: StatusWord) -> Style {
        let style = match word {
            StatusWord::Synced => self.foreground(Color::Green),
            StatusWord::Syncing => self.foreground(Color::Blue),
            // The indicator's orange, which the sixteen basic colours lack.
            StatusWord::Pending => self.foreground(Color::Indexed(208)),
            StatusWord::Offline => self.foreground(Color::Red),
        };
        style.add_modifier(Modifier::BOLD)
    }

    pub(super) fn warning(self) -> Style {
        self.foreground(Color::Indexed(208))
    }

    pub(super) fn error(self) -> Style {
        self.foreground(Color::Red)
    }

    pub(super) fn chart(self) -> Style {
        self.foreground(Color::Cyan)
    }

    /// What is there to be looked up rather than read.
    pub(super) fn dim(self) -> Style {
        if self.colored { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    pub(super) fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn foreground(self, color: Color) -> Style {
        if self.colored { Style::new().fg(color) } else { Style::new() }
    }
}
