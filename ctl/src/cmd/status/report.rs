//! The status for people: the indicator, and below it only what one wants to know next.

use aesync_protocol::status::{Attention, AuthWord, LinkWord, OfflineReason, Transport, TypeStatus};
use aesync_protocol::{Status, StatusWord, Timestamp};

use crate::output::{Align, Paint, Table, View};
use crate::text::{ago, bytes, clean, columns, count, number, round_trip, span, until, wrap};

/// What shows the changes that the server overruled, and those that it refused.
const CONFLICTS: &str = "aectl conflicts";
const REFUSED: &str = "aectl outbox list --state quarantined";

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
    let why = why(status, now).or_else(|| waiting(status)).or_else(|| settle(status)).or_else(|| otherwise(status));
    if let Some(why) = why {
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
    if lines.is_empty() {
        lines.extend(if needs_you(status) { settle_below(status) } else { otherwise(status) });
    }
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
            None => format!("No answer from the server for {lasted}: aectl doctor"),
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
    // The size that is known is that of all of them, whatever they wait for.
    let others = [outbox.sent, outbox.in_doubt, outbox.acked, outbox.blocked, outbox.quarantined, outbox.conflicts];
    let is_mixed = others.iter().any(|count| *count > 0);
    let (mut parts, mut size) = (Vec::new(), String::new());
    if outbox.pending > 0 {
        let waits = count(outbox.pending, "change waits", "changes wait");
        let of_all = bytes(outbox.bytes);
        if is_mixed {
            size = format!("; {of_all} in all");
            parts.push(format!("{waits} to be sent"));
        } else {
            parts.push(format!("{waits} to be sent ({of_all})"));
        }
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
    (!parts.is_empty()).then(|| parts.join(", ") + &size + ".")
}

/// Whether there are changes that only a person can bring further.
fn needs_you(status: &Status) -> bool {
    status.outbox.quarantined > 0 || status.outbox.conflicts > 0
}

/// What is left when nothing waits any more; each of it is told below, with its command.
fn settle_below(status: &Status) -> Option<String> {
    (status.status == StatusWord::Pending).then(|| "Nothing waits to be sent; what is left needs you:".to_owned())
}

/// The same in one sentence with the commands.
fn settle(status: &Status) -> Option<String> {
    let items: Vec<_> = left(status).map(|(_, message, command)| format!("{message} ({command})")).collect();
    (!items.is_empty()).then(|| items.join(", ") + ".")
}

/// The code, the sentence and the command for each kind of change that a person has to settle.
fn left(status: &Status) -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let outbox = &status.outbox;
    let refused = (outbox.quarantined > 0).then(|| {
        let message = format!("{} refused by the server", count(outbox.quarantined, "change was", "changes were"));
        ("quarantined", message, REFUSED)
    });
    let overruled = (outbox.conflicts > 0).then(|| {
        let message = format!("{} overruled by the server", count(outbox.conflicts, "change was", "changes were"));
        ("conflicts", message, CONFLICTS)
    });
    overruled.into_iter().chain(refused)
}

/// What a state means about which nothing else is to be said.
fn otherwise(status: &Status) -> Option<String> {
    let named = |wanted: fn(&TypeStatus) -> bool| {
        let names: Vec<_> = status.types.iter().filter(|(_, state)| wanted(state)).map(|(name, _)| clean(name)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    match status.status {
        StatusWord::Synced => None,
        StatusWord::Syncing => Some("The server is asked for what is new.".to_owned()),
        StatusWord::Offline => Some("The server is not reached: aectl doctor".to_owned()),
        // What needs a person is told with its own sentence.
        StatusWord::Pending if !status.attention.is_empty() => None,
        StatusWord::Pending => Some(if let Some(types) = named(|state| state.dirty) {
            format!("The server has news that are not fetched yet, of {types}: aectl pull")
        } else if let Some(types) = named(|state| state.suspicious) {
            format!("The server's last answer looked incomplete, of {types}: aectl reconcile")
        } else {
            "The last pull is some time ago: aectl pull".to_owned()
        }),
    }
}

/// The types whose first sync is not done.
fn unfinished(status: &Status) -> Option<String> {
    let types: Vec<_> =
        status.types.iter().filter(|(_, state)| !state.first_sync_done).map(|(name, _)| clean(name).into_owned()).collect();
    (!types.is_empty()).then(|| format!("The first sync is not done yet: {}.", types.join(", ")))
}

/// What needs a person, each with the command for it.
fn attention(status: &Status, view: &View) -> String {
    let told = |code: &str| status.attention.iter().any(|item| item.code == code);
    // A daemon that only counts them.
    let untold = left(status).filter(|(code, ..)| !told(code)).map(|(code, message, _)| Attention {
        code: code.to_owned(),
        message,
        count: None,
    });
    status.attention.iter().cloned().chain(untold).map(|item| attention_line(&item, view) + "\n").collect()
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

/// Whether the item tells what happened once, and stays until somebody acknowledges it.
fn is_notice(code: &str) -> bool {
    matches!(code, "store_damaged" | "store_inconsistent" | "outbox_restored" | "journal_damaged" | "evidence_removed")
}

/// What to do about an attention item whose sentence does not say so, in words for where there is room.
pub(crate) fn advice_for(code: &str) -> &'static str {
    match code {
        "conflicts" => "decide each with `aectl conflicts`",
        "quarantined" => "correct or discard them: `aectl outbox list --state quarantined`",
        "updates_dropped" => "change such rows on the server itself; for what it overruled see `aectl conflicts`",
        "parked" => "sign in as before with `aectl login`, or give them up with `aectl outbox discard`",
        "invisible" => "look at them with `aectl outbox list --state acked`",
        "reconcile_held" => "if they are really gone: `aectl reconcile --accept`",
        "misconfigured" => "correct aesyncd.toml, then `aectl reload`",
        "push_stopped" => "check server.url, then `aectl sync`",
        "paused" => "`aectl resume`",
        code if is_notice(code) => "`aectl acknowledge` once you know of it",
        "token_unreadable" | "login_refused" | "signed_out" => "`aectl login`",
        "token_not_kept" => "make the state directory writable, then `aectl login`",
        _ if code.starts_with("auth") => "`aectl login`",
        _ if code.starts_with("storage") => "look at the disk with `aectl doctor`, and make room",
        _ => "if it stays: `aectl bug-report`",
    }
}

/// What to type about an attention item whose sentence does not say so. Codes that are not known here still have their sentence.
fn command_for(code: &str) -> Option<&'static str> {
    match code {
        "conflicts" => Some(CONFLICTS),
        "quarantined" => Some(REFUSED),
        "updates_dropped" => Some(CONFLICTS),
        // Whose they are is for a person to say.
        "parked" => Some("aectl login"),
        "invisible" => Some("aectl outbox list --state acked"),
        "reconcile_held" => Some("aectl reconcile --accept"),
        "misconfigured" => Some("aectl reload"),
        "paused" => Some("aectl resume"),
        code if is_notice(code) => Some("aectl acknowledge"),
        "login_refused" | "signed_out" | "token_unreadable" | "token_not_kept" => Some("aectl login"),
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
        _ if url.is_empty() => "none named yet".to_owned(),
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
        text.push_str(&format!(", {}", round_trip(rtt)));
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
