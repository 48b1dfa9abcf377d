//! The followers by the Rust client, in threads of the test: blocking, and as a stream.

use std::time::Duration;

use aesync_protocol::Channel;
use aesync_protocol::client::asynchronous;
use aesync_protocol::client::{ClientError, Update, Updates};
use aesync_protocol::request::Subscribe;

use super::fold::Follower;
use crate::stage::Stage;

const BLOCKING: &str = "Rust, blocking";
const STREAM: &str = "Rust, stream";
pub(crate) const NAMES: [&str; 2] = [BLOCKING, STREAM];

/// How long one look for an update lasts before the follower sees whether the play is over.
const LOOK: Duration = Duration::from_millis(50);

/// Follows until the play is over.
pub(crate) fn follow(follower: &Follower, stage: &Stage) -> Result<(), String> {
    let wanted = Subscribe { channels: vec![Channel::Change], since: Some(0), ..Subscribe::default() };
    if follower.name == BLOCKING {
        let mut updates = Updates::new(&stage.socket, wanted);
        while !stage.is_stopped() {
            if let Some(update) = updates.next_update(Some(LOOK)).map_err(|error| error.to_string())? {
                take(follower, update)?;
            }
        }
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut updates = asynchronous::Updates::new(&stage.socket, wanted);
        while !stage.is_stopped() {
            match tokio::time::timeout(LOOK, updates.next_update()).await {
                Ok(Some(update)) => take(follower, update.map_err(|error| error.to_string())?)?,
                Ok(None) => return Err("the stream ended".to_owned()),
                Err(_) => {}
            }
        }
        Ok(())
    })
}

fn take(follower: &Follower, update: Update) -> Result<(), String> {
    let mut fold = follower.fold();
    match update {
        Update::Change(change) => fold.take(change),
        Update::Connected(_) => {
            fold.connections += 1;
            Ok(())
        }
        // A gap or nonsense would be mended by the next connection, and is a defect of the daemon all the same.
        Update::Disconnected(error @ ClientError::Protocol { .. }) => Err(error.to_string()),
        Update::Disconnected(_) => Ok(()),
        other => Err(format!("not asked for: {other:?}")),
    }
}
