//! The commands, one a file.

pub(crate) mod acknowledge;
pub(crate) mod bug_report;
pub(crate) mod changes;
mod clients;
pub(crate) mod completions;
pub(crate) mod conflicts;
#[cfg(target_os = "linux")]
mod desktop;
pub(crate) mod doctor;
mod external;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod login;
mod logout;
pub(crate) mod manual;
mod metrics;
pub(crate) mod outbox;
mod pause;
mod ping;
pub(crate) mod pull;
pub(crate) mod pull_pending;
pub(crate) mod push;
pub(crate) mod reconcile;
mod reload;
mod resume;
mod shutdown;
mod socket_path;
pub(crate) mod status;
mod sync;
pub(crate) mod token;
mod top;
pub(crate) mod wait;
pub(crate) mod watch;

use std::process::ExitCode;

use aesync_protocol::request::GetStatus;

use crate::args::{Args, Command, Global, Later};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::text::clean;

/// Runs a command.
pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { global: Global { socket, instance, json, color, timeout }, command } = args;
    // To wait for nothing is to ask once; an answer takes longer than nothing.
    if timeout.is_some_and(|timeout| timeout.is_zero()) && !matches!(command, Command::Wait(_)) {
        return Err(Failure::Usage(
            "an answer takes longer than --timeout 0, which only `aectl wait` takes; write it as 500ms, 10s or 5min".to_owned(),
        ));
    }
    let context = Context { output: Output::new(color), json, timeout, socket, instance };
    match command {
        Command::Status(Later(args)) => status::run(&context, &args),
        Command::Watch(Later(args)) => watch::run(&context, args),
        Command::Push(Later(args)) => push::run(&context, &args),
        Command::Pull(Later(args)) => pull::run(&context, args),
        Command::PullPending(Later(args)) => pull_pending::run(&context, args),
        Command::Sync => sync::run(&context),
        Command::Get(Later(args)) => get::run(&context, args),
        Command::List(Later(args)) => list::run(&context, args),
        Command::Changes(Later(args)) => changes::run(&context, args),
        Command::Outbox(Later(args)) => outbox::run(&context, args),
        Command::Conflicts(Later(args)) => conflicts::run(&context, &args),
        Command::Reconcile(Later(args)) => reconcile::run(&context, args),
        Command::Acknowledge(Later(args)) => acknowledge::run(&context, args),
        Command::Login(Later(args)) => login::run(&context, args),
        Command::Token(Later(args)) => token::run(&context, args),
        Command::Logout => logout::run(&context),
        Command::Pause => pause::run(&context),
        Command::Resume => resume::run(&context),
        Command::Reload => reload::run(&context),
        Command::Shutdown => shutdown::run(&context),
        Command::Wait(Later(args)) => wait::run(&context, &args),
        Command::Ping => ping::run(&context),
        Command::Doctor(Later(args)) => doctor::run(&context, &args),
        Command::BugReport(Later(args)) => bug_report::run(&context, args),
        Command::Top => top::run(&context),
        #[cfg(target_os = "linux")]
        Command::Notify => desktop::notify(&context),
        #[cfg(target_os = "linux")]
        Command::Indicator => desktop::indicator(&context),
        #[cfg(not(target_os = "linux"))]
        Command::Notify | Command::Indicator => {
            Err(Failure::Usage("notify and indicator are for desktops on Linux; here try: aectl status --watch".to_owned()))
        }
        Command::Clients => clients::run(&context),
        Command::Metrics => metrics::run(&context),
        Command::SocketPath => socket_path::run(&context),
        Command::Completions(Later(args)) => completions::run(&context, &args),
        Command::Manual(Later(args)) => manual::run(&args),
    }
}

/// Types to filter by. The daemon takes any name, for which nothing may ever come: a misspelt one is found out here.
fn filter_types(context: &Context, types: Vec<String>) -> Result<Option<Vec<String>>, Failure> {
    if !types.is_empty() {
        let status = context.connect()?.call(&GetStatus {})?;
        if let Some(unknown) = types.iter().find(|name| !status.types.contains_key(*name)) {
            return Err(Failure::Refused(no_such_type(unknown, status.types.keys().map(String::as_str))));
        }
    }
    Ok(some_types(types))
}

fn no_such_type<'a>(unknown: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = known.clone().map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min();
    let hint = match near {
        Some((distance, name)) if distance <= unknown.len() / 3 => format!("did you mean {}? ", clean(name)),
        _ => String::new(),
    };
    let known: Vec<_> = known.map(clean).collect();
    format!("the daemon syncs no entity type {:?}; {hint}It syncs: {}", clean(unknown), known.join(", "))
}

/// Types that were named, or none for all of them.
fn some_types(types: Vec<String>) -> Option<Vec<String>> {
    (!types.is_empty()).then_some(types)
}
