//! `aectl ping`

use std::process::ExitCode;
use std::time::Instant;

use aesync_protocol::request::{Method as _, Ping};

use crate::context::{Context, LOCAL, fetch_from};
use crate::exit::Failure;

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    let mut client = context.connect()?;
    let started = Instant::now();
    let json = fetch_from(&mut client, Ping::NAME, &Ping {}, context.patience(LOCAL))?;
    let taken = started.elapsed();
    context.show::<Ping>(&json, |_, _| format!("aesyncd answered in {:.2} ms\n", taken.as_secs_f64() * 1000.0))
}
