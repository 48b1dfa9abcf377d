//! A server with one customer, and plain clients for it.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shared by test binaries that each use a part of it")]

pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use adminengine_dev::{DevServer, Options, World};
use serde_json::{Value, json};

pub const EMAIL: &str = "ada@example.com";
pub const PASSWORD: &str = "correct horse";
pub const PUSH: &str = "/api/client/sync/push";
pub const PULL: &str = "/api/client/sync/pull";
pub const PULL_PENDING: &str = "/api/client/sync/pull-pending";
pub const EPOCH: &str = "1970-01-01T00:00:00.000Z";
/// Nothing in these tests takes longer, unless something is broken.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub struct Bench {
    pub world: Arc<World>,
    pub server: DevServer,
    pub tenant: String,
    pub token: String,
    pub http: reqwest::Client,
}

/// A status, and a body that was JSON or not.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Bench {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(adjust: impl FnOnce(&mut Options)) -> Self {
        let world = World::new();
        let tenant = world.add_customer(EMAIL, PASSWORD);
        let token = world.token(&tenant);
        let mut options = Options::new(world.clone());
        adjust(&mut options);
        let server = DevServer::start(options).expect("the server starts");
        let http = reqwest::Client::builder().timeout(DEADLINE).redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { world, server, tenant, token, http }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.expect("an answer")
    }

    pub async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        let url = self.server.url() + path;
        read(self.http.post(url).bearer_auth(&self.token).json(body).send().await?).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        read(self.http.get(self.server.url() + path).send().await.expect("an answer")).await.expect("a body")
    }

    pub async fn push(&self, changes: Value) -> Answer {
        self.post(PUSH, &json!({ "changes": changes })).await
    }

    pub async fn pull(&self, since: &str) -> Answer {
        self.post(PULL, &json!({ "lastSyncTimestamp": since, "entityTypes": ["end_user", "interactions"] })).await
    }

    /// The ids of the `end_user` rows that a first pull returns.
    pub async fn pulled_users(&self) -> Vec<String> {
        ids(&self.pull(EPOCH).await.body["data"]["end_user"])
    }
}

pub async fn read(response: reqwest::Response) -> reqwest::Result<Answer> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, headers, text, body })
}

pub fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A valid `end_user` with a unique email.
pub fn user(id: &str) -> Value {
    json!({ "id": id, "email": format!("{id}@example.com"), "name": "Ada", "is_deleted": 0 })
}

/// A valid interaction.
pub fn interaction(id: &str) -> Value {
    json!({ "id": id, "type": "call", "title": "Hello", "description": "", "date": "2024-05-01T10:00:00.000Z", "is_deleted": 0 })
}

pub fn ids(rows: &Value) -> Vec<String> {
    rows.as_array().expect("a list of rows").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Polls until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "still not true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
