//! The screen: the indicator, charts, types, outbox and what happens, from 80 by 24 on.

mod live;
mod outbox;

use std::collections::VecDeque;

use aesync_protocol::{Status, StatusWord};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Sparkline};

use super::detail;
use super::model::Model;
use super::theme::Theme;
use crate::cmd::status::report::{indicator, link_text, notes, why};
use crate::output::{Align, Paint, Table, View};
use crate::text::{ago, clean, count, number, round_trip};

const HELP: &str = "\
\x20s      push what waits and pull everything
 p      pause, or end a pause
 ↑ ↓    choose an entry of the outbox (or j, k)
 Enter  open it
 r      send the chosen entry again now, a refused one, too
 c      open the oldest conflict: sent beside the server's
 1 2    in a conflict: the server's row stays, or the local change is sent again
 Esc q  back, or leave

 Any key closes this.";

pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, theme: Theme) {
    let area = frame.area();
    let [head, charts, types, outbox, live, foot] = rows(model, area);
    frame.render_widget(head_lines(model, theme), head);
    draw_charts(frame, model, theme, charts);
    if let Some(status) = &model.status {
        frame.render_widget(types_lines(status, model, theme, types), types);
    }
    if model.open.is_some() {
        let body = Rect { height: outbox.height + live.height + types.height, ..types };
        detail::draw(frame, model, theme, body);
    } else {
        outbox::draw(frame, model, theme, outbox);
        live::draw(frame, model, theme, live);
    }
    frame.render_widget(foot_lines(model, theme), foot);
    if model.help {
        let height = 12.min(area.height);
        let middle = Rect { y: area.y + (area.height - height) / 2, height, ..area };
        frame.render_widget(Clear, middle);
        frame.render_widget(Paragraph::new(format!(" aectl top: keys\n\n{HELP}")).style(theme.head()), middle);
    }
}

fn rows(model: &Model, area: Rect) -> [Rect; 6] {
    let types = model.status.as_ref().map_or(0, |status| status.types.len().min(6) + 2);
    let attention = model.status.as_ref().map_or(0, |status| status.attention.len().min(3));
    Layout::vertical([
        Constraint::Length(2 + u16::try_from(attention).unwrap_or(3)),
        Constraint::Length(3),
        Constraint::Length(u16::try_from(types).unwrap_or(8)),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(2),
    ])
    .areas(area)
}

/// The indicator and why, the link, and what needs a person.
fn head_lines(model: &Model, theme: Theme) -> Paragraph<'static> {
    if let Some(lost) = &model.lost {
        let dead = Line::styled("✕ no daemon: looking for it every second", theme.indicator(StatusWord::Offline));
        return Paragraph::new(vec![dead, Line::raw(format!("  {}", clean(lost)))]);
    }
    let Some(status) = &model.status else { return Paragraph::new("… connecting to aesyncd") };
    let mut first = vec![Span::styled(indicator(status.status, Paint(false)), theme.indicator(status.status))];
    let server = match &status.server.tenant_id {
        Some(tenant) => format!("  {}, tenant {}", clean(&status.server.url), clean(tenant)),
        None => format!("  {}", clean(&status.server.url)),
    };
    first.push(Span::styled(server, theme.dim()));
    let second = why(status, model.now).unwrap_or_else(|| format!("link {}", link_text(status, model.now)));
    let mut lines = vec![Line::from(first), Line::raw(format!("  {second}"))];
    for attention in status.attention.iter().take(3) {
        lines.push(Line::styled(format!("  ! {}", clean(&attention.message)), theme.warning()));
    }
    Paragraph::new(lines)
}

fn draw_charts(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let [left, middle, right] = Layout::horizontal([Constraint::Fill(1); 3]).spacing(2).areas(area);
    let rtt = model.status.as_ref().filter(|_| model.lost.is_none()).and_then(|status| status.server.rtt_ms);
    let rtt = rtt.map_or_else(|| "no round trip".to_owned(), round_trip);
    chart(frame, theme, left, &rtt, &model.round_trips);
    chart(frame, theme, middle, &format!("sent {}/s", number(model.sent.last())), &model.sent.past);
    chart(frame, theme, right, &format!("received {}/s", number(model.received.last())), &model.received.past);
}

/// The newest values, as many as there are columns.
fn chart(frame: &mut Frame<'_>, theme: Theme, area: Rect, title: &str, values: &VecDeque<u64>) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Line::styled(title.to_owned(), theme.head()), head);
    let newest: Vec<u64> = values.iter().skip(values.len().saturating_sub(usize::from(body.width))).copied().collect();
    frame.render_widget(Sparkline::default().data(newest).style(theme.chart()), body);
}

fn types_lines(status: &Status, model: &Model, theme: Theme, area: Rect) -> Paragraph<'static> {
    let mut table = Table::new(&[("TYPE", Align::Left), ("RECORDS", Align::Right), ("PULLED", Align::Left), ("", Align::Left)]);
    for (name, state) in &status.types {
        let pulled = state.last_pulled_at.map_or_else(|| "never".to_owned(), |at| ago(model.now, at));
        table.row(vec![clean(name).into_owned(), number(state.records), pulled, notes(state)]);
    }
    let view = View { paint: Paint(false), width: Some(usize::from(area.width)), now: model.now };
    let shown = usize::from(area.height).saturating_sub(1);
    let mut lines: Vec<Line<'static>> = table.text(&view).lines().take(shown).map(|line| Line::raw(line.to_owned())).collect();
    let left_out = (status.types.len() + 1).saturating_sub(lines.len());
    if left_out > 0 && lines.len() > 1 {
        lines.pop();
        lines.push(Line::styled(format!("and {}", count(left_out as u64 + 1, "more type", "more types")), theme.dim()));
    }
    if let Some(head) = lines.first_mut() {
        *head = std::mem::take(head).style(theme.dim());
    }
    Paragraph::new(lines)
}

/// What became of the last key, and the keys.
fn foot_lines(model: &Model, theme: Theme) -> Paragraph<'static> {
    let keys = match (model.open_conflict(), model.open) {
        (Some(_), _) => "1 the server's stays  2 send the local one again  ↑↓ scroll  Esc back",
        (None, Some(_)) => "r retry  ↑↓ scroll  Esc back",
        (None, None) => "s sync  p pause  r retry  ↑↓ Enter open  c conflict  ? help  q quit",
    };
    let said = Line::styled(clean(&model.said).into_owned(), theme.head());
    Paragraph::new(vec![said, Line::styled(keys, theme.dim())])
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
