//! The server of the tour, and another device of the same tenant.

use std::net::SocketAddr;
use std::sync::Arc;

use adminengine_dev::{DevServer, Latency, Options, World};
use anyhow::Context as _;
use serde_json::{Value, json};

/// Who signs in.
pub(crate) const EMAIL: &str = "ada@example.com";
/// Her password.
pub(crate) const PASSWORD: &str = "analytical engine";

/// A development server that can die and come back with what it had stored.
#[derive(Debug)]
pub(crate) struct Backend {
    world: Arc<World>,
    tenant: String,
    addr: SocketAddr,
    server: Option<DevServer>,
}

impl Backend {
    /// A server as slow as the real one, with one tenant and two people.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let world = World::new();
        world.adjust(|settings| settings.latency = Latency::REALISTIC);
        let tenant = world.add_customer(EMAIL, PASSWORD);
        for (name, email) in [("Grace Hopper", "grace@example.com"), ("Alan Turing", "alan@example.com")] {
            insert(&world, &tenant, "end_user", &json!({ "name": name, "email": email }))?;
        }
        let server = DevServer::start(Options::new(Arc::clone(&world))).context("start the development server")?;
        Ok(Self { world, tenant, addr: server.addr(), server: Some(server) })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Another device inserts a row.
    pub(crate) fn insert_elsewhere(&self, entity_type: &str, row: &Value) -> anyhow::Result<()> {
        insert(&self.world, &self.tenant, entity_type, row)
    }

    /// Cuts every connection and closes the port.
    pub(crate) fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// The same address and the same rows.
    pub(crate) fn revive(&mut self) -> anyhow::Result<()> {
        let mut options = Options::new(Arc::clone(&self.world));
        options.listen = self.addr;
        self.server = Some(DevServer::start(options).context("start the development server again")?);
        Ok(())
    }

    /// How often this row was pushed: 1 when it arrived exactly once.
    pub(crate) fn received(&self, entity_type: &str, id: &str) -> u32 {
        self.world.writes(&self.tenant, entity_type, id).received
    }
}

fn insert(world: &World, tenant: &str, entity_type: &str, row: &Value) -> anyhow::Result<()> {
    match world.device(tenant).insert(entity_type, row) {
        Ok(_) => Ok(()),
        Err(failure) => anyhow::bail!("insert a row of {entity_type} on the server: {}", failure.message()),
    }
}
