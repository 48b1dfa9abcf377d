//! `aectl pull`

use std::collections::BTreeMap;
use std::process::ExitCode;

use aesync_protocol::request::Pull;
use aesync_protocol::response::TypePulled;

use crate::cmd::some_types;
use crate::context::{BULK, Context};
use crate::exit::Failure;
use crate::output::{Align, Table, View};
use crate::progress;
use crate::text::{clean, number};

/// What `pull` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these entity types
    #[arg(value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    types: Vec<String>,
    /// Ask for everything, not just for what is new
    #[arg(long)]
    full: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let params = Pull { entity_types: some_types(args.types), full: args.full.then_some(true) };
    let json = progress::fetch(context, &params, BULK)?;
    context.show::<Pull>(&json, |pulled, view| pulled_text(&pulled.types, view))
}

/// What each type brought.
pub(super) fn pulled_text(types: &BTreeMap<String, TypePulled>, view: &View) -> String {
    if types.values().all(|pulled| pulled.changed == 0 && pulled.deleted == 0) {
        return "Nothing new.\n".to_owned();
    }
    let mut table =
        Table::new(&[("TYPE", Align::Left), ("RECEIVED", Align::Right), ("CHANGED", Align::Right), ("DELETED", Align::Right)]);
    for (entity_type, pulled) in types {
        table.row(vec![clean(entity_type).into_owned(), number(pulled.received), number(pulled.changed), number(pulled.deleted)]);
    }
    table.text(view)
}
