//! What the screen shows, folded from the daemon's events.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;

use aesync_protocol::event::{Origin, Progress};
use aesync_protocol::response::{Conflict, Entry, EntryState};
use aesync_protocol::{Event, Status, StatusWord, Timestamp};

use super::action::Action;
use super::feed::News;

/// How many seconds the charts remember.
pub(super) const SECONDS: usize = 120;
/// How many live lines are kept.
const LINES: usize = 200;

/// Everything on the screen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: Timestamp,
    /// The last status; kept while the daemon is away.
    pub(super) status: Option<Status>,
    /// Why there is no daemon.
    pub(super) lost: Option<String>,
    pub(super) round_trips: VecDeque<u64>,
    pub(super) sent: Rate,
    pub(super) received: Rate,
    pub(super) entries: Vec<Entry>,
    pub(super) conflicts: Vec<Conflict>,
    /// The chosen entry of the outbox.
    pub(super) selected: usize,
    /// The entry that is open, and how far its fields are scrolled.
    pub(super) open: Option<(u64, usize)>,
    pub(super) help: bool,
    /// Newest last.
    pub(super) lines: VecDeque<(Timestamp, Event)>,
    pub(super) progress: Option<Progress>,
    /// What became of the last action.
    pub(super) said: String,
    /// The outbox changed since it was listed.
    stale: bool,
}

/// Things a second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    now: u64,
    pub(super) past: VecDeque<u64>,
}

impl Rate {
    fn second(&mut self) {
        remember(&mut self.past, std::mem::take(&mut self.now));
    }

    pub(super) fn last(&self) -> u64 {
        self.past.back().copied().unwrap_or(0)
    }
}

fn remember(past: &mut VecDeque<u64>, value: u64) {
    if past.len() == SECONDS {
        past.pop_front();
    }
    past.push_back(value);
}

impl Model {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            status: None,
            lost: None,
            round_trips: VecDeque::new(),
            sent: Rate::default(),
            received: Rate::default(),
            entries: Vec::new(),
            conflicts: Vec::new(),
            selected: 0,
            open: None,
            help: false,
            lines: VecDeque::new(),
            progress: None,
            said: String::new(),
            stale: false,
        }
    }

    /// A second has passed.
    pub(super) fn second(&mut self) {
        self.sent.second();
        self.received.second();
        let connected = if self.lost.is_none() { self.status.as_ref() } else { None };
        remember(&mut self.round_trips, connected.and_then(|status| status.server.rtt_ms).unwrap_or(0));
    }

    /// Takes one of the news in; asks for the outbox when it changed.
    pub(super) fn hear(&mut self, news: News, actions: &SyncSender<Action>) {
        match news {
            News::Event(event) => self.happen(*event),
            News::Lost(why) => self.lost = Some(why),
            News::Waiting { entries, conflicts } => {
                self.lost = None;
                (self.entries, self.conflicts) = (entries, conflicts);
                self.selected = self.selected.min(self.entries.len().saturating_sub(1));
            }
            News::Said(said) => {
                self.said = said;
                self.stale = true;
            }
        }
        // When the queue is full the next of the news asks again.
        if self.stale && actions.try_send(Action::Look).is_ok() {
            self.stale = false;
        }
    }

    fn happen(&mut self, event: Event) {
        match &event {
            Event::Status { status } => {
                self.lost = None;
                // An operation without a known total says by the indicator alone that it is over.
                if status.status != StatusWord::Syncing {
                    self.progress = None;
                }
                self.status = Some(Status::clone(status));
                return;
            }
            Event::Progress(progress) => {
                let done = progress.total.is_some_and(|total| progress.done >= total);
                self.progress = (!done).then(|| progress.clone());
                return;
            }
            Event::Checkpoint { .. } => return,
            Event::Outbox { entry } => {
                self.stale = true;
                if entry.state == EntryState::Sent {
                    self.sent.now += 1;
                }
            }
            Event::Change { change } if change.origin == Origin::Server => self.received.now += 1,
            Event::Change { .. } | Event::Notification { .. } | Event::Lagged { .. } | Event::Gone { .. } => {}
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((self.now, event));
    }

    /// The entry under the cursor.
    pub(super) fn chosen(&self) -> Option<&Entry> {
        self.entries.get(self.selected)
    }

    /// The conflict that is open, if what is open is one.
    pub(super) fn open_conflict(&self) -> Option<&Conflict> {
        let (open, _) = self.open?;
        self.conflicts.iter().find(|conflict| conflict.entry == open)
    }

    /// The entry that is open.
    pub(super) fn open_entry(&self) -> Option<&Entry> {
        let (open, _) = self.open?;
        self.entries.iter().find(|entry| entry.entry == open)
    }
}
