//! What the writer tells of itself, for metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A sync that takes longer is logged.
const SLOW: Duration = Duration::from_secs(1);

/// Figures of the store since its start, for any thread. Each is current by itself; together they may be of two moments.
#[derive(Debug, Default)]
pub struct Figures {
    journal: AtomicU64,
    journal_live: AtomicU64,
    live: AtomicU64,
    syncs: AtomicU64,
    sync_micros: AtomicU64,
    slowest_micros: AtomicU64,
    last_sync: AtomicU64,
    rewriting: AtomicBool,
}

impl Figures {
    /// The journal's length, in bytes.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.journal.load(Ordering::Relaxed)
    }

    /// Bytes of the journal that can't be fetched again: the live outbox.
    #[must_use]
    pub fn journal_live_bytes(&self) -> u64 {
        self.journal_live.load(Ordering::Relaxed)
    }

    /// Bytes of keys and values in sled, as counted the last time its files had grown; 0 before.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Groups that were made durable.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// The time that they took, in all.
    #[must_use]
    pub fn sync_time(&self) -> Duration {
        Duration::from_micros(self.sync_micros.load(Ordering::Relaxed))
    }

    /// The longest that one took.
    #[must_use]
    pub fn slowest_sync(&self) -> Duration {
        Duration::from_micros(self.slowest_micros.load(Ordering::Relaxed))
    }

    /// When the last one was done, in seconds since 1970 by this machine's clock; 0 when there was none.
    #[must_use]
    pub fn last_sync(&self) -> u64 {
        self.last_sync.load(Ordering::Relaxed)
    }

    /// Whether sled's files are being rewritten.
    #[must_use]
    pub fn is_rewriting(&self) -> bool {
        self.rewriting.load(Ordering::Relaxed)
    }

    /// A group was made durable.
    pub(super) fn synced(&self, took: Duration) {
        if took > SLOW {
            tracing::warn!(?took, "the disk is slow: a change waited that long for it");
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_micros.fetch_add(micros, Ordering::Relaxed);
        self.slowest_micros.fetch_max(micros, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.last_sync.store(now, Ordering::Relaxed);
    }

    pub(super) fn show(&self, journal: u64, journal_live: u64, live: Option<u64>, rewriting: bool) {
        self.journal.store(journal, Ordering::Relaxed);
        self.journal_live.store(journal_live, Ordering::Relaxed);
        self.live.store(live.unwrap_or(0), Ordering::Relaxed);
        self.rewriting.store(rewriting, Ordering::Relaxed);
    }
}
