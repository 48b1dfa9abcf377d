//! What each key does.

use std::sync::mpsc::SyncSender;

use aesync_protocol::request::Keep;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::Action;
use super::model::Model;

/// What comes after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    Leave,
}

pub(super) fn press(model: &mut Model, key: KeyEvent, actions: &SyncSender<Action>) -> Step {
    // In raw mode the terminal makes no signal of it.
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Step::Leave;
    }
    if std::mem::take(&mut model.help) {
        return Step::Stay;
    }
    if model.open.is_some() {
        inside(model, key.code, actions);
        return Step::Stay;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Step::Leave,
        KeyCode::Char('?' | 'h') => model.help = true,
        KeyCode::Char('s') => ask(model, actions, Action::Sync, "Syncing…"),
        KeyCode::Char('p') if model.status.as_ref().is_some_and(|status| status.paused) => {
            ask(model, actions, Action::Resume, "Resuming…");
        }
        KeyCode::Char('p') => ask(model, actions, Action::Pause, "Pausing…"),
        KeyCode::Char('r') => retry(model, actions),
        KeyCode::Up | KeyCode::Char('k') => model.selected = model.selected.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => {
            model.selected = model.selected.saturating_add(1).min(model.entries.len().saturating_sub(1));
        }
        KeyCode::Char('c') => open_conflict(model),
        KeyCode::Enter => model.open = model.chosen().map(|entry| (entry.entry, 0)),
        _ => {}
    }
    Step::Stay
}

/// While an entry is open.
fn inside(model: &mut Model, code: KeyCode, actions: &SyncSender<Action>) {
    let Some((entry, scrolled)) = model.open else { return };
    match code {
        KeyCode::Esc | KeyCode::Char('q') => model.open = None,
        KeyCode::Up | KeyCode::Char('k') => model.open = Some((entry, scrolled.saturating_sub(1))),
        // The drawing knows where the end is.
        KeyCode::Down | KeyCode::Char('j') => model.open = Some((entry, scrolled.saturating_add(1))),
        KeyCode::Char('r') => ask(model, actions, Action::Retry(entry), "Trying again…"),
        KeyCode::Char('1') if model.open_conflict().is_some() => {
            ask(model, actions, Action::Resolve(entry, Keep::Server), "Keeping the server's row…");
            model.open = None;
        }
        KeyCode::Char('2') if model.open_conflict().is_some() => {
            ask(model, actions, Action::Resolve(entry, Keep::Local), "Sending the local change once more…");
            model.open = None;
        }
        _ => {}
    }
}

fn retry(model: &mut Model, actions: &SyncSender<Action>) {
    match model.chosen().map(|entry| entry.entry) {
        Some(entry) => ask(model, actions, Action::Retry(entry), "Trying again…"),
        None => "The outbox is empty: there is nothing to retry.".clone_into(&mut model.said),
    }
}

/// Opens the oldest conflict.
fn open_conflict(model: &mut Model) {
    match model.conflicts.first().map(|conflict| conflict.entry) {
        Some(entry) => {
            model.selected = model.entries.iter().position(|known| known.entry == entry).unwrap_or(model.selected);
            model.open = Some((entry, 0));
        }
        None => "There are no conflicts.".clone_into(&mut model.said),
    }
}

fn ask(model: &mut Model, actions: &SyncSender<Action>, action: Action, meanwhile: &str) {
    let said = if actions.try_send(action).is_ok() { meanwhile } else { "Busy with earlier keys: try again in a moment." };
    said.clone_into(&mut model.said);
}
