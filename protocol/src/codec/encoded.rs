//! A change as the line that tells of it.

use std::sync::Arc;

use serde::Serialize;

use crate::event::Change;

/// Bytes that most changes do with; a buffer that grows is copied each time.
const USUAL: usize = 1024;

/// What stands around the change in its line.
const BEFORE: &[u8] = br#"{"jsonrpc":"2.0","method":"event","params":{"channel":"change","change":"#;
const AFTER: &[u8] = b"}}\n";

/// A change as JSON, which is written once for all who store it or pass it on. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChange {
    shared: Arc<Shared>,
}

#[derive(Debug, PartialEq, Eq)]
struct Shared {
    seq: u64,
    entity_type: String,
    /// Without spare room: many of them are held at a time.
    line: Box<[u8]>,
}

impl EncodedChange {
    /// Writes the change.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn new<R: Serialize>(change: &Change<R>) -> serde_json::Result<Self> {
        let mut line = Vec::with_capacity(USUAL);
        line.extend_from_slice(BEFORE);
        serde_json::to_writer(&mut line, change)?;
        line.extend_from_slice(AFTER);
        let line = line.into_boxed_slice();
        Ok(Self { shared: Arc::new(Shared { seq: change.seq, entity_type: change.entity_type.clone(), line }) })
    }

    /// The change's position in the feed.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.shared.seq
    }

    /// The entity type.
    #[must_use]
    pub fn entity_type(&self) -> &str {
        &self.shared.entity_type
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

    /// The change.
    ///
    /// # Errors
    /// When its JSON can't be read.
    pub fn decode(&self) -> serde_json::Result<Change> {
        serde_json::from_slice(self.json())
    }
}
