//! Subscribers that fold the change feed and go on where they were, over every death of the daemon.

use std::sync::Mutex;
use std::time::Duration;

use aesync_protocol::client::ClientError;
use aesync_protocol::event::{Change, Channel, Event};
use aesync_protocol::request::{Changed, GetStatus, Subscribe};

use crate::records::{Records, fold};
use crate::stage::{Called, Stage, call};

/// How long one look for an event lasts before the follower sees whether the play is over.
const LOOK: Duration = Duration::from_millis(200);

/// How a follower gets its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `subscribe`, to all types.
    Subscription,
    /// `subscribe`, to one type: its positions have gaps, and checkpoints fill them.
    Filtered(&'static str),
    /// The method `changes`.
    Polls,
}

/// What the changes so far add up to.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    pub(crate) log: Option<String>,
    pub(crate) last: u64,
    pub(crate) records: Records,
}

impl Fold {
    fn take(&mut self, change: Change, way: Way) -> Result<(), String> {
        let (seq, last) = (change.seq, self.last);
        match way {
            Way::Filtered(only) if change.entity_type != only => return Err(format!("{change:?} is not {only}")),
            Way::Filtered(_) if seq <= last => return Err(format!("change {seq} came again after {last}")),
            Way::Subscription | Way::Polls if seq != last + 1 => return Err(format!("change {seq} came after {last}")),
            _ => {}
        }
        self.last = seq;
        fold(&mut self.records, change)
    }

    /// A feed keeps its identity as long as its store is whole.
    fn is_of(&mut self, log: &str) -> Result<(), String> {
        let known = self.log.get_or_insert_with(|| log.to_owned());
        if known == log { Ok(()) } else { Err(format!("the feed was {known} and is {log}")) }
    }
}

pub(crate) struct Follower {
    pub(crate) way: Way,
    pub(crate) fold: Mutex<Fold>,
}

/// Before the first sign-in there is no feed, and a position in none can't be resumed.
fn wait_for_feed(stage: &Stage) {
    while let Some(mut client) = stage.connect() {
        match call(&mut client, &GetStatus {}) {
            Called::Answered(status) if status.feed.log.is_empty() => {}
            Called::Answered(_) => return,
            Called::Lost => {}
            Called::Wrong(wrong) => return stage.report(wrong),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Follower {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, fold: Mutex::default() }
    }

    /// Follows until the play is over.
    pub(crate) fn play(&self, stage: &Stage) {
        wait_for_feed(stage);
        let followed = match self.way {
            Way::Polls => self.poll(stage),
            Way::Subscription | Way::Filtered(_) => self.subscribe(stage),
        };
        if let Err(wrong) = followed {
            stage.report(format!("the follower {:?}: {wrong}", self.way));
        }
    }

    fn subscribe(&self, stage: &Stage) -> Result<(), String> {
        while let Some(client) = stage.connect() {
            let params = {
                let fold = self.fold.lock().expect("the fold");
                let entity_types = if let Way::Filtered(only) = self.way { Some(vec![only.to_owned()]) } else { None };
                Subscribe { channels: vec![Channel::Change], entity_types, since: Some(fold.last), log: fold.log.clone() }
            };
            let mut events = match client.into_events(&params) {
                Ok(events) => events,
                Err(ClientError::Closed { .. }) => continue,
                Err(error) => return Err(format!("{params:?}: {error}")),
            };
            self.fold.lock().expect("the fold").is_of(&events.position().log)?;
            while !stage.is_stopped() {
                match events.next_event(Some(LOOK)) {
                    Ok(None) => {}
                    Ok(Some(Event::Change { change })) => self.fold.lock().expect("the fold").take(change, self.way)?,
                    Ok(Some(Event::Checkpoint { seq })) => self.fold.lock().expect("the fold").last = seq,
                    Ok(Some(event)) => return Err(format!("not asked for: {event:?}")),
                    Err(ClientError::Closed { .. }) => break,
                    Err(error) => return Err(error.to_string()),
                }
            }
        }
        Ok(())
    }

    fn poll(&self, stage: &Stage) -> Result<(), String> {
        while let Some(mut client) = stage.connect() {
            while !stage.is_stopped() {
                let params = {
                    let fold = self.fold.lock().expect("the fold");
                    let wait_ms = Some(u64::try_from(LOOK.as_millis()).expect("short"));
                    Changed { since: fold.last, log: fold.log.clone(), limit: Some(50), entity_types: None, wait_ms }
                };
                let page = match call(&mut client, &params) {
                    Called::Answered(page) => page,
                    Called::Lost => break,
                    Called::Wrong(wrong) => return Err(wrong),
                };
                let mut fold = self.fold.lock().expect("the fold");
                fold.is_of(&page.log)?;
                for change in page.changes {
                    fold.take(change, self.way)?;
                }
                if fold.last != page.next {
                    return Err(format!("the page ended with {}, next is {}", fold.last, page.next));
                }
            }
        }
        Ok(())
    }
}
