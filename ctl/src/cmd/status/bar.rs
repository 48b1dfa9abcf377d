//! The status for status bars and prompts: one line each.

use aesync_protocol::{Status, StatusWord};
use serde_json::json;

use super::report::{NOT_RUNNING, indicator, report, sign};
use crate::output::{Paint, View};
use crate::text::number;

/// An object for a custom module of waybar.
pub(super) fn waybar(status: &Status, view: &View) -> String {
    let text = brief(status);
    // Bars reflow text themselves: nothing is coloured or cut.
    let tooltip = report(status, &View { paint: Paint(false), width: None, ..*view });
    json!({"text": markup(&text), "alt": status.status, "class": status.status, "tooltip": markup(&tooltip)}).to_string()
}

/// The same while nobody answers.
pub(super) fn waybar_without_daemon() -> String {
    json!({"text": sign(StatusWord::Offline), "alt": "offline", "class": "offline", "tooltip": NOT_RUNNING}).to_string()
}

/// A block in i3bar's protocol.
pub(super) fn i3(status: &Status) -> String {
    let full_text = format!("{}{}", indicator(status.status, Paint(false)), behind_sign(status));
    json!({"full_text": full_text, "short_text": brief(status), "color": color(status.status)}).to_string()
}

/// The same while nobody answers.
pub(super) fn i3_without_daemon() -> String {
    json!({"full_text": NOT_RUNNING, "short_text": sign(StatusWord::Offline), "color": color(StatusWord::Offline)}).to_string()
}

/// The sign, and how many changes wait.
pub(super) fn prompt(status: &Status, view: &View) -> String {
    let text = format!("{}{}", sign(status.status), behind_sign(status).trim_start());
    match status.status {
        StatusWord::Synced => view.paint.green(text),
        StatusWord::Syncing => view.paint.blue(text),
        StatusWord::Pending => view.paint.orange(text),
        StatusWord::Offline => view.paint.red(text),
    }
}

fn brief(status: &Status) -> String {
    format!("{}{}", sign(status.status), behind_sign(status))
}

/// The number of changes that have not reached the server, if there are any.
fn behind_sign(status: &Status) -> String {
    let outbox = &status.outbox;
    match outbox.pending.saturating_add(outbox.sent).saturating_add(outbox.in_doubt).saturating_add(outbox.blocked) {
        0 => String::new(),
        waiting => format!(" {}", number(waiting)),
    }
}

/// Text for Pango, which takes markup.
fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn color(word: StatusWord) -> &'static str {
    match word {
        StatusWord::Synced => "#4CAF50",
        StatusWord::Syncing => "#2196F3",
        StatusWord::Pending => "#FF9800",
        StatusWord::Offline => "#F44336",
    }
}
