//! What happens, newest last, and how far a long operation has come.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::cmd::top::model::Model;
use crate::cmd::top::theme::Theme;
use crate::cmd::watch::{Told, progress_text, tell};
use crate::output::{Paint, View};

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let progress = model.progress.as_ref().map(|progress| format!("  {}", progress_text(progress))).unwrap_or_default();
    let mut lines = vec![Line::styled(format!("LIVE{progress}"), theme.head())];
    let view = View { paint: Paint(false), width: None, now: model.now };
    let room = usize::from(area.height).saturating_sub(1);
    for (at, event) in model.lines.iter().skip(model.lines.len().saturating_sub(room)) {
        let Told { channel, head, rest, .. } = tell(event, &view);
        let time = at.to_string();
        let time = time.get(11..19).unwrap_or(&time).to_owned();
        lines.push(Line::from(vec![
            Span::styled(format!("{time}Z  {channel:<12}  "), theme.dim()),
            Span::raw(format!("{head}  {rest}")),
        ]));
    }
    if model.lines.is_empty() {
        lines.push(Line::styled("Nothing has happened yet.", theme.dim()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}
