//! Fields that never leave this module (rule R41).

use serde_json::{Map, Value};

/// The names of the fields to strip from rows, at their top level; upper and lower case are the same.
#[derive(Clone, Debug)]
pub(in crate::server) struct SecretFields(Vec<String>);

impl SecretFields {
    pub(in crate::server) fn new(names: &[String]) -> Self {
        Self(names.to_vec())
    }

    pub(in crate::server) fn has(&self, field: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(field))
    }

    pub(in crate::server) fn strip(&self, row: &mut Map<String, Value>) {
        row.retain(|field, _| !self.has(field));
    }
}
