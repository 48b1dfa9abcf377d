//! A change together with the line that tells of it.

use std::ops::Deref;
use std::sync::Arc;

use crate::event::Change;

/// Bytes that most changes do with; a buffer that grows is copied each time.
const USUAL: usize = 1024;

/// What stands around the change in its line.
const BEFORE: &[u8] = br#"{"jsonrpc":"2.0","method":"event","params":{"channel":"change","change":"#;
const AFTER: &[u8] = b"}}\n";

/// A change and its line, JSON that is written once for all who store it or pass it on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EncodedChange {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    change: Change,
    line: Vec<u8>,
}

impl EncodedChange {
    /// Writes the change.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn new(change: Change) -> serde_json::Result<Self> {
        let mut line = Vec::with_capacity(USUAL);
        line.extend_from_slice(BEFORE);
        serde_json::to_writer(&mut line, &change)?;
        line.extend_from_slice(AFTER);
        Ok(Self { shared: Arc::new(Shared { change, line }) })
    }

    /// The event of the change, with its LF.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.shared.line
    }

    /// The change as JSON.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        let line = &self.shared.line;
        line.get(BEFORE.len()..line.len().saturating_sub(AFTER.len())).unwrap_or_default()
    }
}

impl Deref for EncodedChange {
    type Target = Change;

    fn deref(&self) -> &Change {
        &self.shared.change
    }
}

impl PartialEq for EncodedChange {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
