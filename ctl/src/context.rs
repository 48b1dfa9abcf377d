//! What every command works with: the way to the daemon, and the way out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::endpoint;
use aesync_protocol::request::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::exit::Failure;
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
        Ok(Client::connect_within(&self.socket_path()?, self.patience(usual.min(LOCAL)))?)
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
