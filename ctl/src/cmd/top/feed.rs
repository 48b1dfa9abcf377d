//! The thread that follows the daemon's events, and finds it again after a restart.

use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::{ConflictsList, OutboxList, Subscribe};
use aesync_protocol::response::{Conflict, Entry};
use aesync_protocol::{Channel, Event};

use crate::context;

/// How long to wait before looking for the daemon again.
const PAUSE: Duration = Duration::from_secs(1);
/// The most entries that are listed; the counts are of all.
const ENTRIES: u32 = 200;

/// What the screen is told.
#[derive(Debug)]
pub(super) enum News {
    /// The daemon's own.
    Event(Box<Event>),
    /// The connection is lost, or there was none: why.
    Lost(String),
    /// The outbox and the conflicts as they are.
    Waiting { entries: Vec<Entry>, conflicts: Vec<Conflict> },
    /// What became of an action.
    Said(String),
}

/// Follows until nobody listens any more.
pub(super) fn start(path: PathBuf, patience: Duration, news: SyncSender<News>) {
    std::thread::spawn(move || {
        loop {
            let why = match follow(&path, patience, &news) {
                Ok(()) => return,
                Err(error) => error.to_string(),
            };
            if news.send(News::Lost(why)).is_err() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    });
}

/// Ends without an error when nobody listens.
fn follow(path: &Path, patience: Duration, news: &SyncSender<News>) -> Result<(), ClientError> {
    let channels = vec![Channel::Status, Channel::Notification, Channel::Change, Channel::Outbox, Channel::Progress];
    let subscribe = |channels| {
        let wanted = Subscribe { channels, ..Subscribe::default() };
        context::follow(Client::connect_within(path, patience)?, &wanted)
    };
    let mut subscription = match subscribe(channels) {
        // An observer may follow less.
        Err(ClientError::Remote(_)) => {
            let channels = vec![Channel::Status, Channel::Notification, Channel::Progress];
            subscribe(channels)?
        }
        other => other?,
    };
    if news.send(waiting(path, patience).unwrap_or(News::Waiting { entries: Vec::new(), conflicts: Vec::new() })).is_err() {
        return Ok(());
    }
    loop {
        let Some(event) = subscription.next_event(None)? else { continue };
        if news.send(News::Event(Box::new(event))).is_err() {
            return Ok(());
        }
    }
}

/// What waits, as the daemon lists it.
pub(super) fn waiting(path: &Path, patience: Duration) -> Result<News, ClientError> {
    let mut client = Client::connect_within(path, patience)?;
    let entries = client.call(&OutboxList { limit: Some(ENTRIES), ..OutboxList::default() })?.entries;
    let conflicts = client.call(&ConflictsList {})?.conflicts;
    Ok(News::Waiting { entries, conflicts })
}
