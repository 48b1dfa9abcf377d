//! `aectl outbox show`

use std::process::ExitCode;

use aesync_protocol::request::{Method as _, OutboxList};
use aesync_protocol::response::{Entry, EntryOp, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::context::{Context, LOCAL, fetch_from, parse};
use crate::exit::Failure;
use crate::output::{Align, Table, View};
use crate::text::{ago, bytes, clean, value, wrap};

/// What `outbox show` is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The entry's number
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::complete::entries))]
    entry: u64,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let json = fetch_entry(context, args.entry)?;
    if context.json {
        context.output.json(&json)?;
    } else {
        context.output.write(&text(&parse(OutboxList::NAME, &json)?, &context.output.view()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One entry as the daemon wrote it: the first one behind its predecessor's number.
pub(super) fn fetch_entry(context: &Context, entry: u64) -> Result<Box<RawValue>, Failure> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        entries: Vec<&'a RawValue>,
    }

    #[derive(Deserialize)]
    struct Numbered {
        entry: u64,
    }

    let params = OutboxList { limit: Some(1), after: entry.checked_sub(1), ..OutboxList::default() };
    let json = fetch_from(&mut context.connect()?, OutboxList::NAME, &params, context.patience(LOCAL))?;
    let page: Page<'_> = parse(OutboxList::NAME, &json)?;
    for found in page.entries {
        if parse::<Numbered>(OutboxList::NAME, found)?.entry == entry {
            return Ok(found.to_owned());
        }
    }
    Err(Failure::Refused(format!("there is no entry {entry} in the outbox; it may be done: see `aectl outbox`")))
}

fn text(entry: &Entry, view: &View) -> String {
    let mut lines = vec![
        (
            "entry",
            format!(
                "{}, {}{}",
                entry.entry,
                entry.state,
                if entry.parked { ", parked: it belongs to another sign-in" } else { "" }
            ),
        ),
        ("change", format!("{} {} {}", op(entry.op), clean(&entry.entity_type), clean(&entry.id))),
        ("queued", format!("{}, {}", ago(view.now, entry.enqueued_at), bytes(entry.bytes))),
    ];
    if let Some(at) = entry.sent_at {
        lines.push(("sent", format!("{}, attempt {}", ago(view.now, at), entry.attempts)));
    }
    if let Some(error) = &entry.last_error {
        let status = error.status.map(|status| format!("HTTP {status}, ")).unwrap_or_default();
        lines.push(("error", format!("{} ({status}{})", view.paint.red(clean(&error.message)), ago(view.now, error.at))));
    }
    match &entry.verdict {
        Some(Verdict::Accepted) => lines.push(("verdict", "accepted".to_owned())),
        Some(Verdict::Overwritten { .. }) => lines.push(("verdict", "the server kept its own row: aectl conflicts".to_owned())),
        Some(Verdict::FieldsDropped { fields }) => {
            lines.push(("verdict", format!("accepted without {}, which the server does not have", clean(&fields.join(", ")))));
        }
        None => {}
    }
    let line = |(name, text)| format!("{}  {text}", view.paint.dim(format!("{name:<7}")));
    let head: String = lines.into_iter().map(|fact| wrap(&line(fact), 9, view.width) + "\n").collect();
    let mut table = Table::new(&[("FIELD", Align::Left), ("VALUE", Align::Left)]).wrapping();
    for (name, field) in &entry.data {
        table.row(vec![clean(name).into_owned(), value(field)]);
    }
    format!("{head}\n{}", table.text(view))
}

/// What the entry does, in a word.
pub(in crate::cmd) fn op(op: EntryOp) -> &'static str {
    match op {
        EntryOp::Create => "create",
        EntryOp::Update => "update",
        EntryOp::Delete => "delete",
    }
}
