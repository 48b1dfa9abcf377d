//! The command line.

use std::net::SocketAddr;

use adminengine_dev::Rule;
use clap::Parser;

/// A development stand-in for the AdminEngine server: in memory, faults included, never for production.
#[derive(Debug, Parser)]
#[command(name = "adminengine-dev", version)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,
    /// The email of the customer that is there from the start
    #[arg(long, default_value = "dev@example.com")]
    pub(crate) email: String,
    /// Its password
    #[arg(long, default_value = "dev")]
    pub(crate) password: String,
    /// Its tenant id; a new one if absent
    #[arg(long, value_name = "UUID")]
    pub(crate) tenant: Option<String>,
    /// How many end_user rows it has from the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u32,
    /// Take as long as the real server: 50 ms a request, 13 ms a row
    #[arg(long)]
    pub(crate) realistic: bool,
    /// Stamp rows with microseconds, which JSON never shows
    #[arg(long)]
    pub(crate) microseconds: bool,
    /// A fault from the start, as a name (swallow_error) or as a rule in JSON
    /// ({"fault":"delay","ms":500,"routes":["push"],"times":3}); may be given more than once
    #[arg(long = "fault", value_name = "RULE", value_parser = parse_fault)]
    pub(crate) faults: Vec<Rule>,
    /// Say more on stderr; RUST_LOG wins
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Args {
    pub(crate) fn log_filter(&self) -> &'static str {
        match self.verbose {
            0 => "warn",
            1 => "info",
            _ => "debug",
        }
    }
}

fn parse_fault(text: &str) -> Result<Rule, String> {
    let json =
        if text.trim_start().starts_with('{') { text.to_owned() } else { serde_json::json!({ "fault": text }).to_string() };
    serde_json::from_str(&json).map_err(|error| format!("read the fault: {error}; give a name or a rule in JSON"))
}
