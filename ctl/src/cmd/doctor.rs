//! `aectl doctor`: walks the whole chain from the socket to the server, and says what to do about each finding.

mod configuration;
mod deep;
mod finding;
mod installed;
mod owner;
mod place;
mod server;
mod service;
mod store;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;

use aesync_protocol::Status;
use aesync_protocol::response::Role;
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::{FAILED, Failure};
use crate::keeper::Keeper;
pub(super) use finding::{Finding, Level, list_text};
pub(super) use installed::Checked;
use installed::Installed;

pub(crate) const EXAMPLES: &str = "\
Works without the daemon, too. Exits with 1 when something is broken, with 0 when there are only warnings.

Examples:
  aectl doctor
  sudo aectl doctor                                        sees the state directory and the configuration, too
  sudo aectl doctor --deep                                 checks everything that is stored, while the daemon serves
  aectl doctor --json | jq '.findings[] | select(.level == \"broken\")'";

/// What the daemon told of itself; nothing of it when there is none.
#[derive(Debug, Default)]
struct Told {
    role: Option<Role>,
    status: Option<Status>,
    configuration: Option<Value>,
}

/// Its own arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check all checksums of the store as well; what is damaged is mended
    #[arg(long)]
    deep: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<ExitCode, Failure> {
    let Examined { mut findings, told, keeper, .. } = examine(context)?;
    let mut deep = None;
    if args.deep {
        let (found, totals) = deep::check(context, &told, &keeper);
        findings.extend(found.into_iter().map(|finding| finding.addressed(&keeper)));
        deep = Some(totals);
    }
    let broken = findings.iter().filter(|finding| finding.level == Level::Broken).count();
    if context.json {
        context.output.line(&report(&findings, broken, deep.as_ref()).to_string())?;
    } else {
        context.output.write(&list_text(&findings, &context.output.view()))?;
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn report(findings: &[Finding], broken: usize, deep: Option<&deep::Totals>) -> Value {
    let mut report = json!({"findings": findings, "broken": broken});
    if let (Some(deep), Some(fields)) = (deep, report.as_object_mut()) {
        fields.insert("deep".to_owned(), json!(deep));
    }
    report
}

/// What an examination came to.
#[derive(Debug)]
pub(super) struct Examined {
    /// From the near end of the chain to the far one.
    pub(super) findings: Vec<Finding>,
    /// What the installed daemon thinks of its configuration, where that can be told.
    pub(super) checked: Option<Result<Checked, String>>,
    /// Where the state is.
    pub(super) state: Option<PathBuf>,
    pub(super) keeper: Keeper,
    told: Told,
}

pub(super) fn examine(context: &Context) -> Result<Examined, Failure> {
    let path = context.socket_path()?;
    let mut keeper = context.keeper(&path);
    let mut findings = vec![service::socket(&path, &keeper)];
    let told = service::ask(context, &keeper, &mut findings);
    let daemon = told.status.as_ref().map(|status| &status.daemon);
    if let Some(daemon) = daemon {
        keeper = keeper.with_process(daemon.pid, &daemon.instance);
    }
    let installed = Installed::find(&keeper, &path);
    // What a running daemon was started with by hand is known to nobody else.
    let is_known = daemon.is_none() || keeper.scope.is_some();
    let checked = installed.as_ref().filter(|_| is_known).map(|installed| installed.check().map_err(|error| error.to_string()));
    let account = owner::account(daemon.map(|daemon| daemon.pid), &keeper);
    findings.extend(configuration::check(&told, checked.as_ref(), account.as_ref()));
    let state = state_dir(&told, checked.as_ref());
    findings.extend(place::check(state.as_deref(), daemon.is_some(), account.as_ref()));
    findings.extend(store::check(context, &told, &keeper));
    findings.extend(server::check(context, &told, installed.as_ref()));
    findings.extend(told.status.iter().flat_map(|status| &status.attention).map(service::attention));
    let findings = findings.into_iter().map(|finding| finding.addressed(&keeper)).collect();
    Ok(Examined { findings, checked, state, keeper, told })
}

/// As the running daemon says, or as the next one would have it.
fn state_dir(told: &Told, checked: Option<&Result<Checked, String>>) -> Option<PathBuf> {
    let running = told.configuration.as_ref().and_then(|shown| shown.get("state")?.get("dir")?.as_str());
    running.map(PathBuf::from).or_else(|| Some(checked?.as_ref().ok()?.state()?.to_owned()))
}
