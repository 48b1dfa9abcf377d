//! A change together with its JSON.

use std::ops::Deref;
use std::sync::Arc;

use crate::event::Change;

/// Bytes that most changes do with; a buffer that grows is copied each time.
const USUAL: usize = 1024;

/// A change and its JSON, which is written once for all who store it or pass it on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EncodedChange {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    change: Change,
    json: Vec<u8>,
}

impl EncodedChange {
    /// Writes the change.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn new(change: Change) -> serde_json::Result<Self> {
        let mut json = Vec::with_capacity(USUAL);
        serde_json::to_writer(&mut json, &change)?;
        Ok(Self { shared: Arc::new(Shared { change, json }) })
    }

    /// The change as JSON.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.shared.json
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
