//! The client of rust_socketio, made safe: what it reports comes through two bounded queues, and its callbacks never wait.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use rust_socketio::asynchronous::{Client, ClientBuilder, ReconnectSettings};
use rust_socketio::{Event, Payload, TransportType};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::SessionOptions;
use crate::server::tls::{self, TlsError};
use crate::server::wire::notification::{self, Incoming};

/// Events that wait for the session; one is a few kilobytes at most.
const INCOMING: usize = 1_024;

/// Signs of life and death that wait for the session. The first that ends it is the last that counts, so few are enough.
const LIFE: usize = 8;

/// What happened to the connection itself.
#[derive(Debug)]
pub(super) enum Life {
    /// The namespace is joined.
    Connected,
    /// The server left the namespace.
    Closed,
    /// Anything from a refused namespace to a broken connection.
    Error(String),
    /// Nobody reads the socket any more.
    ReaderEnded,
}

/// What a connection reports through.
pub(super) struct Inbox {
    pub(super) life: mpsc::Receiver<Life>,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    /// Set when `incoming` was full.
    pub(super) overflowed: Arc<AtomicBool>,
}

/// A client that is ready to connect, and what it will report through.
pub(super) fn prepare(options: &SessionOptions) -> Result<(ClientBuilder, Inbox), TlsError> {
    let (life, life_out) = mpsc::channel(LIFE);
    let (incoming, incoming_out) = mpsc::channel(INCOMING);
    let overflowed = Arc::new(AtomicBool::new(false));
    let inbox = Inbox { life: life_out, incoming: incoming_out, overflowed: Arc::clone(&overflowed) };

    let (connected, closed, broken, ended) = (life.clone(), life.clone(), life.clone(), life);
    let mut builder = ClientBuilder::new(options.server.socket().as_str())
        // Its polling transport loops without end on an empty answer and dies of a large one.
        .transport_type(TransportType::Websocket)
        .auth(json!({ "token": options.token.expose_secret() }))
        // Only so that `on_reconnect` is called when the reader ended, which no event says; it never lets the reconnect go on.
        .reconnect(true)
        .reconnect_on_disconnect(true)
        .on_reconnect(move || {
            let _ = ended.try_send(Life::ReaderEnded);
            pending::<ReconnectSettings>().boxed()
        })
        .on(Event::Connect, move |_, _| {
            let _ = connected.try_send(Life::Connected);
            async {}.boxed()
        })
        .on(Event::Close, move |_, _| {
            let _ = closed.try_send(Life::Closed);
            async {}.boxed()
        })
        .on(Event::Error, move |payload, _| {
            let _ = broken.try_send(Life::Error(text(&payload)));
            async {}.boxed()
        })
        .on_any(move |event, payload, _: Client| {
            if let Some(event) = read(&event, &payload)
                && incoming.try_send(event).is_err()
            {
                overflowed.store(true, Ordering::Relaxed);
            }
            async {}.boxed()
        });
    // Anew for each connection: authorities that were replaced count from the next one on.
    if options.server.is_encrypted() {
        builder = builder.tls_config(tls::connector(&options.server, options.ca_file.as_deref())?);
    }
    Ok((builder, inbox))
}

fn read(event: &Event, payload: &Payload) -> Option<Incoming> {
    match (event, payload) {
        (Event::Custom(name), Payload::Text(args)) => Some(notification::read(name, args)),
        // An event without data arrives as a message with its name.
        (Event::Message, Payload::Text(args)) => match args.as_slice() {
            [Value::String(name)] => Some(notification::read(name, &[])),
            _ => Some(notification::read("message", args)),
        },
        // The server sends no binary events.
        _ => None,
    }
}

fn text(payload: &Payload) -> String {
    match payload {
        Payload::Text(args) => match args.first() {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::input::SessionEvent;

    #[test]
    fn an_event_without_data_is_told_by_its_name() {
        let message = |args: Vec<Value>| read(&Event::Message, &Payload::Text(args));
        let unknown = |event: &str| Some(Incoming::Event(SessionEvent::Unknown { event: event.to_owned() }));
        assert_eq!(message(vec![json!("pong")]), Some(Incoming::Pong));
        assert_eq!(message(vec![json!("authenticated")]), Some(Incoming::Authenticated));
        assert_eq!(message(vec![json!("sync_notification")]), unknown("sync_notification"));
        assert_eq!(message(vec![json!("pong"), json!(1)]), unknown("message"));
        assert_eq!(message(vec![json!({"a": 1})]), unknown("message"));
        assert_eq!(message(vec![]), unknown("message"));
        assert_eq!(read(&Event::Custom("pong".into()), &Payload::Text(vec![json!({})])), Some(Incoming::Pong));
    }
}
