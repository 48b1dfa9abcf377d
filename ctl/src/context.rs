//! What every command works with: the way to the daemon, and the way out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::client::{Client, ClientError, Events};
use aesync_protocol::request::{ClientName, Hello, Method, Subscribe};
use aesync_protocol::{PROTOCOL, endpoint};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::exit::Failure;
use crate::keeper::Keeper;
use crate::output::{Output, View};

/// What the daemon answers out of its own memory or disk.
pub(crate) const LOCAL: Duration = Duration::from_secs(10);
/// What takes one request to the server.
pub(crate) const REMOTE: Duration = Duration::from_secs(60);
/// What takes as many requests as there are changes.
pub(crate) const BULK: Duration = Duration::from_secs(30 * 60);

/// The most that the daemon gives of a list at once.
pub(crate) const PAGE: u64 = 1000;

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) json: bool,
    /// `--timeout`
    pub(crate) timeout: Option<Duration>,
    /// `--socket`
    pub(crate) socket: Option<PathBuf>,
    /// `--instance`
    pub(crate) instance: Option<String>,
}

impl Context {
    pub(crate) fn socket_path(&self) -> Result<PathBuf, Failure> {
        Ok(endpoint::locate(self.socket.as_deref(), self.instance.as_deref())?)
    }

    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        self.connect_within(LOCAL)
    }

    fn connect_within(&self, usual: Duration) -> Result<Client, Failure> {
        self.connect_for(self.patience(usual.min(LOCAL)))
    }

    /// Connects within a time that `--timeout` has no say in.
    pub(crate) fn connect_for(&self, patience: Duration) -> Result<Client, Failure> {
        Client::connect_within(&self.socket_path()?, patience).map_err(|error| match error {
            ClientError::NotRunning { path, .. } => Failure::NotRunning(self.absence(&path)),
            other => other.into(),
        })
    }

    /// What it means that nobody listens at the path where this command looked.
    pub(crate) fn absence(&self, path: &Path) -> Absence {
        let in_environment = || std::env::var_os(endpoint::SOCKET_VARIABLE).is_some_and(|path| !path.is_empty());
        let from_environment = self.instance.is_none() && in_environment();
        let named = if self.socket.is_some() { Some("--socket") } else { from_environment.then_some(endpoint::SOCKET_VARIABLE) };
        Absence::of(path, named, &self.keeper(path))
    }

    /// Who keeps the daemon running that listens at the path.
    pub(crate) fn keeper(&self, path: &Path) -> Keeper {
        Keeper::of(path, self.instance.as_deref())
    }

    /// `--timeout`, or what the command thinks right.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        self.timeout.unwrap_or(usual)
    }

    /// Calls a method and prints its answer: the document itself, or what `render` makes of it.
    pub(crate) fn answer<M: Method>(
        &self,
        params: &M,
        usual: Duration,
        render: impl FnOnce(M::Answer, &View) -> String,
    ) -> Result<ExitCode, Failure> {
        let json = self.fetch::<M>(params, usual)?;
        self.show::<M>(&json, render)
    }

    /// Prints an answer that is here already.
    pub(crate) fn show<M: Method>(
        &self,
        json: &RawValue,
        render: impl FnOnce(M::Answer, &View) -> String,
    ) -> Result<ExitCode, Failure> {
        if self.json {
            self.output.json(json)?;
        } else {
            self.output.write(&render(parse::<M::Answer>(M::NAME, json)?, &self.output.view()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Calls a method on a connection of its own.
    pub(crate) fn fetch<M: Method>(&self, params: &M, usual: Duration) -> Result<Box<RawValue>, Failure> {
        fetch_from(&mut self.connect_within(usual)?, M::NAME, params, self.patience(usual))
    }
}

/// Who asks, for `aectl clients`.
pub(crate) fn hello() -> Hello {
    let client = ClientName { name: "aectl".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    Hello { client, protocol: PROTOCOL }
}

/// Turns a connection into a subscription that `aectl clients` shows with a name.
pub(crate) fn follow(mut client: Client, wanted: &Subscribe) -> Result<Events, ClientError> {
    client.call(&hello())?;
    client.into_events(wanted)
}

/// Why nobody listens, as far as it can be told, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// A service is not started; it can be, and the daemon can be run by hand.
    Service { start: String, program: String },
    /// The path was named, and no service listens there by itself.
    Named { path: PathBuf, by: &'static str },
}

impl Absence {
    fn of(path: &Path, named: Option<&'static str>, keeper: &Keeper) -> Self {
        match named {
            Some(by) if !path.starts_with(endpoint::SYSTEM_DIR) => Self::Named { path: path.to_owned(), by },
            _ => Self::Service { start: keeper.start(), program: keeper.program() },
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { start, program } if start == program => {
                write!(f, "aesyncd is not running; start it with `{start}`")
            }
            Self::Service { start, program } => {
                write!(f, "aesyncd is not running; start it with `{start}`, or run `{program}`")
            }
            Self::Named { path, by } => write!(
                f,
                "aesyncd is not running: no daemon listens on {path}, which {by} names; start one with `aesyncd --socket {path}`, \
                 or leave {by} out for the usual one",
                path = path.display()
            ),
        }
    }
}

/// Calls a method by name, with params that need not be the method's own type.
pub(crate) fn fetch_from<P: Serialize + ?Sized>(
    client: &mut Client,
    method: &str,
    params: &P,
    patience: Duration,
) -> Result<Box<RawValue>, Failure> {
    Ok(client.call_for_json(method, params, patience, |_| {})?)
}

/// Reads an answer.
pub(crate) fn parse<'a, T: Deserialize<'a>>(method: &str, json: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(json.get()).map_err(|error| {
        Failure::Client(ClientError::Protocol {
            reason: format!("the answer to {method} is not what this program knows: {error}"),
        })
    })
}

/// Milliseconds, as the wire has them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn whoever_looks_in_vain_is_told_how_the_daemon_is_started_there() {
        let (system, other) = (Path::new("/run/aesyncd/aesyncd.sock"), Path::new("/tmp/s"));
        let shop = Path::new("/run/aesyncd/shop.sock");
        for (path, named, expected) in [
            (system, None, "`systemctl start aesyncd`, or run `aesyncd`"),
            (shop, None, "`systemctl start aesyncd@shop`, or run `aesyncd --instance shop`"),
            (system, Some("AESYNC_SOCKET"), "`systemctl start aesyncd`"),
            (other, Some("--socket"), "no daemon listens on /tmp/s, which --socket names; start one with `aesyncd --socket"),
            (other, Some("AESYNC_SOCKET"), "leave AESYNC_SOCKET out for the usual one"),
        ] {
            let said = Absence::of(path, named, &Keeper::of(path, None)).to_string();
            assert!(said.starts_with("aesyncd is not running") && said.contains(expected), "{expected}: {said}");
        }
    }
}
