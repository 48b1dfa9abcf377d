//! Stdout: what is a terminal, what is coloured, and tables.

mod document;
mod paint;
mod table;

use std::io::{self, IsTerminal as _, Write as _};

use aesync_protocol::Timestamp;
use serde_json::value::RawValue;

pub(crate) use document::PagedDocument;
pub(crate) use paint::Paint;
pub(crate) use table::{Align, Table};

use crate::args::ColorChoice;
use crate::exit::Failure;
use crate::text::clean_json;

/// How something is to be shown: everything that a pure function needs to know of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) paint: Paint,
    /// The terminal's width in columns; `None` when the output goes elsewhere, where nothing is cut.
    pub(crate) width: Option<usize>,
    pub(crate) now: Timestamp,
}

/// Stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    paint: Paint,
    terminal: bool,
}

impl Output {
    pub(crate) fn new(color: ColorChoice) -> Self {
        let stdout = io::stdout();
        let colored = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // Knows NO_COLOR, TERM=dumb and CLICOLOR.
            ColorChoice::Auto => anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        };
        Self { paint: Paint(colored), terminal: stdout.is_terminal() }
    }

    pub(crate) fn view(self) -> View {
        View { paint: self.paint, width: self.size().map(|(width, _)| width), now: now() }
    }

    /// The terminal's columns and rows.
    pub(crate) fn size(self) -> Option<(usize, usize)> {
        if !self.terminal {
            return None;
        }
        let (width, height) = terminal_size::terminal_size()?;
        Some((usize::from(width.0), usize::from(height.0)))
    }

    /// Writes text whose parts from elsewhere were cleaned.
    pub(crate) fn write(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Output)
    }

    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        self.write(&format!("{text}\n"))
    }

    /// Writes a document as the daemon sent it, on one line.
    pub(crate) fn json(self, json: &RawValue) -> Result<(), Failure> {
        self.line(&clean_json(json.get()))
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
