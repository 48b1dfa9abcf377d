//! One entry: a conflict side by side with the server's row, or what is sent and why it was refused.

use aesync_protocol::Record;
use aesync_protocol::response::Entry;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Paragraph};

use super::model::Model;
use super::theme::Theme;
use crate::text::{clean, columns, cut, value};

/// The column of the fields' names.
const NAME: usize = 16;
const ABSENT: &str = "(absent)";

pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, theme: Theme, area: Rect) {
    let width = usize::from(area.width);
    let (mut head, body) = if let Some(conflict) = model.open_conflict() {
        let title = format!("CONFLICT  entry {}  {} {}", conflict.entry, clean(&conflict.entity_type), clean(&conflict.id));
        let names = Line::styled(beside("FIELD", "SENT", "SERVER", ' ', width), theme.dim());
        (vec![Line::styled(title, theme.head()), names], sides(&conflict.sent, &conflict.server, theme, width))
    } else if let Some(entry) = model.open_entry() {
        (entry_head(entry, theme), fields(&entry.data, width))
    } else {
        (vec![Line::raw("This entry is done; Esc goes back.")], Vec::new())
    };
    let room = usize::from(area.height).saturating_sub(head.len());
    let scrolled = model.open.map_or(0, |(_, scrolled)| scrolled).min(body.len().saturating_sub(room));
    if let Some((_, at)) = &mut model.open {
        *at = scrolled;
    }
    head.extend(body.into_iter().skip(scrolled).take(room));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(head), area);
}

fn entry_head(entry: &Entry, theme: Theme) -> Vec<Line<'static>> {
    let title = format!("ENTRY {}  {}  {} {}", entry.entry, entry.state, clean(&entry.entity_type), clean(&entry.id));
    let mut head = vec![Line::styled(title, theme.head())];
    if let Some(error) = &entry.last_error {
        head.push(Line::styled(clean(&error.message).into_owned(), theme.error()));
        head.push(Line::styled(format!("correct it with: aectl outbox edit {}", entry.entry), theme.dim()));
    }
    head
}

fn fields(record: &Record, width: usize) -> Vec<Line<'static>> {
    record
        .iter()
        .map(|(name, field)| Line::raw(cut(&format!("{:<NAME$}  {}", clean(name), value(field)), width).into_owned()))
        .collect()
}

/// What was sent beside what the server has; a sign marks the fields that differ. They come first.
fn sides(sent: &Record, server: &Record, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let mut differing = Vec::new();
    let mut equal = Vec::new();
    for (name, mine) in sent {
        let theirs = server.get(name);
        let line = |sign| beside(&clean(name), &value(mine), &theirs.map_or_else(|| ABSENT.to_owned(), value), sign, width);
        if theirs == Some(mine) {
            equal.push(Line::styled(line(' '), theme.dim()))
        } else {
            differing.push(Line::styled(line('≠'), theme.warning()))
        }
    }
    for (name, theirs) in server.iter().filter(|(name, _)| !sent.contains_key(*name)) {
        equal.push(Line::styled(beside(&clean(name), "(not sent)", &value(theirs), ' ', width), theme.dim()));
    }
    differing.extend(equal);
    differing
}

/// Three columns and a sign, each cut to its own.
fn beside(name: &str, left: &str, right: &str, sign: char, width: usize) -> String {
    let side = width.saturating_sub(NAME + 6) / 2;
    let padded = |text: &str, width: usize| {
        let shown = cut(text, width);
        format!("{shown}{}", " ".repeat(width.saturating_sub(columns(&shown))))
    };
    format!("{sign} {}  {}  {}", padded(name, NAME), padded(left, side), cut(right, side))
}
