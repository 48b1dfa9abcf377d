//! `aectl list`

use std::process::ExitCode;

use aesync_protocol::Record;
use aesync_protocol::request::{Method as _, RecordsList};
use aesync_protocol::response::ListedRecord;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::context::{Context, LOCAL, PAGE, fetch_from, parse};
use crate::exit::Failure;
use crate::output::{Align, PagedDocument, Table};
use crate::text::{fields, value};

/// What `list` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The entity type
    #[arg(value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    entity_type: String,
    /// How many records at most [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// A page whose records stay as the daemon wrote them.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    next: Option<String>,
    seq: u64,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let mut client = context.connect()?;
    let mut params = RecordsList { entity_type: args.entity_type, limit: None, after: None };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut document = PagedDocument::new(context.output, &[], "records");
    // Changes from the first page's position on cover whatever moved while the pages were read.
    let mut first_seq = None;
    loop {
        params.limit = u32::try_from(left.min(PAGE)).ok();
        let json = fetch_from(&mut client, RecordsList::NAME, &params, context.patience(LOCAL))?;
        let page: Page<'_> = parse(RecordsList::NAME, &json)?;
        if context.json {
            document.page(&page.records)?;
        } else {
            context.output.write(&rows(&page.records, first_seq.is_some(), context)?)?;
        }
        let seq = *first_seq.get_or_insert(page.seq);
        left = left.saturating_sub(page.records.len() as u64);
        // A position that is not further on would give the same page for ever.
        if left == 0 || page.records.is_empty() || page.next <= params.after {
            if context.json {
                document.end(&[("next", page.next.map(Into::into)), ("seq", Some(seq.into()))])?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        params.after = page.next;
    }
}

fn rows(records: &[&RawValue], continued: bool, context: &Context) -> Result<String, Failure> {
    let mut table = Table::new(&HEADS).continued(continued);
    for record in records {
        let listed: ListedRecord = parse(RecordsList::NAME, record)?;
        table.row(row(&listed.record, listed.pending));
    }
    Ok(match (table.is_empty(), continued) {
        (false, _) => table.text(&context.output.view()),
        (true, false) => "No records.\n".to_owned(),
        (true, true) => String::new(),
    })
}

/// The columns of a list of records.
pub(super) const HEADS: [(&str, Align); 3] = [("ID", Align::Left), ("", Align::Left), ("RECORD", Align::Left)];

/// A record as a row of such a list.
pub(super) fn row(record: &Record, pending: bool) -> Vec<String> {
    let id = record.get("id").map(value).unwrap_or_default();
    vec![id, if pending { "▲".to_owned() } else { String::new() }, fields(record)]
}
