//! `aesyncd --check`: is this configuration one that the daemon can work by?

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use aesync_protocol::endpoint::Scope;

use super::{Args, EXIT_CONFIGURATION};
use crate::config::{Config, Environment, Loaded, secret_file};
use crate::server::token::Claims;
use crate::server::{Rest, RestOptions, ServerUrl};

/// Checks, and prints one line that starts with `ok` on stdout, or everything that is wrong on stderr. Nothing is changed, and nothing is
/// asked of the server.
#[must_use]
pub fn check(args: &Args, environment: &Environment, scope: Scope) -> ExitCode {
    let found = report(args, environment, scope);
    // Who closed these does not want to know.
    let mut stderr = std::io::stderr().lock();
    for warning in &found.warnings {
        let _ = writeln!(stderr, "warning: {warning}");
    }
    for error in &found.errors {
        let _ = writeln!(stderr, "error: {error}");
    }
    if !found.errors.is_empty() {
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    let _ = writeln!(std::io::stdout(), "{}", found.summary);
    ExitCode::SUCCESS
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    errors: Vec<String>,
    warnings: Vec<String>,
    summary: String,
}

fn report(args: &Args, environment: &Environment, scope: Scope) -> Report {
    let loaded = match args.load(environment, scope) {
        Ok(loaded) => loaded,
        Err(error) => return Report { errors: vec![error.to_string()], ..Report::default() },
    };
    let Loaded { config, file, mut warnings } = loaded;
    let mut errors = Vec::new();
    let (socket, state) = (args.socket_path(&config, environment, scope), config.state_dir(environment, scope));
    errors.extend(socket.as_ref().err().map(ToString::to_string));
    errors.extend(state.as_ref().err().map(ToString::to_string));
    errors.extend(sign_in_problems(&config));
    match server_problem(&config) {
        Ok(None) => {}
        Ok(Some(error)) => errors.push(error),
        Err(NoServer) => {
            warnings.push("server.url is not set: the daemon starts, but it can't sync; set it in the configuration".to_owned());
        }
    }
    let shown = |path: Option<&Path>, none: &str| path.map_or_else(|| none.to_owned(), |path| path.display().to_string());
    let summary = format!(
        "ok: configuration {}, server {}, socket {}, state {}",
        shown(file.as_deref(), "(defaults)"),
        config.server.url.as_deref().unwrap_or("(none)"),
        shown(socket.ok().as_deref(), "(none)"),
        shown(state.ok().as_deref(), "(none)"),
    );
    Report { errors, warnings, summary }
}

/// There is no `server.url`.
struct NoServer;

/// The certificates of `server.ca_file` are read only here and when the daemon starts.
fn server_problem(config: &Config) -> Result<Option<String>, NoServer> {
    let url = config.server.url.as_deref().ok_or(NoServer)?;
    let tried = ServerUrl::parse(url).map_err(|error| error.to_string()).and_then(|server| {
        let options = RestOptions { ca_file: config.server.ca_file.clone(), ..RestOptions::new(server) };
        Rest::new(options).map_err(|error| error.to_string())
    });
    Ok(tried.err())
}

fn sign_in_problems(config: &Config) -> Vec<String> {
    let auth = &config.auth;
    let token = auth.token_file.as_deref().and_then(|path| match secret_file::token(path) {
        Ok(token) => other_tenant(config, path, Claims::of(&token).ok()?.tenant.as_deref()),
        Err(error) => Some(error.to_string()),
    });
    let password =
        auth.password_file.as_deref().and_then(|path| secret_file::password(path).err()).map(|error| error.to_string());
    token.into_iter().chain(password).collect()
}

/// Rule R39.
fn other_tenant(config: &Config, path: &Path, found: Option<&str>) -> Option<String> {
    let path = path.display();
    match (config.server.tenant.as_deref(), found) {
        (_, None) => {
            Some(format!("the token in {path} names no tenant (companyId or customerId); the server refuses such a token"))
        }
        (Some(configured), Some(found)) if configured != found => Some(format!(
            "the token in {path} is for the tenant {found}, and server.tenant is {configured}; change the one or the other"
        )),
        _ => None,
    }
}
