//! What became of the pushed entities.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use aesync_protocol::request::PushWait;
use aesync_protocol::response::{EntryState, PushedEntry};

use super::human;
use crate::exit::Failure;
use crate::output::{Align, Table, View};
use crate::text::{clean, count, number, wrap};

/// As many entities are shown one by one; of more than that, only how many there are.
const SHOWN: usize = 20;

/// Counts of all, and the first few themselves.
#[derive(Debug)]
pub(super) struct Outcome {
    wait: PushWait,
    states: BTreeMap<EntryState, u64>,
    first: Vec<PushedEntry>,
    warnings: Vec<String>,
    total: u64,
    warned: u64,
}

impl Outcome {
    pub(super) fn new(wait: PushWait) -> Self {
        Self { wait, states: BTreeMap::new(), first: Vec::new(), warnings: Vec::new(), total: 0, warned: 0 }
    }

    pub(super) fn count(&mut self, entry: PushedEntry) {
        *self.states.entry(entry.state).or_default() += 1;
        self.total += 1;
        for warning in &entry.warnings {
            self.warned += 1;
            if self.warnings.len() < SHOWN {
                self.warnings.push(format!("{} {}: {}", clean(&entry.entity_type), clean(&entry.id), clean(warning)));
            }
        }
        // One more than is shown tells that there are more.
        if self.first.len() <= SHOWN {
            self.first.push(entry);
        }
    }

    pub(super) fn text(&self, view: &View) -> String {
        let mut text = String::new();
        if self.first.len() <= SHOWN {
            let mut table =
                Table::new(&[("ENTRY", Align::Right), ("STATE", Align::Left), ("TYPE", Align::Left), ("ID", Align::Left)]);
            for entry in &self.first {
                table.row(vec![
                    entry.entry.to_string(),
                    word(entry.state).to_owned(),
                    clean(&entry.entity_type).into_owned(),
                    clean(&entry.id).into_owned(),
                ]);
            }
            text.push_str(&table.text(view));
        } else {
            let states: Vec<_> =
                self.states.iter().map(|(state, entries)| format!("{} {}", number(*entries), word(*state))).collect();
            let line = format!("{}: {}", count(self.total, "entity", "entities"), states.join(", "));
            text.push_str(&(wrap(&line, 2, view.width) + "\n"));
        }
        for warning in &self.warnings {
            text.push_str(&(wrap(&format!("{} {warning}", view.paint.orange("!")), 2, view.width) + "\n"));
        }
        if self.warned > self.warnings.len() as u64 {
            text.push_str(&format!("{} in all; --json shows each\n", count(self.warned, "warning", "warnings")));
        }
        text
    }

    /// The exit code: whether all of them came as far as was waited for.
    pub(super) fn verdict(&self, patience: Duration) -> Result<ExitCode, Failure> {
        if self.wait == PushWait::Queued {
            return Ok(ExitCode::SUCCESS);
        }
        let refused = self.of(&[EntryState::Quarantined, EntryState::Blocked, EntryState::Conflict]);
        let mut waiting = self.of(&[EntryState::Pending, EntryState::Sent, EntryState::InDoubt]);
        if self.wait == PushWait::Confirmed {
            waiting += self.of(&[EntryState::Acked]);
        }
        match (refused, waiting) {
            (0, 0) => Ok(ExitCode::SUCCESS),
            (0, waiting) => Err(Failure::NotReached(format!(
                "{} still on the way after {}; {} queued: see `aectl outbox`",
                count(waiting, "entity is", "entities are"),
                human(patience),
                if waiting == 1 { "it stays" } else { "they stay" }
            ))),
            (refused, _) => Err(Failure::Refused(format!(
                "{} not taken by the server; see `aectl outbox` and `aectl conflicts`",
                count(refused, "entity was", "entities were")
            ))),
        }
    }

    fn of(&self, states: &[EntryState]) -> u64 {
        states.iter().filter_map(|state| self.states.get(state)).sum()
    }
}

/// Beside a push, `pending` means that it is safe on the disk.
fn word(state: EntryState) -> &'static str {
    match state {
        EntryState::Pending => "queued",
        other => other.as_str(),
    }
}
