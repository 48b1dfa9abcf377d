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
use aesync_protocol::{Error, ErrorCode};
use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::context::{Context, LOCAL, REMOTE, millis, parse};
use crate::exit::Failure;
use crate::output::PagedDocument;
use crate::progress::Bars;
use crate::text::{bytes, count, number};
use input::Input;
use parts::Part;

pub(super) use input::kind;

const EXAMPLES: &str = "\
The input is {\"TYPE\": [entity, ...], ...}, or with --type an array of entities or one entity a line.
An entity without an id gets one. A deletion is an entity with \"is_deleted\": 1.
Input that is longer than the daemon takes at once (8 MiB, ipc.max_message) goes in several calls.
Each of them is taken whole or not at all.

Examples:
  aectl push changes.json
  echo '{\"title\": \"call back\"}' | aectl push - --type interactions --wait acked";

/// What Windows writes before UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

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
    parts::check(&changes, parts::BUDGET)?;
    let wait = args.wait.wait();
    let patience = context.patience(REMOTE);
    let mut outcome = outcome::Outcome::new(wait);
    send(context, args, &changes, patience, &mut outcome)?;
    if !context.json {
        context.output.write(&outcome.text(&context.output.view()))?;
    }
    outcome.verdict(patience)
}

/// Sends the changes, in parts that the daemon takes.
fn send(
    context: &Context,
    args: &Args,
    changes: &Input<'_>,
    patience: Duration,
    outcome: &mut outcome::Outcome,
) -> Result<(), Failure> {
    let total = changes.count();
    let wait = Some(args.wait.wait()).filter(|wait| *wait != PushWait::Queued);
    // The daemon's own time-out is an answer; this side only has to notice a daemon that hangs.
    let deadline = if wait.is_none() { patience } else { patience + LOCAL };
    let mut client = context.connect()?;
    let mut document = PagedDocument::new(context.output, &[], "entries");
    // Who waits for the server is shown how far that is; who does not, how much is queued.
    let mut bars = if wait.is_some() { Bars::fed_by(&mut client, Push::NAME)? } else { Bars::hidden() };
    let mut bar = ProgressBar::hidden();
    let (mut place, mut budget, mut taken) = (parts::Place::default(), parts::BUDGET, 0);
    while let Some(part) = Part::next(changes, place, budget) {
        let is_whole = part.count() == total;
        if !is_whole && wait.is_none() && bar.is_hidden() {
            bar = progress_bar(total);
        }
        let params = parts::Params {
            changes: &part,
            // The parts of one push need ids of their own, the same in every repetition. One that is too long is not even read.
            request_id: args.request_id.as_ref().map(|id| if is_whole { id.clone() } else { format!("{id}.{}", taken + 1) }),
            wait,
            timeout_ms: wait.map(|_| millis(patience)),
        };
        let stopped = |cause| stopped(cause, &part, total, args.request_id.is_some());
        match client.call_for_json(Push::NAME, &params, deadline, |event| bars.take(&event)) {
            Ok(json) => {
                let answer: Answer<'_> = parse(Push::NAME, &json)?;
                if context.json {
                    document.page(&answer.entries)?;
                }
                for entry in &answer.entries {
                    outcome.count(parse(Push::NAME, entry)?);
                }
                bar.inc(part.count());
                place = part.end;
                taken += 1;
            }
            Err(ClientError::Remote(error)) if is_of_the_line(&error) => {
                if part.count() == 1 {
                    return Err(too_large(&part, total));
                }
                // Its limit is not known here: what follows begins with what was found out so far.
                budget = part.size / 2;
                // The daemon hangs up on whoever sent such a line.
                client = context.connect().map_err(|failure| match failure {
                    Failure::Client(cause) => stopped(cause),
                    other => other,
                })?;
            }
            Err(cause) => return Err(stopped(cause)),
        }
    }
    bar.finish_and_clear();
    drop(bars);
    if context.json { document.end(&[]) } else { Ok(()) }
}

/// Whether the line as a whole was too long for the daemon (`ipc.max_message`), rather than one entity for the server.
fn is_of_the_line(error: &Error) -> bool {
    error.is(ErrorCode::TooLarge) && error.data.as_ref().is_some_and(|details| !details.more.contains_key("index"))
}

/// Reads a file, or stdin for `-`. The mark that some editors write before UTF-8 is none of it.
pub(super) fn read_input(file: &Path) -> Result<String, Failure> {
    let (read, name) = if file == Path::new("-") {
        let mut text = String::new();
        (io::stdin().lock().read_to_string(&mut text).map(|_| text), "stdin".into())
    } else {
        (std::fs::read_to_string(file), file.to_string_lossy())
    };
    let mut text = read.map_err(|source| Failure::File {
        tried: format!("reading {name}"),
        source,
        next: "give a readable file of UTF-8 text, or - for stdin",
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.remove(0);
    }
    Ok(text)
}

fn stopped(cause: ClientError, part: &Part<'_>, total: u64, repeatable: bool) -> Failure {
    if part.count() == total {
        return cause.into();
    }
    let next = if repeatable { "repeat the same command to go on".to_owned() } else { push_the_rest(part) };
    let place =
        part.first().map_or_else(String::new, |(name, index)| format!(", in the part that begins with index {index} of {name}"));
    Failure::Partly { how_far: format!("{} ({next}); it stopped{place}", queued(part, total)), cause: Box::new(cause) }
}

/// One entity that does not even go through alone.
fn too_large(part: &Part<'_>, total: u64) -> Failure {
    let (name, index) = part.first().unwrap_or_default();
    let so_far = match part.before() {
        0 => "nothing was queued".to_owned(),
        _ => format!("{}; then {}", queued(part, total), push_the_rest(part)),
    };
    Failure::Refused(format!(
        "entity {index} of {name} takes {}, which is more than the daemon takes in one message; make it smaller, or \
         raise ipc.max_message ({so_far})",
        bytes(part.size as u64)
    ))
}

fn queued(part: &Part<'_>, total: u64) -> String {
    let verb = if part.before() == 1 { "is" } else { "are" };
    format!("{} of {} {verb} queued", number(part.before()), count(total, "entity", "entities"))
}

fn push_the_rest(part: &Part<'_>) -> String {
    format!("push the rest from entity {} on", number(part.before() + 1))
}

/// Hidden unless there is a terminal.
fn progress_bar(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::new(total).with_prefix("push").with_style(crate::progress::style(true))
}

/// A duration as people write it.
fn human(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}
