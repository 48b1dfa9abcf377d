//! `aectl login`

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use aesync_protocol::request::{AuthLogin, GetStatus, Method as _};
use aesync_protocol::response::SignedIn;
use aesync_protocol::status::Status;

use crate::context::{Context, LOCAL, REMOTE, parse};
use crate::exit::Failure;
use crate::output::View;
use crate::text::{clean, until, wrap};

const EXAMPLES: &str = "\
The password is asked for, or read from stdin when that is no terminal. It is never an argument.
The server is needed once, when the daemon knows of none: it remembers the one of the last sign-in.

Examples:
  aectl login
  aectl login --server https://admin.example.org --email me@example.com
  aectl login --email me@example.com
  pass show adminengine | aectl login --email me@example.com";

/// What `login` is asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The e-mail address
    #[arg(long)]
    email: Option<String>,
    /// The AdminEngine server, unless the daemon knows it
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let terminal = io::stdin().is_terminal();
    let server = match args.server {
        None if terminal && !daemon_knows_a_server(context)? => {
            Some(ask_for("Server (such as https://admin.example.org): ", "the server's address", "--server")?)
        }
        server => server,
    };
    let email = match args.email {
        Some(email) => email,
        None if terminal => ask_for("E-mail: ", "the e-mail address", "--email")?,
        None => {
            return Err(Failure::Usage(
                "stdin is no terminal, so the e-mail address must be given: aectl login --email E".to_owned(),
            ));
        }
    };
    let password = read_secret("Password: ", "the password")?;
    context.answer(&AuthLogin { email, password, server }, REMOTE, |signed_in, view| signed_in_text(&signed_in, view))
}

/// Asked before anything is typed: a daemon that is not there is said at once.
fn daemon_knows_a_server(context: &Context) -> Result<bool, Failure> {
    let status: Status = parse(GetStatus::NAME, &context.fetch(&GetStatus {}, LOCAL)?)?;
    Ok(!status.server.url.is_empty())
}

/// One line from the terminal; `option` gives the same without being asked.
fn ask_for(prompt: &str, what: &str, option: &'static str) -> Result<String, Failure> {
    let failed =
        |source| Failure::File { tried: format!("asking for {what}"), source, next: "give it as an option: aectl login --help" };
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush()).map_err(failed)?;
    let line = first_line().map_err(failed)?.trim().to_owned();
    if line.is_empty() { Err(Failure::Usage(format!("{what} is missing; give it with {option}"))) } else { Ok(line) }
}

/// Asks without echo, or reads the first line of stdin when that is no terminal.
pub(super) fn read_secret(prompt: &str, what: &str) -> Result<String, Failure> {
    let secret = if io::stdin().is_terminal() { rpassword::prompt_password(prompt) } else { first_line() };
    let secret = secret.map_err(|source| Failure::File { tried: format!("reading {what}"), source, next: "give it on stdin" })?;
    if secret.is_empty() {
        Err(Failure::Usage(format!("{what} is empty; type it at the prompt or give it on stdin")))
    } else {
        Ok(secret)
    }
}

fn first_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

/// Who signed in, and for how long.
pub(super) fn signed_in_text(signed_in: &SignedIn, view: &View) -> String {
    let expiry = match signed_in.expires_at {
        Some(expiry) => format!("; the token expires {}", until(view.now, expiry)),
        None => String::new(),
    };
    wrap(&format!("Signed in to tenant {}{expiry}.", clean(&signed_in.tenant_id)), 0, view.width) + "\n"
}
