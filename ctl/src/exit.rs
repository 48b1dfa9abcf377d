//! What went wrong, as a sentence on stderr and as the exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use aesync_protocol::client::ClientError;
use aesync_protocol::endpoint::EndpointError;
use aesync_protocol::{Error, ErrorCode};

use crate::context::Absence;
use crate::text::clean;

/// The daemon refused or failed.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// No daemon there.
pub(crate) const NO_DAEMON: u8 = 3;
/// Somebody has to sign in.
pub(crate) const SIGN_IN_NEEDED: u8 = 4;
/// It took too long.
pub(crate) const TIMED_OUT: u8 = 5;
/// This user may not.
pub(crate) const NOT_ALLOWED: u8 = 6;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Nobody listens.
    #[error("{0}")]
    NotRunning(Absence),
    /// The command line, or what was given on stdin, can't be used.
    #[error("{0}")]
    Usage(String),
    /// The daemon answered, and the answer is no success.
    #[error("{0}")]
    Refused(String),
    /// What was waited for did not come.
    #[error("{0}")]
    NotReached(String),
    /// Only a part was done: how far it came, and why not further.
    #[error("{how_far}: {}", sentence(cause))]
    Partly { how_far: String, cause: Box<ClientError> },
    #[error("{tried} failed: {source}; {next}")]
    File { tried: String, source: io::Error, next: &'static str },
    #[error("writing the output failed: {0}; check where it goes")]
    Output(io::Error),
    /// The exit code says it all.
    #[error("")]
    Silent(u8),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => client_code(error),
            Self::NotRunning(_) => NO_DAEMON,
            Self::Partly { cause, .. } => client_code(cause),
            Self::Endpoint(_) | Self::Usage(_) => USAGE,
            Self::Refused(_) | Self::File { .. } => FAILED,
            Self::NotReached(_) => TIMED_OUT,
            // Whoever read the output has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => FAILED,
            Self::Silent(code) => *code,
        }
    }
}

fn client_code(error: &ClientError) -> u8 {
    match error {
        ClientError::NotRunning { .. } | ClientError::Closed { .. } => NO_DAEMON,
        ClientError::PermissionDenied { .. } => NOT_ALLOWED,
        ClientError::Timeout { .. } => TIMED_OUT,
        ClientError::Connect { .. } | ClientError::Protocol { .. } => FAILED,
        ClientError::Remote(error) if error.is(ErrorCode::AuthRequired) => SIGN_IN_NEEDED,
        ClientError::Remote(error) if error.is(ErrorCode::PermissionDenied) => NOT_ALLOWED,
        ClientError::Remote(error) if error.is(ErrorCode::Timeout) => TIMED_OUT,
        ClientError::Remote(_) => FAILED,
    }
}

/// Says on stderr what went wrong, unless nobody needs to know.
pub(crate) fn report(failure: &Failure, quiet: bool) -> ExitCode {
    let code = failure.exit_code();
    let silent = quiet || code == 0 || matches!(failure, Failure::Silent(_));
    if !silent {
        let sentence = match failure {
            Failure::Client(error) => sentence(error),
            other => other.to_string(),
        };
        // There is nobody left to tell when stderr is closed.
        let _ = writeln!(io::stderr(), "aectl: {}", clean(&sentence));
    }
    ExitCode::from(code)
}

fn sentence(error: &ClientError) -> String {
    match error {
        ClientError::Remote(error) => remote_sentence(error),
        ClientError::Timeout { .. } => format!("{error} with --timeout"),
        other => other.to_string(),
    }
}

/// The daemon's message, and its hint unless the message says the same.
fn remote_sentence(error: &Error) -> String {
    match error.data.as_ref().and_then(|details| details.hint.as_deref()) {
        Some(hint) if !error.message.contains(hint) => format!("{}; {hint}", error.message.trim_end_matches('.')),
        _ => error.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_promised_exit_code() {
        let remote = |code| Failure::from(ClientError::Remote(Error::new(code, "no")));
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (failure, code) in [
            (remote(ErrorCode::Offline), FAILED),
            (remote(ErrorCode::InvalidEntity), FAILED),
            (remote(ErrorCode::AuthRequired), SIGN_IN_NEEDED),
            (remote(ErrorCode::PermissionDenied), NOT_ALLOWED),
            (remote(ErrorCode::Timeout), TIMED_OUT),
            (ClientError::NotRunning { path: "/s".into(), start: "x", source: refused() }.into(), NO_DAEMON),
            (ClientError::Closed { path: "/s".into(), source: None }.into(), NO_DAEMON),
            (ClientError::PermissionDenied { path: "/s".into(), group: None, source: refused() }.into(), NOT_ALLOWED),
            (ClientError::Timeout { method: "ping".into(), after: std::time::Duration::ZERO }.into(), TIMED_OUT),
            (ClientError::Protocol { reason: "x".into() }.into(), FAILED),
            (Failure::NotRunning(Absence::Service { start: "x".into(), program: "x".into() }), NO_DAEMON),
            (EndpointError::Empty.into(), USAGE),
            (Failure::Usage("x".into()), USAGE),
            (Failure::NotReached("x".into()), TIMED_OUT),
            (Failure::Output(io::ErrorKind::BrokenPipe.into()), 0),
            (Failure::Output(io::ErrorKind::StorageFull.into()), FAILED),
        ] {
            assert_eq!(failure.exit_code(), code, "{failure}");
        }
    }

    #[test]
    fn a_hint_follows_the_message_unless_it_is_already_there() {
        let error = Error::new(ErrorCode::AuthRequired, "Nobody is signed in.").hint("run `aectl login`");
        assert_eq!(remote_sentence(&error), "Nobody is signed in; run `aectl login`");
        let error = Error::new(ErrorCode::AuthRequired, "nobody is signed in: run `aectl login`").hint("run `aectl login`");
        assert_eq!(remote_sentence(&error), "nobody is signed in: run `aectl login`");
    }
}
