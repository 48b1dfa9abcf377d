//! `aectl reconcile`

use std::process::ExitCode;

use aesync_protocol::request::Reconcile;
use aesync_protocol::response::Reconciled;

use crate::cmd::some_types;
use crate::context::{BULK, Context};
use crate::exit::Failure;
use crate::output::{Align, Table, View};
use crate::progress;
use crate::text::{clean, count, number, wrap};

/// What `reconcile` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these entity types
    #[arg(value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    types: Vec<String>,
    /// Carry out the deletions that were held back because there are suspiciously many
    #[arg(long)]
    accept: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let params = Reconcile { entity_types: some_types(args.types), accept: args.accept.then_some(true) };
    let json = progress::fetch(context, &params, BULK)?;
    context.show::<Reconcile>(&json, |reconciled, view| text(&reconciled, view))
}

fn text(reconciled: &Reconciled, view: &View) -> String {
    let mut table = Table::new(&[
        ("TYPE", Align::Left),
        ("LISTED", Align::Right),
        ("ADDED", Align::Right),
        ("DELETED", Align::Right),
        ("HELD", Align::Right),
    ]);
    for (entity_type, counts) in &reconciled.types {
        table.row(vec![
            clean(entity_type).into_owned(),
            number(counts.listed),
            number(counts.added),
            number(counts.deleted),
            number(counts.held),
        ]);
    }
    let held = reconciled.types.values().map(|counts| counts.held).fold(0, u64::saturating_add);
    let mut text = table.text(view);
    if held > 0 {
        let note = format!(
            "{} held back: so many missing at once may be a mistake of the server. If they are really gone: \
             aectl reconcile --accept",
            count(held, "deletion is", "deletions are")
        );
        text.push_str(&format!("\n{}\n", wrap(&note, 0, view.width)));
    }
    text
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;
    use aesync_protocol::response::TypeReconciled;

    use super::*;
    use crate::output::Paint;

    #[test]
    fn deletions_that_are_held_back_come_with_the_command_that_carries_them_out() {
        let counts = TypeReconciled { listed: 1200, added: 1, deleted: 0, held: 40 };
        let reconciled = Reconciled { types: [("end_user".to_owned(), counts)].into() };
        let view = View { paint: Paint(false), width: None, now: Timestamp::EPOCH };
        let text = text(&reconciled, &view);
        assert!(
            text.starts_with(
                "TYPE      LISTED  ADDED  DELETED  HELD\nend_user   1,200      1        0    40\n\n40 deletions are held back"
            ),
            "{text}"
        );
        assert!(text.ends_with("aectl reconcile --accept\n"));
    }
}
