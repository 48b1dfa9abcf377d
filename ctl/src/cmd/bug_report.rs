//! `aectl bug-report`: what whoever looks into a fault needs to know, in one file, without secrets and without anybody's records.

mod directory;
mod redact;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use aesync_protocol::request::{ConfigGet, GetStatus, GetStoreFigures, Method, Metrics, OutboxList};
use aesync_protocol::response::{EntryPage, MetricsText};
use serde_json::json;

use super::doctor::{self, Checked, Examined};
use super::external;
use crate::context::{Context, LOCAL, parse};
use crate::exit::Failure;
use crate::keeper::Keeper;
use crate::output::{Paint, View, now};
use crate::text::clean;

const EXAMPLES: &str = "\
The file has versions, the configuration without secrets, the status, the examination of `aectl doctor`, errors of the outbox without its
data, metrics, what the state directory takes up, and the journal's warnings. Without a daemon it has what can be told without one. It names the server, the tenant and who is signed in: read it before you pass it on.

Example:
  aectl bug-report --output report.txt";

/// What one journal query may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many entries of the outbox are listed.
const ENTRIES: u32 = 100;

/// What `bug-report` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to write it; must not exist [default: aesync-bug-report-TIME.txt]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let name = || {
        let time: String = now().to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        PathBuf::from(format!("aesync-bug-report-{time}.txt"))
    };
    let path = args.output.unwrap_or_else(name);
    write_new(&path, &redact::redact(&report(context)?)).map_err(|source| Failure::File {
        tried: format!("writing {}", path.display()),
        source,
        next: "name a new file with --output",
    })?;
    let path = path.to_string_lossy();
    if context.json {
        context.output.line(&json!({ "path": path }).to_string())?;
    } else {
        context.output.line(&format!("Wrote {}. It has no secrets; read it before you pass it on.", clean(&path)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// For the eyes of its owner, and never over another file.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

fn report(context: &Context) -> Result<String, Failure> {
    let view = View { paint: Paint(false), width: None, now: now() };
    let mut text = format!("aesync bug report, {}\n", view.now);
    section(&mut text, "versions", &versions());
    let Examined { findings, checked, state, keeper, .. } = doctor::examine(context)?;
    section(&mut text, "examination", &doctor::list_text(&findings, &view));
    section(&mut text, "status", &answer(context, &GetStatus {}, str::to_owned));
    section(&mut text, "configuration", &answer(context, &ConfigGet {}, str::to_owned));
    section(&mut text, "aesyncd --check", &check(checked.as_ref()));
    section(&mut text, "outbox", &answer(context, &OutboxList { limit: Some(ENTRIES), ..OutboxList::default() }, outbox));
    section(
        &mut text,
        "metrics",
        &answer(context, &Metrics {}, |json| {
            serde_json::from_str(json).map_or_else(|_| json.to_owned(), |metrics: MetricsText| metrics.text)
        }),
    );
    section(&mut text, "store", &answer(context, &GetStoreFigures {}, str::to_owned));
    section(&mut text, "state directory", &state.map_or_else(|| "not known".to_owned(), |dir| directory::list(&dir)));
    section(&mut text, "journal, warnings and worse", &journal(&keeper));
    Ok(text)
}

fn section(text: &mut String, title: &str, body: &str) {
    // Writing to a string can't fail.
    let _ = write!(text, "\n== {title}\n{}\n", body.trim_end());
}

fn versions() -> String {
    let system = external::output_of(Command::new("uname").arg("-srm"), PATIENCE)
        .map_or_else(|error| error.to_string(), |done| done.stdout);
    let name = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = name.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or(std::env::consts::OS);
    format!("aectl {}\nsystem {name}, {system}", env!("CARGO_PKG_VERSION"))
}

/// An answer of the daemon, or why there is none.
fn answer<M: Method>(context: &Context, params: &M, show: impl FnOnce(&str) -> String) -> String {
    match context.fetch(params, LOCAL) {
        Ok(json) => show(json.get()),
        Err(failure) => format!("not there: {failure}"),
    }
}

/// The entries without what they carry.
fn outbox(json: &str) -> String {
    let page: Result<EntryPage, _> = serde_json::value::RawValue::from_string(json.to_owned())
        .map_err(|error| Failure::Refused(error.to_string()))
        .and_then(|json| parse(OutboxList::NAME, &json));
    let Ok(page) = page else { return "not there: the answer is not what this program knows".to_owned() };
    if page.entries.is_empty() {
        return "empty".to_owned();
    }
    let line = |entry: &aesync_protocol::response::Entry| {
        let error = entry.last_error.as_ref().map(|error| format!("  {} {}", error.status.unwrap_or_default(), error.message));
        let fields: Vec<&str> = entry.data.keys().map(String::as_str).collect();
        format!(
            "{} {} {} {} bytes, {} attempts, fields {}{}",
            entry.entry,
            entry.state,
            entry.entity_type,
            entry.bytes,
            entry.attempts,
            fields.join(","),
            error.unwrap_or_default()
        )
    };
    page.entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn check(checked: Option<&Result<Checked, String>>) -> String {
    match checked {
        None => "not there: aesyncd is not installed here, or runs by a configuration that only it knows".to_owned(),
        Some(Err(error)) => format!("not there: {error}"),
        Some(Ok(Checked { summary, warnings, errors })) => {
            let errors = errors.iter().map(|error| format!("error: {error}"));
            let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
            errors.chain(warnings).chain(summary.clone()).map(|line| clean(&line).into_owned()).collect::<Vec<_>>().join("\n")
        }
    }
}

fn journal(keeper: &Keeper) -> String {
    let Some((unit, user)) = keeper.unit() else {
        return format!("not there: no unit runs this daemon; look at {}", keeper.log());
    };
    let mut command = Command::new("journalctl");
    command.args(user.then_some("--user"));
    command.args(["-u", &unit, "-p", "warning", "-n", "100", "--no-pager", "-o", "short-iso-precise"]);
    match external::output_of(&mut command, PATIENCE) {
        Ok(done) if done.success => done.stdout,
        Ok(done) => format!("not there: {}", done.stderr),
        Err(error) => format!("not there: {error}"),
    }
}
