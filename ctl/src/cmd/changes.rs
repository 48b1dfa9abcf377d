//! `aectl changes`

use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::Change;
use aesync_protocol::event::{ChangeOp, Origin};
use aesync_protocol::request::{Changed, Method as _};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::context::{Context, LOCAL, PAGE, fetch_from, millis, parse};
use crate::exit::Failure;
use crate::output::{PagedDocument, View};
use crate::text::{clean, fields, head_and_rest};

/// How long one question for new changes stays open.
const OPEN: Duration = Duration::from_secs(25);

/// The columns of the position and the gap behind it.
const INDENT: usize = 10;

/// What `changes` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Changes after this position of the feed; 0 for all that it still holds
    #[arg(long, value_name = "SEQ")]
    since: u64,
    /// The feed that the position belongs to: refuse to go on in another one
    #[arg(long, value_name = "ID")]
    log: Option<String>,
    /// Only these entity types
    #[arg(long = "type", value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    types: Vec<String>,
    /// Go on printing changes as they come, with --json one a line
    #[arg(long)]
    follow: bool,
}

/// A page whose changes stay as the daemon wrote them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    log: String,
    #[serde(borrow)]
    changes: Vec<&'a RawValue>,
    next: u64,
    last_seq: u64,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let entity_types = super::filter_types(context, args.types)?;
    let mut client = context.connect()?;
    let mut params = Changed {
        since: args.since,
        log: args.log,
        limit: u32::try_from(PAGE).ok(),
        entity_types,
        wait_ms: args.follow.then_some(millis(OPEN)),
    };
    let patience = if args.follow { OPEN + context.patience(LOCAL) } else { context.patience(LOCAL) };
    let mut document = None;
    loop {
        let json = fetch_from(&mut client, Changed::NAME, &params, patience)?;
        let page: Page<'_> = parse(Changed::NAME, &json)?;
        if !context.json {
            context.output.write(&lines(&page.changes, &context.output.view())?)?;
        } else if args.follow {
            page.changes.iter().try_for_each(|change| context.output.json(change))?;
        } else {
            let log = page.log.as_str().into();
            document.get_or_insert_with(|| PagedDocument::new(context.output, &[("log", log)], "changes")).page(&page.changes)?;
        }
        if !args.follow && (page.next >= page.last_seq || page.next <= params.since) {
            if let Some(document) = document {
                document.end(&[("next", Some(page.next.into())), ("lastSeq", Some(page.last_seq.into()))])?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        // From now on a feed that starts anew is an error and no silent jump.
        params.log = Some(page.log);
        params.since = page.next;
    }
}

fn lines(changes: &[&RawValue], view: &View) -> Result<String, Failure> {
    changes.iter().map(|change| Ok(change_text(&parse(Changed::NAME, change)?, view) + "\n")).collect()
}

/// A change on one line, or as few as the terminal allows: its id is never cut.
fn change_text(change: &Change, view: &View) -> String {
    let rest = change.record.as_ref().map(fields).unwrap_or_default();
    let head = format!("{:>8}  {}", change.seq, change_head(change, view));
    head_and_rest(&head, &rest, INDENT, view.width, |rest| view.paint.dim(rest))
}

/// Which record a change is of, behind its position.
pub(super) fn change_head(change: &Change, view: &View) -> String {
    let op = match change.op {
        ChangeOp::Upsert => "upsert",
        ChangeOp::Delete => "delete",
    };
    let origin = match change.origin {
        Origin::Server => "server",
        Origin::Local => "local ",
    };
    let mark = if change.pending { view.paint.orange("▲") } else { " ".to_owned() };
    format!("{op}  {origin} {mark}  {}  {}", clean(&change.entity_type), clean(&change.id))
}
