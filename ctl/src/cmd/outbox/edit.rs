//! `aectl outbox edit`

use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use aesync_protocol::Record;
use aesync_protocol::request::Method as _;
use aesync_protocol::request::{OutboxEdit, OutboxList};
use aesync_protocol::response::Entry;
use serde_json::Value;

use super::show::fetch_entry;
use crate::context::{Context, LOCAL, parse};
use crate::exit::Failure;

/// What `outbox edit` is asked for.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  aectl outbox edit 7\n  aectl outbox show 7 --json | jq .data.title=\\\"x\\\" | jq .data | aectl outbox edit 7 -"
)]
pub(super) struct Args {
    /// The entry's number
    #[arg(add = clap_complete::ArgValueCompleter::new(crate::complete::entries))]
    entry: u64,
    /// The whole entity as JSON, `-` for stdin [default: it is opened in $VISUAL or $EDITOR]
    file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let data = match &args.file {
        Some(file) => record(&crate::cmd::push::read_input(file)?)?,
        None => {
            let json = fetch_entry(context, args.entry)?;
            let entry: Entry = parse(OutboxList::NAME, &json)?;
            match edited(&entry.data)? {
                Some(data) => data,
                None => {
                    return Err(Failure::Refused(format!(
                        "entry {0} was not changed, so that nothing was sent; `aectl outbox retry {0}` sends it as it is",
                        args.entry
                    )));
                }
            }
        }
    };
    context.answer(&OutboxEdit { entry: args.entry, data }, LOCAL, |entry, _| {
        format!("Entry {} is {} again.\n", entry.entry, entry.state)
    })
}

fn record(text: &str) -> Result<Record, Failure> {
    let wrong = |why: String| Failure::Usage(format!("the entity is no JSON object: {why}; correct it and try again"));
    match serde_json::from_str(text).map_err(|error| wrong(error.to_string()))? {
        Value::Object(record) => Ok(record),
        other => Err(wrong(format!("it is {}", crate::cmd::push::kind(&other.to_string())))),
    }
}

/// What the editor made of it; `None` when it is the same as before.
fn edited(data: &Record) -> Result<Option<Record>, Failure> {
    let failed = |source| Failure::File {
        tried: "editing the entry".to_owned(),
        source,
        next: "set EDITOR, or give the entity as a file",
    };
    // Readable for this user alone, and gone afterwards.
    let mut file = tempfile::Builder::new().prefix("aectl-").suffix(".json").tempfile().map_err(failed)?;
    let before = serde_json::to_string_pretty(data).map_err(|error| failed(error.into()))?;
    writeln!(file, "{before}").and_then(|()| file.flush()).map_err(failed)?;
    open_editor(file.path()).map_err(failed)?;
    let mut after = String::new();
    // Some editors write a new file in place of the old one, others the old one.
    match std::fs::File::open(file.path()) {
        Ok(mut written) => written.read_to_string(&mut after),
        Err(_) => file.rewind().and_then(|()| file.read_to_string(&mut after)),
    }
    .map_err(failed)?;
    let after = record(&after)?;
    Ok((after != *data).then_some(after))
}

fn open_editor(path: &Path) -> io::Result<()> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|editor| !editor.is_empty())
        .unwrap_or_else(|| "vi".into());
    let editor = editor.to_string_lossy();
    let mut words = editor.split_whitespace();
    let status = Command::new(words.next().unwrap_or("vi")).args(words).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{editor} ended with {status}"))) }
}
