//! The thread that carries out what the keys ask for, so that the screen goes on meanwhile.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::{ConflictsResolve, Keep, Method, OutboxRetry, Pause, Resume, Sync};

use super::feed::{self, News};
use crate::context::{BULK, LOCAL};
use crate::text::count;

/// Keys that were pressed and are not carried out yet; more are dropped.
const WAITING: usize = 16;

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Sync,
    Pause,
    Resume,
    Retry(u64),
    Resolve(u64, Keep),
    /// Lists the outbox again.
    Look,
}

/// Carries actions out, one after the other, until the screen is left.
pub(super) fn start(path: PathBuf, timeout: Option<Duration>, news: SyncSender<News>) -> SyncSender<Action> {
    let (sender, actions) = mpsc::sync_channel::<Action>(WAITING);
    std::thread::spawn(move || {
        for action in actions {
            let said = match carry_out(&path, timeout, &action) {
                Ok(Some(said)) => News::Said(said),
                Ok(None) => match feed::waiting(&path, timeout.unwrap_or(LOCAL)) {
                    Ok(waiting) => waiting,
                    // The feed says so, too.
                    Err(_) => continue,
                },
                Err(error) => News::Said(error.to_string()),
            };
            if news.send(said).is_err() {
                return;
            }
        }
    });
    sender
}

fn carry_out(path: &Path, timeout: Option<Duration>, action: &Action) -> Result<Option<String>, ClientError> {
    Ok(Some(match action {
        Action::Sync => {
            let synced = call(path, timeout.unwrap_or(BULK), &Sync {})?;
            let changed: u64 = synced.types.values().map(|pulled| pulled.changed.saturating_add(pulled.deleted)).sum();
            format!("Synced: {} sent, {} came.", count(synced.pushed, "change", "changes"), count(changed, "change", "changes"))
        }
        Action::Pause => {
            call(path, timeout.unwrap_or(LOCAL), &Pause {})?;
            "Paused: changes are queued until p is pressed again.".to_owned()
        }
        Action::Resume => {
            call(path, timeout.unwrap_or(LOCAL), &Resume {})?;
            "Resumed.".to_owned()
        }
        Action::Retry(entry) => {
            let retried = call(path, timeout.unwrap_or(LOCAL), &OutboxRetry { entries: Some(vec![*entry]), all: None })?;
            format!("{} again.", count(retried.count, "entry is tried", "entries are tried"))
        }
        Action::Resolve(entry, keep) => {
            call(path, timeout.unwrap_or(LOCAL), &ConflictsResolve { entry: *entry, keep: *keep })?;
            match keep {
                Keep::Server => format!("Entry {entry}: the server's row stays."),
                Keep::Local => format!("Entry {entry}: the local change is sent once more."),
            }
        }
        Action::Look => return Ok(None),
    }))
}

fn call<M: Method>(path: &Path, patience: Duration, params: &M) -> Result<M::Answer, ClientError> {
    Client::connect_within(path, patience.min(LOCAL))?.call_within(params, patience)
}
