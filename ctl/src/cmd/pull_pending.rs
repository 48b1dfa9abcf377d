//! `aectl pull-pending`

use std::process::ExitCode;

use aesync_protocol::request::PullPending;
use aesync_protocol::response::PendingPulled;

use crate::cmd::list::{HEADS, row};
use crate::cmd::some_types;
use crate::context::{Context, REMOTE};
use crate::exit::Failure;
use crate::output::{Table, View};
use crate::text::{clean, count};

/// What `pull-pending` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these entity types
    #[arg(value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    types: Vec<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let params = PullPending { entity_types: some_types(args.types) };
    context.answer(&params, REMOTE, |pulled, view| text(&pulled, view))
}

fn text(pulled: &PendingPulled, view: &View) -> String {
    if pulled.data.values().all(Vec::is_empty) {
        return "The server has nothing pending.\n".to_owned();
    }
    let mut text = String::new();
    for (entity_type, rows) in pulled.data.iter().filter(|(_, rows)| !rows.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        let rows_of_type = count(rows.len() as u64, "row", "rows");
        text.push_str(&format!("{}  {}\n", view.paint.bold(clean(entity_type)), view.paint.dim(rows_of_type)));
        let mut table = Table::new(&HEADS).indented(2);
        for record in rows {
            table.row(row(record, false));
        }
        text.push_str(&table.text(view));
    }
    text
}
