//! One value: from TOML or from a variable into the configuration, or why not.

use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, NamesOf};
use super::shown::{written_bytes, written_duration};
use super::{Config, LogFormat};
use crate::server::ServerUrl;
use crate::service::log;

/// The longest name of an entity type, a field or an account, in bytes.
const MAX_NAME: usize = 128;

/// What stands at a key.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// In the file. Relative paths count from `base`.
    Toml { value: &'a DeValue<'a>, base: &'a Path },
    /// In a variable, or on the command line.
    Text(&'a str),
}

impl Key {
    /// Puts a value into the configuration.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub(super) fn read(&self, config: &mut Config, given: Given<'_>) -> Result<(), String> {
        self.kind.read(config, given).map_err(|wrong| format!("{wrong}; allowed: {}", self.kind.allowed()))
    }
}

impl Kind {
    fn read(&self, config: &mut Config, given: Given<'_>) -> Result<(), String> {
        match self {
            Self::Flag(set) => set(config, given.flag()?),
            Self::Text(set) => set(config, given.line()?.to_owned()),
            Self::Url(set) => {
                let url = ServerUrl::parse(given.text()?).map_err(|error| error.to_string())?;
                set(config, url.as_str().to_owned());
            }
            Self::Path(set) => set(config, given.path()?),
            Self::Duration { least, most, set } => {
                let text = given.text()?;
                let found = humantime::parse_duration(text).map_err(|error| format!("{text:?} is no duration ({error})"))?;
                within(found, *least, *most, text)?;
                if !found.as_nanos().is_multiple_of(1_000_000) {
                    return Err(format!("{text:?} is finer than a millisecond"));
                }
                set(config, found);
            }
            Self::Bytes { least, most, set } => {
                let (found, text) = given.bytes()?;
                within(found, *least, *most, &text)?;
                set(config, found);
            }
            Self::Count { least, most, set } => {
                let (found, text) = given.integer()?;
                within(found, *least, *most, &text)?;
                set(config, found);
            }
            Self::Names { of, set } => {
                let names = given.names()?;
                of.check(&names)?;
                set(config, names);
            }
            Self::LogFilter(set) => {
                let filter = given.text()?;
                log::check_filter(filter)?;
                set(config, filter.to_owned());
            }
            Self::LogFormat(set) => {
                let text = given.text()?;
                let (_, format) =
                    FORMATS.iter().find(|(name, _)| *name == text).ok_or_else(|| format!("{text:?} is no format"))?;
                set(config, *format);
            }
        }
        Ok(())
    }

    /// What may stand there, in a few words.
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Flag(_) => "true or false".to_owned(),
            Self::Text(_) => "a text in quotes, on one line, not empty".to_owned(),
            Self::Url(_) => "an http or https URL such as \"https://admin.example.org\"".to_owned(),
            Self::Path(_) => "a path in quotes, not empty".to_owned(),
            Self::Duration { least, most, .. } => format!(
                "a duration with its unit (ms, s, m, h, d) such as \"90s\", from \"{}\" to \"{}\"",
                written_duration(*least),
                written_duration(*most)
            ),
            Self::Bytes { least, most, .. } => format!(
                "a size such as \"64KiB\", or a number of bytes, from {} to {}",
                written_bytes(*least),
                written_bytes(*most)
            ),
            Self::Count { least, most, .. } => format!("a whole number from {least} to {most}"),
            Self::Names { of: NamesOf::EntityTypes, .. } => {
                "a list of at least one entity type, each once, such as [\"end_user\", \"interactions\"]".to_owned()
            }
            Self::Names { of: NamesOf::Fields, .. } => "a list of field names, each once, such as [\"password\"]".to_owned(),
            Self::Names { of: NamesOf::Accounts, .. } => {
                "a list of users and @groups, each once, such as [\"alice\", \"@staff\"]".to_owned()
            }
            Self::LogFilter(_) => {
                "error, warn, info, debug, trace or off, or a list such as \"info,aesyncd::engine=debug\"".to_owned()
            }
            Self::LogFormat(_) => "auto, pretty, json or journal".to_owned(),
        }
    }
}

const FORMATS: [(&str, LogFormat); 4] =
    [("auto", LogFormat::Auto), ("pretty", LogFormat::Pretty), ("json", LogFormat::Json), ("journal", LogFormat::Journal)];

