//! The near end of the chain: the socket, the daemon behind it, and what this user may do there.

use std::path::Path;

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::{ClientName, ConfigGet, GetStatus, Hello};
use aesync_protocol::response::Role;
use aesync_protocol::status::Attention;

use super::system::is_socket;
use super::{Finding, Told};
use crate::context::{Context, LOCAL};

/// The file that the daemon listens on.
pub(super) fn socket(path: &Path) -> Finding {
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
            "start the daemon, or name its socket with --socket or AESYNC_SOCKET",
        ),
    }
}

/// Asks the daemon for what the other checks need.
pub(super) fn ask(context: &Context, findings: &mut Vec<Finding>) -> Told {
    let mut client = match connect(context) {
        Ok(client) => client,
        Err(finding) => {
            findings.push(finding);
            return Told::default();
        }
    };
    let name = ClientName { name: "aectl".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let mut told = Told::default();
    match client.call(&Hello { client: name, protocol: 1 }) {
        Ok(hello) => {
            findings.push(version(&hello.server.version));
            findings.push(permissions(hello.role));
            told.role = Some(hello.role);
        }
        Err(error) => findings.push(failed(&error)),
    }
    match client.call(&GetStatus {}) {
        Ok(status) => told.status = Some(status),
        Err(error) => findings.push(failed(&error)),
    }
    if told.role == Some(Role::Admin) {
        told.configuration = client.call(&ConfigGet {}).ok();
    }
    told
}

fn connect(context: &Context) -> Result<Client, Finding> {
    let path = context
        .socket_path()
        .map_err(|error| Finding::broken("socket", error.to_string(), "name a shorter path with --socket"))?;
    Client::connect_within(&path, context.patience(LOCAL)).map_err(|error| failed(&error))
}

/// What it means that a call failed.
fn failed(error: &ClientError) -> Finding {
    match error {
        ClientError::NotRunning { start, .. } => Finding::broken(
            "service",
            "aesyncd is not running.",
            format!("{start}; if it ends again: journalctl -u aesyncd -n 30, aesyncd --check"),
        ),
        ClientError::PermissionDenied { .. } => {
            let text = error.to_string();
            let (what, next) = text.split_once("; ").unwrap_or((&text, "ask its administrator for access"));
            Finding::broken("permissions", format!("{what}."), next)
        }
        ClientError::Timeout { method, .. } => Finding::broken(
            "service",
            format!("aesyncd took the connection and does not answer `{method}`."),
            "restart it: systemctl restart aesyncd; then aectl bug-report",
        ),
        other => Finding::broken("service", other.to_string(), "look at journalctl -u aesyncd -n 30"),
    }
}

fn version(daemon: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    if daemon == own {
        Finding::ok("service", format!("aesyncd {daemon} answers."))
    } else {
        Finding::warning(
            "service",
            format!("aesyncd {daemon} answers, and this is aectl {own}."),
            "restart the service, so that the installed version runs: systemctl restart aesyncd",
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
    let (what, next) = attention.message.split_once(": ").unwrap_or((&attention.message, "see aectl status"));
    Finding::warning("attention", format!("{what}."), next)
}
