//! The store against a model, under damage, kills and full disks.

mod child;
mod concurrent;
mod damage;
mod dice;
mod equality;
mod full;
mod journal;
mod kill;
mod opening;
mod packed;
mod pages;
mod power;
mod rewrite;
mod sample;
#[cfg(unix)]
mod scrub;
mod spoil;

use std::path::Path;
use std::time::Duration;

use aesync_protocol::Timestamp;

use super::{Finding, Options, Store};

/// Trials of each kind of fault; `AESYNC_FAULT_TRIALS` sets another number.
fn trials() -> usize {
    std::env::var("AESYNC_FAULT_TRIALS").ok().and_then(|trials| trials.parse().ok()).unwrap_or(200)
}

/// A moment, for names.
fn options() -> Options {
    Options {
        cache_bytes: 16 << 20,
        rewrite_floor: u64::MAX,
        overlap: Duration::from_secs(10),
        now: Timestamp::from_millis(1_769_860_800_000),
    }
}

fn open(dir: &Path) -> (Store, Vec<Finding>) {
    Store::open(dir, options()).expect("the store opens")
}