impl NamesOf {
    fn check(self, names: &[String]) -> Result<(), String> {
        if self == Self::EntityTypes && names.is_empty() {
            return Err("the list is empty".to_owned());
        }
        for (index, name) in names.iter().enumerate() {
            let bare = if self == Self::Accounts { name.strip_prefix('@').unwrap_or(name) } else { name };
            let shown: String = name.chars().take(40).collect();
            if bare.is_empty() {
                return Err(format!("name {} of the list is empty", index.saturating_add(1)));
            }
            if name.len() > MAX_NAME {
                return Err(format!("{shown:?}... is longer than {MAX_NAME} bytes"));
            }
            if bare.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
                return Err(format!("{shown:?} holds white space"));
            }
            if names.iter().take(index).any(|earlier| earlier == name) {
                return Err(format!("{shown:?} is there twice"));
            }
        }
        Ok(())
    }
}

impl<'a> Given<'a> {
    fn text(self) -> Result<&'a str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml { value: DeValue::String(text), .. } => Ok(text),
            Self::Toml { value, .. } => Err(format!("it is {}", kind_of(value))),
        }
    }

    /// A text for people's eyes: not empty, one line, without the white space around it.
    fn line(self) -> Result<&'a str, String> {
        let text = self.text()?.trim();
        if text.is_empty() {
            return Err("it is empty; leave the key out instead".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("it has more than one line, or control characters".to_owned());
        }
        Ok(text)
    }

    fn path(self) -> Result<PathBuf, String> {
        let text = self.text()?;
        if text.is_empty() {
            return Err("it is empty; leave the key out instead".to_owned());
        }
        if text.contains('\0') {
            return Err("it holds a NUL character".to_owned());
        }
        if text.starts_with("~/") {
            return Err("it starts with ~/, which only a shell understands; write the path out".to_owned());
        }
        match self {
            Self::Toml { base, .. } => Ok(base.join(text)),
            Self::Text(_) => Ok(PathBuf::from(text)),
        }
    }

    fn flag(self) -> Result<bool, String> {
        match self {
            Self::Toml { value: DeValue::Boolean(flag), .. } => Ok(*flag),
            Self::Toml { value, .. } => Err(format!("it is {}", kind_of(value))),
            Self::Text("true") => Ok(true),
            Self::Text("false") => Ok(false),
            Self::Text(text) => Err(format!("{text:?} is neither")),
        }
    }

    /// The number, and as it was written.
    fn integer(self) -> Result<(u64, String), String> {
        let (digits, radix) = match self {
            Self::Toml { value: DeValue::Integer(integer), .. } => (integer.as_str(), integer.radix()),
            Self::Toml { value, .. } => return Err(format!("it is {}", kind_of(value))),
            Self::Text(text) => (text, 10),
        };
        let number = u64::from_str_radix(digits, radix).map_err(|error| format!("{digits:?} can't be used ({error})"))?;
        Ok((number, digits.to_owned()))
    }

    fn bytes(self) -> Result<(u64, String), String> {
        if matches!(self, Self::Toml { value: DeValue::Integer(_), .. }) {
            return self.integer();
        }
        let text = self.text()?;
        let size: ByteSize = text.parse().map_err(|error| format!("{text:?} is no size ({error})"))?;
        Ok((size.as_u64(), text.to_owned()))
    }

    fn names(self) -> Result<Vec<String>, String> {
        match self {
            Self::Toml { value, .. } => names_in(value),
            Self::Text(text) if text.trim_start().starts_with('[') => {
                let document = format!("names = {text}");
                let table = DeTable::parse(&document).map_err(|error| format!("it is no TOML list ({})", error.message()))?;
                match table.get_ref().get("names") {
                    Some(value) if table.get_ref().len() == 1 => names_in(value.get_ref()),
                    _ => Err("it is no TOML list".to_owned()),
                }
            }
            Self::Text(text) => Ok(text.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }
}

fn names_in(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| format!("it is {}", kind_of(value)))?;
    let name = |item: &toml::Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::String(name) => Ok(name.clone().into_owned()),
        other => Err(format!("the list holds {}", kind_of(other))),
    };
    items.iter().map(name).collect()
}

fn within<T: PartialOrd>(found: T, least: T, most: T, written: &str) -> Result<(), String> {
    if found < least {
        Err(format!("{written} is too small"))
    } else if found > most {
        Err(format!("{written} is too large"))
    } else {
        Ok(())
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
