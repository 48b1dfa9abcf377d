//! `aectl token`

use std::process::ExitCode;

use aesync_protocol::request::AuthSetToken;
use clap::Subcommand;

use crate::cmd::login::{read_secret, signed_in_text};
use crate::context::{Context, REMOTE};
use crate::exit::Failure;

/// What `token` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Hand the daemon a token
    #[command(after_help = "Example:\n  aectl token set - < token.txt")]
    Set {
        /// `-`: the token is read from stdin, or asked for on a terminal
        #[arg(value_name = "-")]
        from: String,
        /// The tenant that the token must be for
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
    },
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let Verb::Set { from, tenant } = args.verb;
    if from != "-" {
        // Not repeated: it may be the token.
        return Err(Failure::Usage("a token is no argument, since others can see those: aectl token set - < FILE".to_owned()));
    }
    let token = read_secret("Token: ", "the token")?.trim().to_owned();
    context.answer(&AuthSetToken { token, tenant_id: tenant }, REMOTE, |signed_in, view| signed_in_text(&signed_in, view))
}
