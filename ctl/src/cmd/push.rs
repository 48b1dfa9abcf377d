//! `aectl push`

mod input;
mod outcome;
mod parts;

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::client::ClientError;
use aesync_protocol::request::{Method as _, Push, PushWait};
use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::context::{Context, LOCAL, REMOTE, millis, parse};
use crate::exit::Failure;
use crate::output::PagedDocument;
use crate::text::{count, number};
use parts::Part;

const EXAMPLES: &str = "\
The input is {\"TYPE\": [entity, ...], ...}, or with --type an array of entities or one entity a line.
An entity without an id gets one. A deletion is an entity with \"is_deleted\": 1.
Input over 8 MiB goes in several calls, each of which is taken whole or not at all.

Examples:
  aectl push changes.json
  echo '{\"title\": \"call back\"}' | aectl push - --type interactions --wait acked";

/// What `push` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The changes as JSON, `-` for stdin
    file: PathBuf,
    /// The entity type of an array or of lines
    #[arg(long = "type", value_name = "TYPE", add = clap_complete::ArgValueCompleter::new(crate::complete::types))]
    entity_type: Option<String>,
    /// When to return
    #[arg(long, value_enum, default_value_t)]
    wait: WaitArg,
    /// Makes it safe to repeat the same call: the daemon gives the first answer again
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

/// When to return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WaitArg {
    /// When the changes are on this machine's disk
    #[default]
    Queued,
    /// When the server has judged them
    Acked,
    /// When a pull has shown them
    Confirmed,
}

impl WaitArg {
    fn wait(self) -> PushWait {
        match self {
            Self::Queued => PushWait::Queued,
            Self::Acked => PushWait::Acked,
            Self::Confirmed => PushWait::Confirmed,
        }
    }
}

/// An answer whose entries stay as the daemon wrote them.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let text = read_input(&args.file)?;
    let changes = input::parse(&text, args.entity_type.as_deref())?;
    let parts = parts::split(&changes, parts::BUDGET)?;
    let total = changes.count();
    let wait = args.wait.wait();
    let patience = context.patience(REMOTE);
    // The daemon's own time-out is an answer; this side only has to notice a daemon that hangs.
    let deadline = if wait == PushWait::Queued { patience } else { patience + LOCAL };

    let mut client = context.connect()?;
    let mut document = PagedDocument::new(context.output, &[], "entries");
    let mut outcome = outcome::Outcome::new(wait);
    let bar = progress_bar(total, parts.len());
    for (index, part) in parts.iter().enumerate() {
        let params = parts::Params {
            changes: part,
            request_id: args.request_id.as_deref().map(|id| part_id(id, index, parts.len())),
            wait: (wait != PushWait::Queued).then_some(wait),
            timeout_ms: (wait != PushWait::Queued).then_some(millis(patience)),
        };
        let json = client
            .call_for_json(Push::NAME, &params, deadline, |_| {})
            .map_err(|cause| stopped(cause, part, total, parts.len(), args.request_id.is_some()))?;
        let answer: Answer<'_> = parse(Push::NAME, &json)?;
        if context.json {
            document.page(&answer.entries)?;
        }
        for entry in &answer.entries {
            outcome.count(parse(Push::NAME, entry)?);
        }
        bar.inc(part.count());
    }
    bar.finish_and_clear();
    if context.json {
        document.end(&[])?;
    } else {
        context.output.write(&outcome.text(&context.output.view()))?;
    }
    outcome.verdict(patience)
}

/// Reads a file, or stdin for `-`.
pub(super) fn read_input(file: &Path) -> Result<String, Failure> {
    let (read, name) = if file == Path::new("-") {
        let mut text = String::new();
        (io::stdin().lock().read_to_string(&mut text).map(|_| text), "stdin".into())
    } else {
        (std::fs::read_to_string(file), file.to_string_lossy())
    };
    read.map_err(|source| Failure::File {
        tried: format!("reading {name}"),
        source,
        next: "give a readable file of UTF-8 text, or - for stdin",
    })
}

/// The parts of one push need ids of their own, the same ones in every repetition.
fn part_id(id: &str, index: usize, parts: usize) -> String {
    if parts == 1 { id.to_owned() } else { format!("{id}.{}", index + 1) }
}

fn stopped(cause: ClientError, part: &Part<'_>, total: u64, parts: usize, repeatable: bool) -> Failure {
    if parts == 1 {
        return cause.into();
    }
    let next = if repeatable {
        "repeat the same command to go on".to_owned()
    } else {
        format!("push the rest from entity {} on", number(part.before + 1))
    };
    let place = part
        .first_type()
        .map_or_else(String::new, |(name, index)| format!(", in the part that begins with index {index} of {name}"));
    Failure::Partly {
        how_far: format!(
            "{} of {} are queued ({next}); it stopped{place}",
            number(part.before),
            count(total, "entity", "entities")
        ),
        cause: Box::new(cause),
    }
}

/// Hidden unless there is a terminal and more than one part.
fn progress_bar(total: u64, parts: usize) -> ProgressBar {
    if parts < 2 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::new(total).with_prefix("push").with_style(crate::progress::style(true))
}

/// A duration as people write it.
fn human(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
