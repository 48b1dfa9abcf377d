//! The near end of the chain: the socket, the daemon behind it, and what this user may do there.

use std::path::Path;

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::{ConfigGet, GetStatus};
use aesync_protocol::response::Role;
use aesync_protocol::status::Attention;

use super::system::is_socket;
use super::{Finding, Told};
use crate::cmd::status::report::advice_for;
use crate::context::{Absence, Context, LOCAL, hello};
use crate::keeper::Keeper;

/// The file that the daemon listens on.
pub(super) fn socket(path: &Path, keeper: &Keeper) -> Finding {
    let shown = path.display();
    match is_socket(path) {
        Ok(true) => Finding::ok("socket", format!("{shown} is a socket.")),
        Ok(false) => Finding::broken(
            "socket",
            format!("{shown} is no socket, so that the daemon can't listen there."),
            "move that file away, or set another path as ipc.socket and AESYNC_SOCKET",
        ),
        Err(error) => Finding::broken(
            "socket",
            format!("{shown} can't be seen: {error}."),
            format!("{}, or name the daemon's socket with --socket or AESYNC_SOCKET", keeper.start()),
        ),
    }
}

/// Asks the daemon for what the other checks need.
pub(super) fn ask(context: &Context, keeper: &Keeper, findings: &mut Vec<Finding>) -> Told {
    let mut client = match connect(context, keeper) {
        Ok(client) => client,
        Err(finding) => {
            findings.push(finding);
            return Told::default();
        }
    };
    let mut told = Told::default();
    match client.call(&hello()) {
        Ok(hello) => {
            findings.push(version(&hello.server.version, keeper));
            findings.push(permissions(hello.role));
            told.role = Some(hello.role);
        }
        Err(error) => findings.push(failed(&error, keeper)),
    }
    match client.call(&GetStatus {}) {
        Ok(status) => told.status = Some(status),
        Err(error) => findings.push(failed(&error, keeper)),
    }
    if told.role == Some(Role::Admin) {
        told.configuration = client.call(&ConfigGet {}).ok();
    }
    told
}

fn connect(context: &Context, keeper: &Keeper) -> Result<Client, Finding> {
    let path = context
        .socket_path()
        .map_err(|error| Finding::broken("socket", error.to_string(), "name a shorter path with --socket"))?;
    Client::connect_within(&path, context.patience(LOCAL)).map_err(|error| match error {
        ClientError::NotRunning { path, .. } => not_running(context, keeper, &path),
        other => failed(&other, keeper),
    })
}

fn not_running(context: &Context, keeper: &Keeper, path: &Path) -> Finding {
    match context.absence(path) {
        Absence::Named { path, by } => Finding::broken(
            "service",
            format!("No daemon listens on {}, which {by} names.", path.display()),
            format!("aesyncd --socket {}, or leave {by} out for the usual daemon", path.display()),
        ),
        Absence::Service { start, .. } => Finding::broken(
            "service",
            "aesyncd is not running.",
            format!("{start}; if it ends again: {}, aesyncd --check", keeper.log()),
        ),
    }
}

/// What it means that a call failed.
fn failed(error: &ClientError, keeper: &Keeper) -> Finding {
    match error {
        ClientError::PermissionDenied { .. } => {
            let text = error.to_string();
            let (what, next) = text.split_once("; ").unwrap_or((&text, "ask its administrator for access"));
            Finding::broken("permissions", format!("{what}."), next)
        }
        ClientError::Timeout { method, .. } => Finding::broken(
            "service",
            format!("aesyncd took the connection and does not answer `{method}`."),
            format!("restart it: {}; then aectl bug-report", keeper.restart()),
        ),
        other => Finding::broken("service", other.to_string(), format!("look at {}", keeper.log())),
    }
}

fn version(daemon: &str, keeper: &Keeper) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    if daemon == own {
        Finding::ok("service", format!("aesyncd {daemon} answers."))
    } else {
        Finding::warning(
            "service",
            format!("aesyncd {daemon} answers, and this is aectl {own}."),
            format!("start it anew, so that the installed version runs: {}", keeper.restart()),
        )
    }
}

fn permissions(role: Role) -> Finding {
    match role {
        Role::Admin => Finding::ok("permissions", "This user may do everything (admin)."),
        Role::Operator => Finding::ok("permissions", "This user may sync, and not sign in or configure (operator)."),
        Role::Observer => Finding::warning(
            "permissions",
            "This user may only look (observer).",
            "to push or pull, be named in [access] operators of aesyncd.toml",
        ),
    }
}

/// What the daemon itself says needs a person.
pub(super) fn attention(attention: &Attention) -> Finding {
    let message = attention.message.as_str();
    let (what, next) = match message.split_once(": ") {
        // What comes behind the colon is the reason, and then what to do.
        Some((_, rest)) if rest.contains("; ") && matches!(attention.code.as_str(), "push_stopped" | "login_refused") => {
            message.rsplit_once("; ").unwrap_or((message, advice_for(&attention.code)))
        }
        Some((what, next)) if next.contains("aectl ") || attention.code.starts_with("storage") => (what, next),
        _ => (message, advice_for(&attention.code)),
    };
    Finding::warning("attention", format!("{}.", what.trim_end_matches('.')), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attention_comes_with_a_step_that_helps() {
        for (code, message, what, next) in [
            (
                "conflicts",
                "1 local change was overruled: decide with `aectl conflicts`",
                "1 local change was overruled.",
                "decide with `aectl conflicts`",
            ),
            (
                "updates_dropped",
                "the server drops updates of existing a rows and keeps its own",
                "the server drops updates of existing a rows and keeps its own.",
                "change such rows on the server itself; for what it overruled see `aectl conflicts`",
            ),
            (
                "push_stopped",
                "pushing is stopped: there is no such route; check server.url, then `aectl sync`",
                "pushing is stopped: there is no such route.",
                "check server.url, then `aectl sync`",
            ),
            (
                "login_refused",
                "the sign-in was refused: wrong password; `aectl login`",
                "the sign-in was refused: wrong password.",
                "`aectl login`",
            ),
            (
                "misconfigured",
                "server.url: no server is set",
                "server.url: no server is set.",
                "correct aesyncd.toml, then `aectl reload`",
            ),
            (
                "parked",
                "2 local changes of another sign-in wait until that one is back",
                "2 local changes of another sign-in wait until that one is back.",
                "sign in as before with `aectl login`, or give them up with `aectl outbox discard`",
            ),
            (
                "storage_full",
                "nothing can be stored (no space): make room; the daemon goes on by itself",
                "nothing can be stored (no space).",
                "make room; the daemon goes on by itself",
            ),
            (
                "store_damaged",
                "the store was damaged; it was moved to /s/damaged-1: `aectl acknowledge` once you know of it",
                "the store was damaged; it was moved to /s/damaged-1.",
                "`aectl acknowledge` once you know of it",
            ),
            ("from_the_future", "Look out.", "Look out.", "if it stays: `aectl bug-report`"),
        ] {
            let found = attention(&Attention { code: code.to_owned(), message: message.to_owned(), count: None });
            assert_eq!((found.message.as_str(), found.next.as_deref()), (what, Some(next)), "{code}");
        }
    }
}
