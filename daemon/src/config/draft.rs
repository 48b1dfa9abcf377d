//! A configuration in the making: values from the file, then from the variables, and what was wrong with them.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS, Key};
use super::value::Given;
use super::{Config, Environment, Place, Problem};
use crate::spelling::nearest;

/// What all variables begin with.
const PREFIX: &str = "AESYNC_";

/// See the module.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) problems: Vec<Problem>,
    /// Where each key was said last.
    pub(super) places: BTreeMap<&'static str, Place>,
}

impl Draft {
    /// Reads the text of a file.
    pub(super) fn file(&mut self, path: &Path, text: &str) {
        let place = |offset: usize| Place::File { path: path.to_owned(), line: line(text, offset) };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // What was recovered from broken TOML would only give rise to wrong complaints.
            self.problems.extend(errors.iter().map(|error| Problem {
                place: place(error.span().map_or(0, |span| span.start)),
                key: String::new(),
                // Without the line itself, which may hold a secret in the wrong place.
                message: format!("this is no TOML: {}", error.message()),
            }));
            return;
        }
        for (name, value) in table.get_ref() {
            let at = place(name.span().start);
            match value.get_ref() {
                DeValue::Table(section) if keys::sections().contains(&&**name.get_ref()) => {
                    self.section(name.get_ref(), section, path, &place);
                }
                value => {
                    self.problems.push(Problem { place: at, key: String::new(), message: no_section(name.get_ref(), value) })
                }
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>, path: &Path, place: &dyn Fn(usize) -> Place) {
        let base = path.parent().unwrap_or(Path::new(""));
        for (name, value) in table {
            let full = format!("{section}.{}", name.get_ref());
            match keys::find(&full) {
                Some(key) => {
                    let at = place(Spanned::span(value).start);
                    self.put(key, Given::Toml { value: value.get_ref(), base }, at);
                }
                None => self.problems.push(Problem {
                    place: place(name.span().start),
                    message: no_key(section, name.get_ref()),
                    key: full,
                }),
            }
        }
    }

    /// Reads the variables. A file that they override need not be right in those keys; here it must be.
    pub(super) fn environment(&mut self, environment: &Environment) {
        for (variable, value) in environment.starting_with(PREFIX) {
            let place = Place::Variable(variable.to_owned());
            // Without the double underscore it is none of the configuration's (AESYNC_SOCKET), unless that was forgotten.
            let Some((section, leaf)) = variable.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
                if let Some(key) = KEYS.iter().find(|key| key.variable().replace("__", "_") == variable) {
                    let message = format!("it has no effect; did you mean {}, with two underscores?", key.variable());
                    self.problems.push(Problem { place, key: String::new(), message });
                }
                continue;
            };
            match (KEYS.iter().find(|key| key.variable() == variable), value.to_str()) {
                (Some(key), Some(text)) => self.put(key, Given::Text(text), place),
                (Some(key), None) => self.problems.push(Problem {
                    place,
                    key: key.name.to_owned(),
                    message: format!("the value is not valid UTF-8; allowed: {}", key.kind.allowed()),
                }),
                (None, _) => self.problems.push(Problem { place, key: String::new(), message: no_variable(section, leaf) }),
            }
        }
    }

    /// Reads one value.
    pub(super) fn put(&mut self, key: &'static Key, given: Given<'_>, place: Place) {
        match key.read(&mut self.config, given) {
            Ok(()) => {
                self.places.insert(key.name, place);
            }
            Err(message) => self.problems.push(Problem { place, key: key.name.to_owned(), message }),
        }
    }

    /// Where a key was said; `None` when it has its default.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

fn no_section(name: &str, value: &DeValue<'_>) -> String {
    let sections = keys::sections();
    let shown: String = name.chars().take(64).collect();
    let all = sections.iter().map(|section| format!("[{section}]")).collect::<Vec<_>>().join(", ");
    if sections.contains(&name) {
        return format!("{shown} must be a section; write [{shown}], and its keys below");
    }
    if !value.is_table()
        && let Some(key) = KEYS.iter().find(|key| key.leaf() == name)
    {
        return format!("{shown} stands in no section; write it below [{}]", key.section());
    }
    let hint = nearest(name, sections.iter().copied()).map_or_else(String::new, |near| format!("; did you mean [{near}]?"));
    format!("there is no section [{shown}]{hint}; allowed: {all}")
}

fn no_key(section: &str, name: &str) -> String {
    let here = || KEYS.iter().filter(|key| key.section() == section).map(Key::leaf);
    let elsewhere = || KEYS.iter().find(|key| key.leaf() == name);
    let hint = match (nearest(name, here()), elsewhere()) {
        (Some(near @ ("password_file" | "token_file")), _) => {
            format!("; put it into a file of its own, and name that file in {near}")
        }
        (Some(near), _) => format!("; did you mean {near}?"),
        (None, Some(key)) => format!("; it stands in the section [{}]", key.section()),
        (None, None) => String::new(),
    };
    format!("there is no such key{hint}; allowed in [{section}]: {}", here().collect::<Vec<_>>().join(", "))
}

fn no_variable(section: &str, leaf: &str) -> String {
    let wanted = format!("{section}.{leaf}").to_lowercase();
    let near = nearest(&wanted, KEYS.iter().map(|key| key.name)).and_then(keys::find);
    let hint = near.map_or_else(String::new, |key| format!("; did you mean {}?", key.variable()));
    format!("there is no such key{hint}; allowed: AESYNC_SECTION__KEY in capitals, for the keys of the configuration file")
}
