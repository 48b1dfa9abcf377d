//! `aectl conflicts`

use std::process::ExitCode;

use aesync_protocol::request::{ConflictsList, ConflictsResolve, Keep};
use aesync_protocol::response::{Conflict, Conflicts};
use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::output::{Align, Table, View};
use crate::text::{ago, clean, value, wrap};

/// What `conflicts` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aectl conflicts resolve 7 --keep local")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what was sent and what the server has instead (without a verb: this)
    List,
    /// Decide which side stays
    Resolve {
        /// The entry's number
        #[arg(add = clap_complete::ArgValueCompleter::new(crate::complete::conflicts))]
        entry: u64,
        /// Which side stays
        #[arg(long, value_enum)]
        keep: KeepArg,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeepArg {
    /// The server's: the local change is dropped
    Server,
    /// The local one: it is sent once more
    Local,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    match args.verb {
        None | Some(Verb::List) => context.answer(&ConflictsList {}, LOCAL, |conflicts, view| list_text(&conflicts, view)),
        Some(Verb::Resolve { entry, keep }) => {
            let (keep, done) = match keep {
                KeepArg::Server => (Keep::Server, "The server's row stays"),
                KeepArg::Local => (Keep::Local, "The local change is sent once more"),
            };
            context.answer(&ConflictsResolve { entry, keep }, LOCAL, |_, _| format!("{done} (entry {entry}).\n"))
        }
    }
}

fn list_text(conflicts: &Conflicts, view: &View) -> String {
    if conflicts.conflicts.is_empty() {
        return "No conflicts.\n".to_owned();
    }
    let mut text: String = conflicts.conflicts.iter().map(|conflict| conflict_text(conflict, view) + "\n").collect();
    text.push_str(&wrap(&view.paint.dim("aectl conflicts resolve ENTRY --keep server|local"), 2, view.width));
    text.push('\n');
    text
}

/// The fields in which both sides differ. Fields that were not sent say nothing about the local side.
fn conflict_text(conflict: &Conflict, view: &View) -> String {
    let mut table = Table::new(&[("FIELD", Align::Left), ("SENT", Align::Left), ("SERVER", Align::Left)]).indented(2).wrapping();
    for (name, sent) in &conflict.sent {
        let server = conflict.server.get(name);
        if server != Some(sent) {
            table.row(vec![
                clean(name).into_owned(),
                value(sent),
                server.map_or_else(|| "(absent)".to_owned(), |other: &Value| value(other)),
            ]);
        }
    }
    let head = format!(
        "{}  {} {}",
        view.paint.orange(format!("entry {}", conflict.entry)),
        view.paint.bold(clean(&conflict.entity_type)),
        clean(&conflict.id)
    );
    let rows = if table.is_empty() { "  no field differs\n".to_owned() } else { table.text(view) };
    let head = format!("{head}  {}", view.paint.dim(ago(view.now, conflict.at)));
    format!("{}\n{rows}", wrap(&head, 2, view.width))
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::output::Paint;

    #[test]
    fn only_the_fields_that_differ_are_shown() {
        let conflicts: Conflicts = serde_json::from_value(json!({"conflicts": [{
            "entry": 7, "entityType": "interactions", "id": "0af", "at": "1970-01-01T00:00:00.000Z",
            "sent": {"id": "0af", "title": "mine", "note": "same", "new": 1},
            "server": {"id": "0af", "title": "theirs\u{1b}", "note": "same", "owner": "x"}
        }]}))
        .expect("conflicts");
        let view = View { paint: Paint(false), width: None, now: Timestamp::from_millis(120_000) };
        assert_eq!(
            list_text(&conflicts, &view),
            "entry 7  interactions 0af  2 min ago\n\
             \u{20} FIELD  SENT  SERVER\n\
             \u{20} title  mine  theirs\\u{1b}\n\
             \u{20} new    1     (absent)\n\
             \n\
             aectl conflicts resolve ENTRY --keep server|local\n"
        );
    }
}
