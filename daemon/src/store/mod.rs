//! The durable state on disk. Only here sled is named.
//!
//! sled may lose or damage what it holds when power fails, so the store trusts it with nothing that can't be brought back
//! (rule R44): every value carries a checksum, and a store that does not open is moved aside, never overwritten.
//!
//! ```text
//! DIR/lock             who uses the directory
//! DIR/format           the version of the layout, refused when it is newer than this build (rule R46)
//! DIR/filling          there while an import is under way; what has it is a part, and is not opened
//! DIR/clean            there exactly while the last stop was a clean one
//! DIR/sled/, sled-<n>/ the trees: replica, outbox, feed, meta; and `values`, where all but the smallest values stand
//! DIR/current          which of them, after a rewrite; the others go, or are moved aside where there is doubt
//! DIR/journal          what was written last, the outbox once more, and the witness against sled
//! DIR/damaged-<time>/  what was moved aside, for people to look at
//! ```
//!
//! There is one [`Store`], which writes, and any number of [`Reader`]s. All calls block on the disk.

mod batch;
mod check;
mod choose;
mod compact;
mod compare;
mod database;
mod disk;
mod error;
mod evidence;
mod fault;
mod figures;
mod filling;
mod finding;
mod format;
mod home;
mod journal;
mod keys;
mod layered;
mod legacy;
mod lock;
mod mark_cache;
mod mend;
mod open;
mod over;
mod packed;
mod patience;
mod reader;
mod restore;
mod rewrite;
mod scrub;
mod sizes;
mod stage;
mod traces;
mod value;
mod values;
mod verify;
mod writer;

pub(crate) use disk::sync_dir;
pub(crate) use error::advice;
pub use error::{OpenError, StoreError};
pub use figures::Figures;
pub use finding::{Finding, FindingCode};
pub use mend::Mended;
pub use open::Options;
pub use reader::Reader;
pub use sizes::Sizes;
pub use writer::Store;

#[cfg(test)]
pub(crate) use disk::gate::hold as hold_disk;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod without;
