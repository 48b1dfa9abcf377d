//! `aesyncd --probe`: can the server be reached from here, as the daemon would reach it?

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::Timestamp;
use aesync_protocol::endpoint::Scope;

use super::{Args, EXIT_CONFIGURATION};
use crate::config::{Config, Environment};
use crate::driver::Saved;
use crate::server::{Probed, RestOptions, ServerUrl, probe as ask};

/// Each question may take as long, the look-up of the name and TLS included.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks the server at `url`, else the one that the configuration or the last sign-in names, and prints what came as one line of JSON on
/// stdout: `{url,health,websocket}`, or `{}` when no server is named. That it can't be reached is an answer, with exit code 0.
#[must_use]
pub fn probe(args: &Args, url: Option<&str>, environment: &Environment, scope: Scope) -> ExitCode {
    // Who closed these does not want to know.
    match run(args, url, environment, scope) {
        Ok(probed) => {
            let line = probed.map_or_else(|| "{}".to_owned(), |probed| serde_json::json!(probed).to_string());
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(EXIT_CONFIGURATION)
        }
    }
}

/// An error is one sentence on what is wrong with the configuration or the address.
fn run(args: &Args, url: Option<&str>, environment: &Environment, scope: Scope) -> Result<Option<Probed>, String> {
    // A configuration that can't be used is no reason not to look at a server that was named.
    let config = match args.load(environment, scope) {
        Ok(loaded) => loaded.config,
        Err(_) if url.is_some() => Config::default(),
        Err(error) => return Err(error.to_string()),
    };
    let named = url.or(config.server.url.as_deref()).map(ServerUrl::parse).transpose().map_err(|error| error.to_string())?;
    let remembered = || Saved::new(&config.state_dir(environment, &args.installation(scope)).ok()?).server().ok()?;
    let Some(server) = named.or_else(remembered) else { return Ok(None) };
    let options = RestOptions { ca_file: config.server.ca_file.clone(), ..RestOptions::new(server) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("starting the runtime: {error}; try again"))?;
    let now = || Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
    runtime.block_on(ask(&options, PATIENCE, now)).map(Some).map_err(|error| error.to_string())
}
