//! The environment as an argument, so that what depends on it can be tested.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Environment variables. Empty ones count as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// This process's own. Variables whose names are no UTF-8 are none of ours.
    #[must_use]
    pub fn of_this_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect()
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// The value of a variable that names a directory. Relative ones count as unset (XDG Base Directory Specification).
    pub(super) fn directory(&self, name: &str) -> Option<&Path> {
        self.get(name).map(Path::new).filter(|path| path.is_absolute())
    }

    /// The variables whose names start with `prefix`, in the order of their names.
    pub(super) fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &OsStr)> {
        self.0.iter().filter(move |(name, _)| name.starts_with(prefix)).map(|(name, value)| (name.as_str(), value.as_os_str()))
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(variables: T) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self(pairs.filter(|(_, value): &(String, OsString)| !value.is_empty()).collect())
    }
}
