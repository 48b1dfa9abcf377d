//! What there is to see, one thing after the other.

use std::path::Path;
use std::time::Instant;

use aesync_protocol::client::Client;
use aesync_protocol::entity::Changes;
use aesync_protocol::request::{GetStatus, Push, RecordsGet, RecordsList};
use aesync_protocol::response::{EntryState, PushedEntry};
use aesync_protocol::status::OutboxStatus;
use aesync_protocol::{Channel, Event, Record, StatusWord};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::follow::Follower;
use crate::voice::Voice;

/// Takes the tour; the error is the first thing that did not happen. The server is returned, for those who stay.
pub(crate) fn take(mut backend: Backend, socket: &Path, voice: &mut Voice) -> anyhow::Result<Backend> {
    let mut app = Client::connect(socket)?;
    // The change feed begins with the first sign-in, so it is followed from then on.
    let mut events = Follower::subscribe(socket, &[Channel::Status])?;

    voice.step("The daemon signs in and fetches what is there");
    let status = events.until_status(voice, "the status to turn synced", |status| status.status == StatusWord::Synced)?;
    let people = status.types.get("end_user").map_or(0, |people| people.records);
    ensure!(people == 2, "the server has 2 people, and the replica {people}");
    voice.act(format_args!("The local replica now holds the server's {people} people."));
    events.switch_to(socket, &[Channel::Status, Channel::Change, Channel::Outbox])?;

    voice.step("A change made elsewhere arrives");
    arrives(&backend, &mut app, &mut events, voice)?;

    voice.step("A push goes out");
    voice.act("This app pushes Edsger Dijkstra.");
    let edsger = json!({ "name": "Edsger Dijkstra", "email": "edsger@example.com" });
    let pushed = push(&mut app, &mut events, voice, vec![("end_user", vec![edsger])])?;
    drains(&backend, &pushed, &mut app, &mut events, voice)?;

    voice.step("The server dies");
    backend.kill();
    voice.act("Killed: every connection is cut, the port is closed.");
    events.until_status(voice, "the status to turn offline", |status| status.status == StatusWord::Offline)?;

    voice.step("Changes queue up meanwhile");
    voice.act("This app pushes another person and two interactions.");
    let queued = push(&mut app, &mut events, voice, during_the_outage(&pushed)?)?;
    let waiting = app.call(&GetStatus {})?.outbox.pending;
    ensure!(waiting == 3, "3 changes should wait in the outbox, and {waiting} do");
    voice.act("All 3 are on disk, in the outbox.");
    let readable = app.call(&RecordsList { entity_type: "interactions".to_owned(), limit: None, after: None })?.records;
    let pending = readable.iter().filter(|record| record.pending).count();
    ensure!((readable.len(), pending) == (3, 2), "apps should see 3 interactions, 2 of them pending, and see {readable:?}");
    voice.act("Apps read them already: 3 interactions, 2 of them marked as pending.");

    voice.step("The server comes back, and the queue drains");
    backend.revive()?;
    voice.act("Started again at the same address.");
    drains(&backend, &queued, &mut app, &mut events, voice)?;

    voice.summary();
    Ok(backend)
}

/// Another device inserts a row: it comes to this app as an event, without a question.
fn arrives(backend: &Backend, app: &mut Client, events: &mut Follower, voice: &Voice) -> anyhow::Result<()> {
    let title = "Call Grace back";
    let start = Instant::now();
    backend.insert_elsewhere("interactions", &interaction(title))?;
    voice.act(format_args!("Another device adds the interaction {title:?} on the server."));
    let change = events.until(voice, "that change to arrive", |event| match event {
        Event::Change { change } if change.record.as_ref().is_some_and(|record| is_titled(record, title)) => Some(change.clone()),
        _ => None,
    })?;
    voice.hear(format_args!(
        "change {} ({}): {title:?}, after {} ms",
        change.seq,
        change.entity_type,
        start.elapsed().as_millis()
    ));
    let found = app.call(&RecordsGet { entity_type: change.entity_type, id: change.id })?;
    ensure!(is_titled(&found.record, title), "the replica should hold {title:?}, and holds {:?}", found.record);
    events.until_status(voice, "the status to turn synced", |status| status.status == StatusWord::Synced)?;
    Ok(())
}

/// Waits until each of these has been sent, accepted, and seen in a pull; and asks the server for a second opinion.
fn drains(
    backend: &Backend,
    pushed: &[PushedEntry],
    app: &mut Client,
    events: &mut Follower,
    voice: &Voice,
) -> anyhow::Result<()> {
    reach(EntryState::Confirmed, pushed, events, voice)?;
    events.until_status(voice, "the status to turn synced", |status| status.status == StatusWord::Synced)?;
    let left = app.call(&GetStatus {})?.outbox;
    ensure!(left == OutboxStatus::default(), "the outbox should be empty, and holds {left:?}");
    for entry in pushed {
        let received = backend.received(&entry.entity_type, &entry.id);
        ensure!(received == 1, "entry {} should have reached the server once, and did so {received} times", entry.entry);
    }
    voice.act(match pushed.len() {
        1 => "The outbox is empty, and the server received the change exactly once.".to_owned(),
        several => format!("The outbox is empty, and each of the {several} reached the server exactly once."),
    });
    Ok(())
}

/// Pushes; each change is on disk when this returns, and its event has come.
fn push(
    app: &mut Client,
    events: &mut Follower,
    voice: &Voice,
    changes: Vec<(&str, Vec<Value>)>,
) -> anyhow::Result<Vec<PushedEntry>> {
    let changes = Changes(changes.into_iter().map(|(entity_type, entities)| (entity_type.to_owned(), entities)).collect());
    let pushed = app.call(&Push { changes, ..Push::default() }).context("push")?.entries;
    reach(EntryState::Pending, &pushed, events, voice)?;
    Ok(pushed)
}

/// Waits until each of these was in that state.
fn reach(state: EntryState, pushed: &[PushedEntry], events: &mut Follower, voice: &Voice) -> anyhow::Result<()> {
    let mut open: Vec<u64> = pushed.iter().map(|entry| entry.entry).collect();
    events.until(voice, &format!("the changes to be {state}"), |event| {
        if let Event::Outbox { entry } = event
            && entry.state == state
        {
            open.retain(|number| *number != entry.entry);
        }
        open.is_empty().then_some(())
    })
}

/// A new person, and two interactions with one that the server knows.
fn during_the_outage(known: &[PushedEntry]) -> anyhow::Result<Vec<(&'static str, Vec<Value>)>> {
    let person = &known.first().context("find the person who was pushed first")?.id;
    let with_person = |title: &str| {
        let mut interaction = interaction(title);
        if let Some(fields) = interaction.as_object_mut() {
            fields.insert("clientUser".to_owned(), json!({ "id": person }));
        }
        interaction
    };
    Ok(vec![
        ("end_user", vec![json!({ "name": "Barbara Liskov", "email": "barbara@example.com" })]),
        ("interactions", vec![with_person("Ask for the paper"), with_person("Send the proofs")]),
    ])
}

fn interaction(title: &str) -> Value {
    json!({ "type": "call", "title": title, "description": "A note", "date": "2026-01-31T12:00:00.000Z" })
}

fn is_titled(record: &Record, title: &str) -> bool {
    record.get("title").is_some_and(|found| found == title)
}
