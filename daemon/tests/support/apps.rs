//! What local applications do, each over a connection of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use aesync_protocol::client::{self, ClientError};
use aesync_protocol::entity::Changes;
use aesync_protocol::event::{Channel, Event};
use aesync_protocol::request::{Method, OutboxList, Push, PushWait, RecordsList, Subscribe};
use aesync_protocol::response::{Entry, Pushed, PushedEntry};
use aesync_protocol::{Error, Record};
use aesyncd::Daemon;
use serde_json::Value;

use super::with_client;

/// How long a call may take. Longer than a push waits by default.
const CALL: Duration = Duration::from_secs(65);

/// A call that is answered.
pub async fn call<M: Method + Send + 'static>(daemon: &Daemon, params: M) -> M::Answer
where
    M::Answer: Send + 'static,
{
    try_call(daemon, params).await.unwrap_or_else(|error| panic!("{}: {error:?}", M::NAME))
}

/// A call, and the daemon's own error.
pub async fn try_call<M: Method + Send + 'static>(daemon: &Daemon, params: M) -> Result<M::Answer, Error>
where
    M::Answer: Send + 'static,
{
    with_client(daemon, move |client| client.call_within(&params, CALL)).await.map_err(|error| match error {
        ClientError::Remote(error) => error,
        other => panic!("{}: {other}", M::NAME),
    })
}

/// The stable code of an error.
pub fn code(error: &Error) -> &str {
    error.data.as_ref().map_or("", |data| &data.code)
}

/// The params of a push of one type.
pub fn change(entity_type: &str, entities: Vec<Value>, wait: PushWait) -> Push {
    Push { changes: Changes(vec![(entity_type.to_owned(), entities)]), wait: Some(wait), ..Push::default() }
}

/// Pushes one entity, and waits for as much as `wait` says.
pub async fn push(daemon: &Daemon, entity_type: &str, entity: Value, wait: PushWait) -> PushedEntry {
    let Pushed { mut entries } = call(daemon, change(entity_type, vec![entity], wait)).await;
    entries.pop().expect("an entry")
}

/// All records of a type, by id.
pub async fn records(daemon: &Daemon, entity_type: &str) -> BTreeMap<String, Record> {
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page =
            call(daemon, RecordsList { entity_type: entity_type.to_owned(), limit: Some(1_000), after: after.take() }).await;
        for listed in page.records {
            let id = listed.record["id"].as_str().expect("an id").to_owned();
            found.insert(id, listed.record);
        }
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// The outbox.
pub async fn outbox(daemon: &Daemon) -> Vec<Entry> {
    call(daemon, OutboxList { limit: Some(1_000), ..OutboxList::default() }).await.entries
}

/// The events of some channels, from now on.
pub async fn subscribe(daemon: &Daemon, channels: &[Channel]) -> Events {
    let path = daemon.socket().to_owned();
    let params = Subscribe { channels: channels.to_vec(), ..Subscribe::default() };
    let subscription = tokio::task::spawn_blocking(move || {
        aesync_protocol::client::Client::connect(&path)
            .expect("the daemon can be reached")
            .into_events(&params)
            .expect("subscribed")
    });
    Events(Some(subscription.await.expect("the call ends")))
}

/// A subscription.
pub struct Events(Option<client::Events>);

impl Events {
    /// The first event from here on for which `pick` has something.
    pub async fn find<T: Send + 'static>(&mut self, what: &str, pick: impl Fn(Event) -> Option<T> + Send + 'static) -> T {
        let mut subscription = self.0.take().expect("one wait at a time");
        let what = what.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            loop {
                let event = subscription.next_event(Some(super::PATIENCE)).expect("the daemon is there");
                let event = event.unwrap_or_else(|| panic!("waited in vain for an event: {what}"));
                if let Some(found) = pick(event) {
                    return (subscription, found);
                }
            }
        });
        let (subscription, found) = found.await.expect("found");
        self.0 = Some(subscription);
        found
    }
}
