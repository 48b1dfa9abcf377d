//! A change together with its JSON.

use std::ops::Deref;
use std::sync::Arc;

use crate::event::Change;

/// A change and its JSON, which is written once for all who store it or pass it on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EncodedChange {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    change: Change,
    json: Box<[u8]>,
}

impl EncodedChange {
    /// Writes the change.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn new(change: Change) -> serde_json::Result<Self> {
        let json = serde_json::to_vec(&change)?.into_boxed_slice();
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
