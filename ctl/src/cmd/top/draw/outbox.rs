//! What waits to reach the server, with a cursor.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::cmd::outbox::op;
use crate::cmd::top::model::Model;
use crate::cmd::top::theme::Theme;
use crate::output::{Align, Paint, Table, View};
use crate::text::{ago, bytes, clean, number};

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let mut lines = vec![Line::styled(title(model), theme.head())];
    let room = usize::from(area.height).saturating_sub(3);
    let first = (model.selected + 1).saturating_sub(room);
    let mut table = Table::new(&[
        ("ENTRY", Align::Right),
        ("STATE", Align::Left),
        ("OP", Align::Left),
        ("TYPE", Align::Left),
        ("QUEUED", Align::Left),
        ("ID", Align::Left),
    ]);
    for entry in model.entries.iter().skip(first).take(room) {
        table.row(vec![
            entry.entry.to_string(),
            entry.state.to_string(),
            op(entry.op).to_owned(),
            clean(&entry.entity_type).into_owned(),
            ago(model.now, entry.enqueued_at),
            clean(&entry.id).into_owned(),
        ]);
    }
    if model.entries.is_empty() {
        lines.push(Line::styled("Nothing waits.", theme.dim()));
    } else {
        let view = View { paint: Paint(false), width: Some(usize::from(area.width)), now: model.now };
        for (index, line) in table.text(&view).lines().enumerate() {
            let style = match index.checked_sub(1) {
                None => theme.dim(),
                Some(row) if row + first == model.selected => theme.selected(),
                Some(_) => ratatui::style::Style::new(),
            };
            lines.push(Line::styled(line.to_owned(), style));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The counts of all states that are not empty.
fn title(model: &Model) -> String {
    let Some(status) = &model.status else { return "OUTBOX".to_owned() };
    let outbox = &status.outbox;
    let counts = [
        (outbox.pending, "pending"),
        (outbox.sent, "sent"),
        (outbox.in_doubt, "in doubt"),
        (outbox.acked, "to confirm"),
        (outbox.quarantined, "refused"),
        (outbox.blocked, "blocked"),
        (outbox.conflicts, "in conflict"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{} {name}", number(*count))).collect();
    let size = if outbox.bytes > 0 { format!(" ({})", bytes(outbox.bytes)) } else { String::new() };
    format!("OUTBOX  {}{size}", counts.join(", ")).trim_end().to_owned()
}
