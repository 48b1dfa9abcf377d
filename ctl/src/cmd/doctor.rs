//! `aectl doctor`: walks the whole chain from the socket to the server, and says what to do about each finding.

mod configuration;
mod deep;
mod finding;
mod health;
mod place;
mod server;
mod service;
mod store;
mod system;

use std::process::ExitCode;

use aesync_protocol::Status;
use aesync_protocol::response::Role;
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::{FAILED, Failure};
pub(super) use finding::{Finding, Level, list_text};

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
    let (mut findings, told) = look(context)?;
    let mut deep = None;
    if args.deep {
        let (found, totals) = deep::check(context, &told);
        findings.extend(found);
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

/// Everything that was found, from the near end of the chain to the far one.
pub(super) fn examine(context: &Context) -> Result<Vec<Finding>, Failure> {
    look(context).map(|(findings, _)| findings)
}

fn look(context: &Context) -> Result<(Vec<Finding>, Told), Failure> {
    let path = context.socket_path()?;
    let mut findings = vec![service::socket(&path)];
    let told = service::ask(context, &mut findings);
    findings.push(configuration::check(&told));
    findings.extend(place::check(&told));
    findings.extend(store::check(context, &told));
    findings.extend(server::check(context, &told));
    findings.extend(told.status.iter().flat_map(|status| &status.attention).map(service::attention));
    Ok((findings, told))
}
