//! `aectl outbox list`

use std::process::ExitCode;

use aesync_protocol::request::{Method as _, OutboxList};
use aesync_protocol::response::{Entry, EntryState};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::context::{Context, LOCAL, PAGE, fetch_from, parse};
use crate::exit::Failure;
use crate::output::{Align, PagedDocument, Table, View};
use crate::text::{ago, bytes, clean};

/// What `outbox list` is asked for.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Only entries in this state
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Only entries of this entity type
    #[arg(long = "type", value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    entity_type: Option<String>,
    /// How many entries at most [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    /// Never sent, or to be sent again
    Pending,
    /// In a request that is under way
    Sent,
    /// Sent, with an outcome that is not known yet
    InDoubt,
    /// Accepted, not yet seen in a pull
    Acked,
    /// Refused by the server
    Quarantined,
    /// Waiting for a refused entry
    Blocked,
    /// Overruled by the server
    Conflict,
}

impl StateArg {
    fn state(self) -> EntryState {
        match self {
            Self::Pending => EntryState::Pending,
            Self::Sent => EntryState::Sent,
            Self::InDoubt => EntryState::InDoubt,
            Self::Acked => EntryState::Acked,
            Self::Quarantined => EntryState::Quarantined,
            Self::Blocked => EntryState::Blocked,
            Self::Conflict => EntryState::Conflict,
        }
    }
}

/// A page whose entries stay as the daemon wrote them.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
    next: Option<u64>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let mut client = context.connect()?;
    let mut params =
        OutboxList { state: args.state.map(StateArg::state), entity_type: args.entity_type, limit: None, after: None };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut document = PagedDocument::new(context.output, &[], "entries");
    let mut continued = false;
    loop {
        params.limit = u32::try_from(left.min(PAGE)).ok();
        let json = fetch_from(&mut client, OutboxList::NAME, &params, context.patience(LOCAL))?;
        let page: Page<'_> = parse(OutboxList::NAME, &json)?;
        if context.json {
            document.page(&page.entries)?;
        } else {
            context.output.write(&rows(&page.entries, continued, &context.output.view())?)?;
        }
        continued = true;
        left = left.saturating_sub(page.entries.len() as u64);
        // A position that is not further on would give the same page for ever.
        if left == 0 || page.entries.is_empty() || page.next <= params.after {
            if context.json {
                document.end(&[("next", page.next.map(Into::into))])?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        params.after = page.next;
    }
}

fn rows(entries: &[&RawValue], continued: bool, view: &View) -> Result<String, Failure> {
    let mut heads = vec![
        ("ENTRY", Align::Right),
        ("STATE", Align::Left),
        ("OP", Align::Left),
        ("TYPE", Align::Left),
        ("ID", Align::Left),
        ("SIZE", Align::Right),
        ("QUEUED", Align::Left),
    ];
    // A terminal has no room for it beside the rest.
    let is_below = view.width.is_some();
    if !is_below {
        heads.push(("LAST ERROR", Align::Left));
    }
    // The number is what the other commands take.
    let mut table = Table::new(&heads).yielding(4).continued(continued);
    for json in entries {
        let entry: Entry = parse(OutboxList::NAME, json)?;
        let error = entry.last_error.as_ref().map(|error| clean(&error.message).into_owned());
        let mut cells = row(&entry, view);
        match error {
            Some(error) if is_below => {
                table.row(cells);
                table.below(error);
            }
            error => {
                cells.extend(error);
                table.row(cells);
            }
        }
    }
    Ok(match (table.is_empty(), continued) {
        (false, _) => table.text(view),
        (true, false) => "Nothing waits.\n".to_owned(),
        (true, true) => String::new(),
    })
}

fn row(entry: &Entry, view: &View) -> Vec<String> {
    let state = if entry.parked { format!("{} (parked)", entry.state) } else { entry.state.to_string() };
    vec![
        entry.entry.to_string(),
        state,
        super::show::op(entry.op).to_owned(),
        clean(&entry.entity_type).into_owned(),
        clean(&entry.id).into_owned(),
        bytes(entry.bytes),
        ago(view.now, entry.enqueued_at),
    ]
}
