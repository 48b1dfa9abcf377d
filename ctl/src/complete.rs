//! Completion for shells, with entity types, ids and entries from the running daemon.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aesync_protocol::client::Client;
use aesync_protocol::endpoint;
use aesync_protocol::request::{ConflictsList, GetStatus, OutboxList, RecordsList};
use clap::CommandFactory as _;
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use crate::args::Args;

/// The variable that says which shell asks.
const VARIABLE: &str = "AECTL_COMPLETE";
/// Whoever presses Tab does not wait longer than this for the daemon.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most that is offered.
const MOST: u32 = 200;

/// Answers and ends the process when a shell asks; does nothing otherwise.
pub(crate) fn answer_a_shell() {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(Args::command).var(VARIABLE).complete();
    }
}

/// The script that makes a shell ask.
pub(crate) fn script(shell: &str) -> io::Result<String> {
    let shells = Shells::builtins();
    let completer = shells.completer(shell).ok_or(io::ErrorKind::Unsupported)?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "aectl", "aectl", "aectl", &mut script)?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// The configured entity types.
pub(crate) fn types(typed: &OsStr) -> Vec<CompletionCandidate> {
    let status = connect().and_then(|mut client| client.call(&GetStatus {}).ok());
    matching(typed, status.into_iter().flat_map(|status| status.types.into_keys()).map(|name| (name, String::new())))
}

/// Codes of what needs a person.
pub(crate) fn codes(typed: &OsStr) -> Vec<CompletionCandidate> {
    let status = connect().and_then(|mut client| client.call(&GetStatus {}).ok());
    matching(typed, status.into_iter().flat_map(|status| status.attention).map(|item| (item.code, item.message)))
}

/// Ids of the type that stands before.
pub(crate) fn ids(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words = command_line();
    let mut positional = positionals(&words).skip_while(|word| *word != "get").skip(1);
    let Some(entity_type) = positional.next() else { return Vec::new() };
    let typed_text = typed.to_string_lossy();
    // Ids are listed in order and lower case: those that begin so follow what is just before.
    let after = predecessor(&typed_text);
    let params = RecordsList { entity_type: entity_type.to_owned(), limit: Some(MOST), after };
    let page = connect().and_then(|mut client| client.call(&params).ok());
    let id = |record: &aesync_protocol::Record| record.get("id").and_then(|id| id.as_str()).map(str::to_owned);
    let listed = page.into_iter().flat_map(|page| page.records).filter_map(|listed| {
        let name = ["name", "title", "email"].iter().find_map(|field| listed.record.get(*field)?.as_str()).unwrap_or_default();
        Some((id(&listed.record)?, name.to_owned()))
    });
    matching(typed, listed)
}

/// Numbers of the outbox's entries.
pub(crate) fn entries(typed: &OsStr) -> Vec<CompletionCandidate> {
    let params = OutboxList { limit: Some(MOST), ..OutboxList::default() };
    let page = connect().and_then(|mut client| client.call(&params).ok());
    let entries = page.into_iter().flat_map(|page| page.entries);
    matching(typed, entries.map(|entry| (entry.entry.to_string(), format!("{} {} {}", entry.state, entry.entity_type, entry.id))))
}

/// Numbers of the entries in conflict.
pub(crate) fn conflicts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let listed = connect().and_then(|mut client| client.call(&ConflictsList {}).ok());
    let conflicts = listed.into_iter().flat_map(|listed| listed.conflicts);
    matching(typed, conflicts.map(|conflict| (conflict.entry.to_string(), format!("{} {}", conflict.entity_type, conflict.id))))
}

/// No daemon is no candidates: a shell is no place for an error.
fn connect() -> Option<Client> {
    let words = command_line();
    let socket = option(&words, "--socket").map(PathBuf::from);
    let path = endpoint::locate(socket.as_deref(), option(&words, "--instance")).ok()?;
    Client::connect_within(&path, PATIENCE).ok()
}

fn matching(typed: &OsStr, candidates: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    // What would steer the terminal, or need quoting that shells do differently, can be typed but is not offered.
    let harmless = |text: &str| text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.'));
    candidates
        .filter(|(value, _)| value.starts_with(typed.as_ref()) && harmless(value))
        .map(|(value, help)| {
            let help = crate::text::clean(&help).into_owned();
            CompletionCandidate::new(value).help((!help.is_empty()).then(|| help.into()))
        })
        .collect()
}

/// What was typed so far, without the program's name. The shells' scripts give it behind `--`.
fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).skip_while(|word| word != "--").skip(2).collect()
}

/// The value of an option, in either spelling.
fn option<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    let mut words = words.iter().skip_while(|word| word.split('=').next() != Some(name));
    let found = words.next()?;
    found.split_once('=').map(|(_, value)| value).or_else(|| words.next().map(String::as_str))
}

/// Words that are neither options nor the values of those that may stand anywhere.
fn positionals(words: &[String]) -> impl Iterator<Item = &str> {
    let mut is_value = false;
    words.iter().map(String::as_str).filter(move |word| {
        let skipped = std::mem::replace(&mut is_value, matches!(*word, "--socket" | "--instance" | "--color" | "--timeout"));
        !skipped && !word.starts_with('-')
    })
}

/// A text that sorts before everything that begins with `text`, and behind nearly everything else that sorts before it.
fn predecessor(text: &str) -> Option<String> {
    let last = text.chars().next_back()?;
    let before = char::from_u32(u32::from(last).checked_sub(1)?)?;
    let mut shorter = text.strip_suffix(last)?.to_owned();
    shorter.extend([before, char::MAX]);
    Some(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_begin_as_typed_sort_behind_their_predecessor() {
        let before = predecessor("3f").expect("not empty");
        for id in ["3f", "3f00", "3fff"] {
            assert!(before.as_str() < id, "{id}");
        }
        assert!(before.as_str() > "3effffff");
        assert_eq!(predecessor(""), None);
    }

    #[test]
    fn options_may_stand_anywhere_in_either_spelling() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let spaced = words("--socket /s get --timeout 2s interactions a");
        assert_eq!(positionals(&spaced).collect::<Vec<_>>(), ["get", "interactions", "a"]);
        assert_eq!(option(&spaced, "--socket"), Some("/s"));
        let joined = words("get --socket=/s --json interactions");
        assert_eq!(positionals(&joined).collect::<Vec<_>>(), ["get", "interactions"]);
        assert_eq!((option(&joined, "--socket"), option(&joined, "--instance")), (Some("/s"), None));
        assert_eq!(option(&words("get --socket"), "--socket"), None);
    }

    #[test]
    fn what_could_steer_a_terminal_or_needs_quoting_is_not_offered() {
        let offered = matching(
            OsStr::new("a"),
            ["ab", "a b", "a$(x)", "a\u{1b}[2J", "b"].map(|id| (id.to_owned(), String::new())).into_iter(),
        );
        let values: Vec<_> = offered.iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect();
        assert_eq!(values, ["ab"]);
    }
}
