//! What stores of older formats hold in another way (rule R46). Before 4, large values were in pieces in a tree of their own, and each entry
//! and each change stood by itself; before 5, base rows and overlays had the whole of their ids. The pieces are read as they are until a
//! rewrite of the database leaves them behind; the rest is brought over at the start.

use super::compact;
use super::database::{Database, Tree};
use super::fault::{Fault, fenced};

/// What the mark of a value in pieces begins with. A number of 128 bits follows, and the value's length, of 32; both big-endian.
pub(super) const MARK: u8 = 0xA7;
/// A whole mark, in bytes.
const MARK_BYTES: usize = 21;
/// The tree of the pieces; their keys are the number, and an index of 32 bits.
const PIECES: &str = "apart";
/// The trees of what is packed by now.
const UNPACKED: [(Tree, &str); 2] = [(Tree::Outbox, "outbox"), (Tree::Feed, "feed")];
/// The tree of what has shorter keys by now.
const WHOLE_KEYS: (Tree, &str) = (Tree::Replica, "replica");
/// Values that are brought over in one step.
const STEP: usize = 8_192;

/// What is left of an older format.
#[derive(Debug)]
pub(super) struct Legacy {
    pieces: Option<sled::Tree>,
    unpacked: Vec<(Tree, sled::Tree)>,
    whole_keys: Option<sled::Tree>,
}

impl Legacy {
    /// Looks what there is in `db`.
    pub(super) fn of(db: &sled::Db) -> sled::Result<Self> {
        let names = db.tree_names();
        let open = |name: &str| names.iter().any(|known| *known == *name.as_bytes()).then(|| db.open_tree(name)).transpose();
        let mut unpacked = Vec::new();
        for (tree, name) in UNPACKED {
            unpacked.extend(open(name)?.map(|old| (tree, old)));
        }
        Ok(Self { pieces: open(PIECES)?, unpacked, whole_keys: open(WHOLE_KEYS.1)? })
    }

    /// The value that stands in pieces, when that is what `stored` says, and all of it is there.
    pub(super) fn value(&self, stored: &[u8]) -> sled::Result<Option<Vec<u8>>> {
        let Some((pieces, rest)) = self.pieces.as_ref().zip(stored.strip_prefix(&[MARK])) else { return Ok(None) };
        let Some((number, length)) = rest.split_first_chunk::<16>().filter(|_| stored.len() == MARK_BYTES) else {
            return Ok(None);
        };
        let mut value = Vec::new();
        for piece in pieces.scan_prefix(number) {
            value.extend_from_slice(&piece?.1);
        }
        let length = length.try_into().map_or(0, u32::from_be_bytes);
        Ok(Some(value).filter(|value| u32::try_from(value.len()) == Ok(length)))
    }

    /// Packs what stands each by itself, and shortens keys. Where it is cut short, the next start goes on.
    pub(super) fn bring_over(&self, database: &Database) -> Result<(), Fault> {
        self.unpacked.iter().try_for_each(|(tree, old)| pack_tree(database, *tree, old))?;
        self.whole_keys.iter().try_for_each(|old| shorten_keys(database, old))
    }
}

/// Values stay where they are, in the tree or apart from it.
fn shorten_keys(database: &Database, old: &sled::Tree) -> Result<(), Fault> {
    let (tree, _) = WHOLE_KEYS;
    loop {
        let step: Vec<_> = fenced(|| old.iter().take(STEP).collect::<sled::Result<_>>())?;
        if step.is_empty() {
            return Ok(());
        }
        fenced(|| {
            step.iter().try_for_each(|(key, stored)| database.set(tree, &compact::stored(tree, key), Some(stored)).map(drop))
        })?;
        // The journal need not have them, so they must be durable there before they go here.
        database.sync()?;
        fenced(|| step.iter().try_for_each(|(key, _)| old.remove(key).map(drop)))?;
    }
}

fn pack_tree(database: &Database, tree: Tree, old: &sled::Tree) -> Result<(), Fault> {
    loop {
        let writes = database.first_of(old, STEP, tree)?;
        if writes.is_empty() {
            return Ok(());
        }
        database.write(&writes)?;
        // The journal need not have them, so they must be durable there before they go here.
        database.sync()?;
        fenced(|| writes.keys().try_for_each(|(_, key)| old.remove(key).map(drop)))?;
    }
}
