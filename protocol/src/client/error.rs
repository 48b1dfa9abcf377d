//! What can go wrong between a client and the daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::endpoint;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("aesyncd is not running: nothing answers at {}; start it with `{start}`, or run `aesyncd`", path.display())]
    NotRunning {
        /// The path that was tried.
        path: PathBuf,
        /// The command that starts the daemon which would listen there.
        start: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The socket may not be opened by this user.
    #[error("this user may not open {}; {}", path.display(), advice(group.as_deref()))]
    PermissionDenied {
        /// The path that was tried.
        path: PathBuf,
        /// The group that the socket (or its directory) belongs to, if it could be seen and is not root's.
        group: Option<String>,
        /// What the system said.
        source: io::Error,
    },
    /// It failed in some other way.
    #[error("connecting to {} failed: {source}; check the path that `aectl socket-path` prints", path.display())]
    Connect {
        /// The path that was tried.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon closed the connection before it had answered.
    #[error("aesyncd closed the connection at {} before it answered; it may be restarting: try again", path.display())]
    Closed {
        /// The socket.
        path: PathBuf,
        /// What the system said, if it was not a plain end.
        source: Option<io::Error>,
    },
    /// No answer in time.
    #[error("aesyncd did not answer `{method}` within {}; try again, or allow more time", human(*after))]
    Timeout {
        /// The method, or `connect`.
        method: String,
        /// How long the client waited.
        after: Duration,
    },
    /// The other side does not speak this protocol.
    #[error("what answered does not speak this protocol: {reason}; check that aesyncd and this program have matching versions")]
    Protocol {
        /// What it was.
        reason: String,
    },
    /// The daemon's own error.
    #[error("{0}")]
    Remote(crate::Error),
}

impl ClientError {
    pub(super) fn from_connect(path: &Path, timeout: Duration, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                let start = if cfg!(windows) {
                    "sc start aesyncd"
                } else if path.starts_with(endpoint::SYSTEM_DIR) {
                    "systemctl start aesyncd"
                } else {
                    "systemctl --user start aesyncd"
                };
                Self::NotRunning { path, start, source }
            }
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { group: group_of(&path), path, source },
            io::ErrorKind::TimedOut => Self::Timeout { method: "connect".to_owned(), after: timeout },
            _ => Self::Connect { path, source },
        }
    }
}

/// The group that opens the door: that of the socket, or of its directory when that can't be entered.
#[cfg(unix)]
fn group_of(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let seen = path.metadata().or_else(|error| path.parent().map_or(Err(error), Path::metadata)).ok()?;
    let group = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(seen.gid())).ok()??;
    (group.gid.as_raw() != 0).then_some(group.name)
}

#[cfg(not(unix))]
fn group_of(_: &Path) -> Option<String> {
    None
}

fn advice(group: Option<&str>) -> String {
    match group {
        Some(group) => {
            format!("join its group with `sudo usermod -aG {group} $USER` and sign in again, or ask its administrator")
        }
        None => "ask its administrator for access, or run this as root".to_owned(),
    }
}

fn human(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis < 1000 => format!("{millis} ms"),
        millis if millis % 1000 == 0 => format!("{} s", millis / 1000),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}
