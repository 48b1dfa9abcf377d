//! The status for people: the indicator, and below it only what one wants to know next.

use aesync_protocol::status::{Attention, AuthWord, LinkWord, OfflineReason, Transport, TypeStatus};
use aesync_protocol::{Status, StatusWord, Timestamp};

use crate::output::{Align, Paint, Table, View};
use crate::text::{ago, bytes, clean, columns, count, number, span, until, wrap};

/// What is shown instead of an indicator while nobody answers.
pub(super) const NOT_RUNNING: &str = "✕ aesyncd is not running";

/// `● Synced` in green, `⟳ Syncing…` in blue, `▲ Pending` in orange, `✕ Offline` in red.
pub(crate) fn indicator(word: StatusWord, paint: Paint) -> String {
    let text = format!("{} {}", sign(word), label(word));
    match word {
        StatusWord::Synced => paint.green(text),
        StatusWord::Syncing => paint.blue(text),
        StatusWord::Pending => paint.orange(text),
        StatusWord::Offline => paint.red(text),
    }
}

/// The indicator's sign.
pub(super) fn sign(word: StatusWord) -> &'static str {
    match word {
        StatusWord::Synced => "●",
        StatusWord::Syncing => "⟳",
        StatusWord::Pending => "▲",
        StatusWord::Offline => "✕",
    }
}

fn label(word: StatusWord) -> &'static str {
    match word {
        StatusWord::Synced => "Synced",
        StatusWord::Syncing => "Syncing…",
        StatusWord::Pending => "Pending",
        StatusWord::Offline => "Offline",
    }
}

/// The indicator and the reason on one line, without colour.
pub(crate) fn headline(status: &Status, now: Timestamp) -> String {
    let mut line = indicator(status.status, Paint(false));
    if let Some(why) = why(status, now).or_else(|| waiting(status)) {
        line.push_str(": ");
        line.push_str(&why);
    }
    line
}

/// The whole report, without the end of its last line.
pub(super) fn report(status: &Status, view: &View) -> String {
    let blocks = [top(status, view), attention(status, view), facts(status, view), types(status, view)];
    let blocks: Vec<&str> = blocks.iter().map(|block| block.trim_end()).filter(|block| !block.is_empty()).collect();
    blocks.join("\n\n")
}

fn top(status: &Status, view: &View) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(why(status, view.now));
    lines.extend(waiting(status));
    lines.extend(unfinished(status));
    if status.status != StatusWord::Synced {
        lines.extend(status.last_synced_at.map(|at| format!("Last synced {}.", ago(view.now, at))));
    }
    let lines = lines.iter().map(|line| format!("\n{}", wrap(&format!("  {line}"), 2, view.width)));
    indicator(status.status, view.paint) + &lines.collect::<String>()
}

/// Why it is offline, and what comes next.
pub(crate) fn why(status: &Status, now: Timestamp) -> Option<String> {
    let lasted = span(now.millis_since(status.since));
    let sentence = match status.reason? {
        OfflineReason::Unreachable => match status.retry_at {
            Some(at) => format!("No answer from the server for {lasted}; next try {}.", until(now, at)),
            None => format!("No answer from the server for {lasted}."),
        },
        OfflineReason::SignedOut => "Nobody is signed in: aectl login".to_owned(),
        OfflineReason::AuthRequired => "The server no longer takes the sign-in: aectl login".to_owned(),
        OfflineReason::Misconfigured => {
            "Configuration, token and server don't fit together: correct them, then aectl reload".to_owned()
        }
        OfflineReason::Paused => format!("Paused for {lasted}: aectl resume"),
    };
    Some(sentence)
}

/// What waits to reach the server.
fn waiting(status: &Status) -> Option<String> {
    let outbox = &status.outbox;
    let mut parts = Vec::new();
    if outbox.pending > 0 {
        parts.push(format!("{} to be sent ({})", count(outbox.pending, "change waits", "changes wait"), bytes(outbox.bytes)));
    }
    if outbox.sent > 0 {
        parts.push(format!("{} being sent", count(outbox.sent, "change is", "changes are")));
    }
    if outbox.in_doubt > 0 {
        parts.push(format!("{} sent with an outcome not known yet", count(outbox.in_doubt, "change was", "changes were")));
    }
    if outbox.acked > 0 {
        parts.push(format!("{} for a pull to confirm", count(outbox.acked, "sent change waits", "sent changes wait")));
    }
    if outbox.blocked > 0 {
        parts.push(format!("{} for another that needs you", count(outbox.blocked, "change waits", "changes wait")));
    }
    (!parts.is_empty()).then(|| parts.join(", ") + ".")
}

/// The types whose first sync is not done.
fn unfinished(status: &Status) -> Option<String> {
    let types: Vec<_> =
        status.types.iter().filter(|(_, state)| !state.first_sync_done).map(|(name, _)| clean(name).into_owned()).collect();
    (!types.is_empty()).then(|| format!("The first sync is not done yet: {}.", types.join(", ")))
}

/// What needs a person, each with the command for it.
fn attention(status: &Status, view: &View) -> String {
    status.attention.iter().map(|item| attention_line(item, view) + "\n").collect()
}

