//! The daemon's events, as an app follows them.

use std::path::Path;
use std::time::{Duration, Instant};

use aesync_protocol::client::{Client, Events};
use aesync_protocol::request::Subscribe;
use aesync_protocol::{Channel, Event, Status, StatusWord};
use anyhow::Context as _;

use crate::voice::Voice;

/// How long anything that the tour waits for may take: some times what a slow machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection's subscription, and the status that it last brought.
#[derive(Debug)]
pub(crate) struct Follower {
    events: Events,
    status: Option<Status>,
}

impl Follower {
    pub(crate) fn subscribe(socket: &Path, channels: &[Channel]) -> anyhow::Result<Self> {
        Ok(Self { events: subscribe(socket, channels)?, status: None })
    }

    /// Listens to other channels from now on.
    pub(crate) fn switch_to(&mut self, socket: &Path, channels: &[Channel]) -> anyhow::Result<()> {
        self.events = subscribe(socket, channels)?;
        Ok(())
    }

    /// Reads events, and speaks of those that apps show, until `found` finds something in one.
    pub(crate) fn until<T>(
        &mut self,
        voice: &Voice,
        what: &str,
        mut found: impl FnMut(&Event) -> Option<T>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let event = self.events.next_event(Some(left)).with_context(|| format!("wait for {what}"))?;
            let event = event.with_context(|| self.in_vain(what))?;
            self.speak(voice, &event);
            if let Some(found) = found(&event) {
                return Ok(found);
            }
        }
    }

    /// Waits for a status, unless it is so already.
    pub(crate) fn until_status(
        &mut self,
        voice: &Voice,
        what: &str,
        mut is_so: impl FnMut(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        if let Some(status) = self.status.as_ref().filter(|status| is_so(status)) {
            return Ok(status.clone());
        }
        self.until(voice, what, |event| match event {
            Event::Status { status } if is_so(status) => Some(Status::clone(status)),
            _ => None,
        })
    }

    fn speak(&mut self, voice: &Voice, event: &Event) {
        match event {
            Event::Status { status } => {
                if self.word() != Some(status.status) {
                    voice.indicate(status.status);
                }
                self.status = Some(Status::clone(status));
            }
            Event::Outbox { entry } => voice.hear(format_args!("entry {} ({}): {}", entry.entry, entry.entity_type, entry.state)),
            _ => {}
        }
    }

    fn word(&self) -> Option<StatusWord> {
        self.status.as_ref().map(|status| status.status)
    }

    fn in_vain(&self, what: &str) -> String {
        let word = self.word().map_or("not known", StatusWord::as_str);
        format!("waited {} s in vain for {what}; the daemon's status is {word}", PATIENCE.as_secs())
    }
}

fn subscribe(socket: &Path, channels: &[Channel]) -> anyhow::Result<Events> {
    let wanted = Subscribe { channels: channels.to_vec(), ..Subscribe::default() };
    Client::connect(socket)?.into_events(&wanted).context("subscribe to the daemon's events")
}
