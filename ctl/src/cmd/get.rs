//! `aectl get`

use std::process::ExitCode;

use aesync_protocol::ErrorCode;
use aesync_protocol::client::ClientError;
use aesync_protocol::request::RecordsGet;
use aesync_protocol::response::RecordFound;

use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::output::{Align, Table, View};
use crate::text::{clean, value, wrap};

/// What `get` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The entity type
    #[arg(value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    entity_type: String,
    /// The entity's id
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::complete::ids))]
    id: String,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let params = RecordsGet { entity_type: args.entity_type, id: args.id };
    let json = context.fetch(&params, LOCAL).map_err(|failure| missing(failure, &params.entity_type))?;
    context.show::<RecordsGet>(&json, |found, view| text(&found, view))
}

/// The daemon only says that there is no such record.
fn missing(failure: Failure, entity_type: &str) -> Failure {
    match failure {
        Failure::Client(ClientError::Remote(error))
            if error.is(ErrorCode::NotFound) && error.data.as_ref().is_some_and(|details| details.hint.is_none()) =>
        {
            let next =
                format!("see what is there with `aectl list {entity_type}`, or ask the server with `aectl pull {entity_type}`");
            ClientError::Remote(error.hint(next)).into()
        }
        other => other,
    }
}

/// The fields, and beside those with local changes what the server has.
fn text(found: &RecordFound, view: &View) -> String {
    // Long values are why one looks at a single record: nothing is cut.
    let mut table = Table::new(&[("FIELD", Align::Left), ("VALUE", Align::Left), ("SERVER", Align::Left)]).wrapping();
    for (name, field) in &found.record {
        let on_server = match &found.base {
            Some(base) => match base.get(name) {
                Some(other) if other == field => String::new(),
                Some(other) => value(other),
                None => "(absent)".to_owned(),
            },
            None => String::new(),
        };
        table.row(vec![clean(name).into_owned(), value(field), on_server]);
    }
    if let Some(base) = &found.base {
        for (name, field) in base.iter().filter(|(name, _)| !found.record.contains_key(*name)) {
            table.row(vec![clean(name).into_owned(), "(absent)".to_owned(), value(field)]);
        }
    }
    let mut text = table.text(view);
    if found.pending {
        let note = view.paint.orange("▲ holds local changes that the server has not confirmed");
        text.push_str(&format!("\n{}\n", wrap(&note, 2, view.width)));
    }
    text
}

#[cfg(test)]
mod tests {
    use aesync_protocol::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::output::Paint;

    #[test]
    fn local_changes_are_shown_beside_what_the_server_has() {
        let found: RecordFound = serde_json::from_value(json!({
            "record": {"id": "a", "title": "new\u{1b}[2J", "note": "x"},
            "pending": true,
            "base": {"id": "a", "title": "old", "gone": 1},
            "seq": 7
        }))
        .expect("a record");
        let view = View { paint: Paint(false), width: None, now: Timestamp::EPOCH };
        assert_eq!(
            text(&found, &view),
            "FIELD  VALUE         SERVER\n\
             id     a\n\
             title  new\\u{1b}[2J  old\n\
             note   x             (absent)\n\
             gone   (absent)      1\n\
             \n\
             ▲ holds local changes that the server has not confirmed\n"
        );
    }
}