fn attention_line(item: &Attention, view: &View) -> String {
    let message = clean(&item.message);
    let line = format!("  {} {message}", view.paint.orange("!"));
    match command_for(&item.code).filter(|_| !message.contains("aectl ")) {
        // A command is not torn apart.
        Some(command) if view.width.is_some_and(|width| columns(&message) + columns(command) + 8 > width) => {
            format!("{}\n    {} {}", wrap(&line, 4, view.width), view.paint.dim("→"), view.paint.bold(command))
        }
        Some(command) => format!("{line}  {} {}", view.paint.dim("→"), view.paint.bold(command)),
        None => wrap(&line, 4, view.width),
    }
}

/// What to type about an attention item whose sentence does not say so. Codes that are not known here still have their sentence.
fn command_for(code: &str) -> Option<&'static str> {
    match code {
        "conflicts" => Some("aectl conflicts"),
        "quarantined" => Some("aectl outbox list --state quarantined"),
        "parked" => Some("aectl outbox"),
        "invisible" => Some("aectl outbox list --state acked"),
        "reconcile_held" => Some("aectl reconcile --accept"),
        "misconfigured" => Some("aectl reload"),
        "paused" => Some("aectl resume"),
        "login_refused" | "signed_out" => Some("aectl login"),
        _ if code.starts_with("auth") => Some("aectl login"),
        _ => None,
    }
}

fn facts(status: &Status, view: &View) -> String {
    let mut facts = Vec::new();
    if let Some(error) = &status.last_error {
        facts.push((
            "last error",
            format!("{} {}", clean(&error.message), view.paint.dim(format!("({})", ago(view.now, error.at)))),
        ));
    }
    facts.push(("server", server(status)));
    facts.push(("link", link_text(status, view.now)));
    facts.extend(sign_in(status, view.now).map(|text| ("sign-in", text)));
    let line = |(name, text)| format!("  {}  {text}", view.paint.dim(format!("{name:<10}")));
    facts.into_iter().map(|fact| wrap(&line(fact), 14, view.width) + "\n").collect()
}

fn server(status: &Status) -> String {
    let url = clean(&status.server.url);
    match &status.server.tenant_id {
        Some(tenant) => format!("{url}, tenant {}", clean(tenant)),
        None => url.into_owned(),
    }
}

/// The link in words.
pub(crate) fn link_text(status: &Status, now: Timestamp) -> String {
    let server = &status.server;
    let word = match server.link {
        LinkWord::SignedOut => "signed out",
        LinkWord::Connecting => "connecting",
        LinkWord::Authenticating => "authenticating",
        LinkWord::Online => "online",
        LinkWord::Backoff => "waiting to try again",
        LinkWord::AuthRequired => "sign-in needed",
        LinkWord::Misconfigured => "misconfigured",
    };
    let mut text = word.to_owned();
    match server.transport {
        Some(Transport::Websocket) => text.push_str(" over a websocket"),
        Some(Transport::Http) => text.push_str(" over HTTP alone: changes are polled for"),
        None => {}
    }
    if let Some(since) = server.connected_since {
        text.push_str(&format!(" for {}", span(now.millis_since(since))));
    }
    if let Some(rtt) = server.rtt_ms {
        text.push_str(&format!(", round trip {rtt} ms"));
    }
    if server.reconnects > 0 {
        text.push_str(&format!(", {}", count(server.reconnects, "reconnect", "reconnects")));
    }
    text
}

fn sign_in(status: &Status, now: Timestamp) -> Option<String> {
    let auth = &status.auth;
    let state = match (auth.state, auth.expires_at) {
        (AuthWord::None, _) => return None,
        (AuthWord::Valid | AuthWord::Expiring, Some(expiry)) => format!("expires {}", until(now, expiry)),
        (AuthWord::Valid, None) => String::new(),
        (AuthWord::Expiring, None) => "expires soon".to_owned(),
        (AuthWord::Expired, _) => "expired".to_owned(),
        (AuthWord::Rejected, _) => "refused by the server".to_owned(),
    };
    let subject = auth.subject.as_deref().map(clean).unwrap_or_default();
    let separator = if subject.is_empty() || state.is_empty() { "" } else { ", " };
    let text = format!("{subject}{separator}{state}");
    (!text.is_empty()).then_some(text)
}

fn types(status: &Status, view: &View) -> String {
    if status.types.is_empty() {
        return String::new();
    }
    let mut table =
        Table::new(&[("TYPE", Align::Left), ("RECORDS", Align::Right), ("PULLED", Align::Left), ("", Align::Left)]).indented(2);
    for (name, state) in &status.types {
        let pulled = state.last_pulled_at.map_or_else(|| "never".to_owned(), |at| ago(view.now, at));
        table.row(vec![clean(name).into_owned(), number(state.records), pulled, notes(state)]);
    }
    table.text(view)
}

/// What is not as it should be with a type.
pub(crate) fn notes(state: &TypeStatus) -> String {
    let mut notes = Vec::new();
    if !state.first_sync_done {
        notes.push("first sync not done");
    }
    if state.dirty {
        notes.push("stale");
    }
    if state.suspicious {
        notes.push("last answer looked incomplete");
    }
    notes.join(", ")
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
