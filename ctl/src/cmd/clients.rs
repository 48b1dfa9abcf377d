//! `aectl clients`

use std::process::ExitCode;

use aesync_protocol::request::Clients;
use aesync_protocol::response::{ClientSubscription, ConnectedClient, ConnectedClients};

use crate::context::{Context, LOCAL};
use crate::exit::Failure;
use crate::output::{Align, Table, View};
use crate::text::{ago, clean, number, span};

pub(super) fn run(context: &Context) -> Result<ExitCode, Failure> {
    context.answer(&Clients {}, LOCAL, table)
}

fn table(connected: ConnectedClients, view: &View) -> String {
    let mut table = Table::new(&[
        ("NO", Align::Right),
        ("CLIENT", Align::Left),
        ("USER", Align::Left),
        ("PID", Align::Right),
        ("ROLE", Align::Left),
        ("CONNECTED", Align::Left),
        ("BEHIND", Align::Left),
        ("SUBSCRIBED TO", Align::Left),
    ])
    .yielding(1);
    for client in &connected.clients {
        table.row(row(client, view));
    }
    table.text(view)
}

fn row(client: &ConnectedClient, view: &View) -> Vec<String> {
    vec![
        client.connection.to_string(),
        client.client.as_ref().map(|name| clean(&format!("{} {}", name.name, name.version)).into_owned()).unwrap_or_default(),
        client.uid.map(user).unwrap_or_default(),
        client.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        client.role.to_string(),
        ago(view.now, client.connected_at),
        behind(client, view),
        client.subscription.as_ref().map(subscribed).unwrap_or_default(),
    ]
}

/// `status, change (end_user)`
fn subscribed(subscription: &ClientSubscription) -> String {
    let channels: Vec<&str> = subscription.channels.iter().map(|channel| channel.as_str()).collect();
    match &subscription.entity_types {
        None => channels.join(", "),
        Some(types) => format!("{} ({})", channels.join(", "), clean(&types.join(", "))),
    }
}

/// `2, stalled 5 s`
fn behind(client: &ConnectedClient, view: &View) -> String {
    let behind = client.subscription.as_ref().and_then(|subscription| subscription.behind).map(number);
    let stalled = client.stalled_since.map(|since| format!("stalled {}", span(view.now.millis_since(since))));
    behind.into_iter().chain(stalled).collect::<Vec<_>>().join(", ")
}

/// The user's name, or the number where there is none.
#[cfg(unix)]
fn user(uid: u32) -> String {
    let known = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    known.map_or_else(|| uid.to_string(), |user| clean(&user.name).into_owned())
}

/// Only the number is known.
#[cfg(not(unix))]
fn user(uid: u32) -> String {
    uid.to_string()
}
