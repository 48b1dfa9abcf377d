//! Writes on their way into the database: what stands apart is appended first, and then sled is told where it is.

use std::borrow::Cow;
use std::sync::MutexGuard;

use super::compact;
use super::database::{Database, Place, Tree};
use super::disk::{Output, database_changes};
use super::packed::{self, Slots};
use super::values::{self, Mark};

/// Bytes that are appended at once, but for the last value of them.
const APPEND: usize = 1024 * 1024;

/// What is told of each place that was written: the length of its value, and that of what stood there, both in bytes.
pub(super) type Each<'e> = &'e mut dyn FnMut(&Place, Option<usize>, Option<usize>);

/// Bytes of keys and values as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Of what was written.
    pub(super) came: u64,
    /// Of what stood there before.
    pub(super) went: u64,
}

/// Writes that sled is not told of yet.
pub(super) struct Batch<'d, 'w, 'e> {
    database: &'d Database,
    /// The file of what stands apart. Held, so that offsets are known before it is written.
    end: MutexGuard<'d, Output>,
    /// What is to be appended to it.
    bytes: Vec<u8>,
    pending: Vec<Pending<'w>>,
    /// The block whose values are being written.
    block: Option<Block>,
    /// A block takes the place of one with values that the journal's tail need not have any more: it must be durable before sled is told
    /// of it, or a power cut could take both.
    replaces: bool,
    footprint: Footprint,
    each: Each<'e>,
}

struct Pending<'w> {
    place: Cow<'w, Place>,
    stored: Option<sled::IVec>,
}

/// A block whose values are being written.
struct Block {
    place: Place,
    slots: Slots,
    /// It was there before.
    is_old: bool,
}

impl<'d, 'w, 'e> Batch<'d, 'w, 'e> {
    pub(super) fn new(database: &'d Database, end: MutexGuard<'d, Output>, each: Each<'e>) -> Self {
        let footprint = Footprint::default();
        Self { database, end, bytes: Vec::new(), pending: Vec::new(), block: None, replaces: false, footprint, each }
    }

    /// Takes a write in. Places come in their order.
    pub(super) fn put(&mut self, place: &'w Place, value: Option<&[u8]>) -> sled::Result<()> {
        let stored = value.map(|value| self.stored(value, packed::inline(place.0))).transpose()?;
        match packed::place(place.0, &place.1) {
            None => self.pending.push(Pending { place: Cow::Borrowed(place), stored }),
            Some((block, slot)) => {
                let open = self.open(place.0, block)?;
                let previous = match stored {
                    Some(stored) => open.slots.insert(slot, stored.to_vec()),
                    None => open.slots.remove(&slot),
                };
                let previous = previous.map(|previous| values::length(&previous));
                (self.each)(place, value.map(<[u8]>::len), previous);
            }
        }
        if self.bytes.len() >= APPEND { self.write() } else { Ok(()) }
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> sled::Result<Footprint> {
        self.close()?;
        self.write()?;
        Ok(self.footprint)
    }

    /// The block at a key, to be changed. The one that was open is closed.
    fn open(&mut self, tree: Tree, key: Vec<u8>) -> sled::Result<&mut Block> {
        let place = (tree, key);
        let block = match self.block.take() {
            Some(open) if open.place == place => open,
            other => {
                self.block = other;
                self.close()?;
                let found = self.database.block(tree, &place.1)?;
                let is_old = found.is_some();
                let slots = found.unwrap_or_default();
                self.footprint.went = self.footprint.went.saturating_add(apart(&slots) as u64);
                Block { place, slots, is_old }
            }
        };
        Ok(self.block.insert(block))
    }

    fn close(&mut self) -> sled::Result<()> {
        let Some(Block { place, slots, is_old }) = self.block.take() else { return Ok(()) };
        self.replaces |= is_old && !slots.is_empty();
        self.footprint.came = self.footprint.came.saturating_add(apart(&slots) as u64);
        let stored = (!slots.is_empty()).then(|| self.stored(&packed::pack(&slots), packed::INLINE)).transpose()?;
        self.pending.push(Pending { place: Cow::Owned(place), stored });
        Ok(())
    }

    /// What is to stand for a value, which is appended when it has more than `inline` bytes.
    fn stored(&mut self, value: &[u8], inline: usize) -> sled::Result<sled::IVec> {
        if value.len() <= inline && !Mark::is_like(value) {
            return Ok(value.into());
        }
        let too_long = |_| sled::Error::Unsupported("a value of 4 GiB".to_owned());
        let length = u32::try_from(value.len()).map_err(too_long)?;
        let offset = self.end.position().saturating_add(self.bytes.len() as u64);
        self.bytes.extend_from_slice(value);
        Ok(sled::IVec::from(&Mark { offset, length }.bytes()))
    }

    fn write(&mut self) -> sled::Result<()> {
        self.end.write(&self.bytes)?;
        if std::mem::take(&mut self.replaces) {
            values::sync(&self.end)?;
        }
        database_changes(self.database.dir());
        self.bytes.clear();
        for Pending { place, stored } in self.pending.drain(..) {
            let key = compact::stored(place.0, &place.1);
            let bytes = |length: Option<usize>| length.map_or(0, |length| key.len().saturating_add(length) as u64);
            let length = stored.as_deref().map(values::length);
            let previous = self.database.set(place.0, &key, stored.as_ref())?;
            let previous = previous.as_deref().map(values::length);
            self.footprint.came = self.footprint.came.saturating_add(bytes(length));
            self.footprint.went = self.footprint.went.saturating_add(bytes(previous));
            if let Cow::Borrowed(place) = place {
                (self.each)(place, length, previous);
            }
        }
        Ok(())
    }
}

/// Bytes that stand apart for values of a block.
pub(super) fn apart(slots: &Slots) -> usize {
    slots.values().filter(|stored| Mark::parse(stored).is_some()).map(|mark| values::length(mark)).fold(0, usize::saturating_add)
}
