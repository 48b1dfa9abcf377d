//! Adds a user, and follows the change feed until that change comes by.

#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use aesync_protocol::client::{Update, asynchronous::Client};
use aesync_protocol::request::{GetStatus, Push, Subscribe};
use aesync_protocol::{Channel, endpoint, entity::Changes};
use tokio_stream::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::connect(&endpoint::locate(None, None)?).await?;
    println!("status: {}", client.call(&GetStatus {}).await?.status);
    let user = serde_json::json!({ "email": "ada@example.com", "name": "Ada" });
    let pushed = client.call(&Push { changes: Changes(vec![("end_user".into(), vec![user])]), ..Push::default() }).await?;
    let mut updates = client.subscribe(Subscribe { channels: vec![Channel::Change], since: Some(0), ..Subscribe::default() });
    while let Some(update) = updates.next().await {
        let Update::Change(change) = update? else { continue };
        println!("{:?} {} {}", change.op, change.entity_type, change.id);
        if pushed.entries.iter().any(|entry| entry.id == change.id) {
            break;
        }
    }
    Ok(())
}
