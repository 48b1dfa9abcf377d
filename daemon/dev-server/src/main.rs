//! `adminengine-dev`: a development stand-in for the AdminEngine server.

mod args;

use std::io::Write;
use std::sync::Arc;

use adminengine_dev::{DevServer, Latency, Options, World, schema};
use anyhow::Context;
use clap::Parser;
use serde_json::json;

use crate::args::Args;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| args.log_filter().into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let world = World::new();
    world.adjust(|settings| {
        settings.latency = if args.realistic { Latency::REALISTIC } else { Latency::default() };
        settings.microseconds = args.microseconds;
    });
    for fault in &args.faults {
        world.faults().add(fault.clone());
    }
    let tenant = add_customer(&world, &args)?;
    let mut options = Options::new(Arc::clone(&world));
    options.listen = args.listen;
    let server = DevServer::start(options)?;
    introduce(&server, &args, &tenant).context("print where the server is")?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("build a runtime")?;
    runtime.block_on(tokio::signal::ctrl_c()).context("wait for ctrl-c")?;
    server.stop();
    Ok(())
}

fn add_customer(world: &World, args: &Args) -> anyhow::Result<String> {
    let tenant = match &args.tenant {
        Some(id) => {
            world.add_customer_with_id(id, &args.email, &args.password);
            id.clone()
        }
        None => world.add_customer(&args.email, &args.password),
    };
    let device = world.device(&tenant);
    for number in 1..=args.seed {
        let row = json!({ "email": format!("user{number}@example.com"), "name": format!("User {number}") });
        if let Err(failure) = device.insert(schema::END_USER, &row) {
            anyhow::bail!("seed row {number}: {}", failure.message());
        }
    }
    Ok(tenant)
}

/// One `key: value` a line, so that a script can read it.
fn introduce(server: &DevServer, args: &Args, tenant: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "url: {}", server.url())?;
    writeln!(out, "email: {}", args.email)?;
    writeln!(out, "password: {}", args.password)?;
    writeln!(out, "tenant: {tenant}")?;
    writeln!(out, "token: {}", server.world().token(tenant))?;
    writeln!(out, "control: {}/__dev/state", server.url())?;
    writeln!(out, "ready: ctrl-c ends it, and everything in it is gone")?;
    out.flush()
}
