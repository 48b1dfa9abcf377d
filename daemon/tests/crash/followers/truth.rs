//! What every fold must be at the end: the daemon's own feed from its first change, and its records.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aesync_protocol::client::Client;
use aesync_protocol::request::{Changed, GetStatus, RecordsList};
use aesync_protocol::{Record, StatusWord};
use aesyncd::engine::fingerprint::BOOKKEEPING;

use super::fold::{Fold, Follower};
use crate::records::Records;
use crate::stage::{PATIENCE, Stage};
use crate::support::truth::TYPES;

/// Waits until nothing is on its way and every follower is at the feed's end.
pub(crate) fn wait_for_quiet(stage: &Stage, followers: &[Follower]) {
    let deadline = Instant::now() + PATIENCE;
    let mut client = stage.connect().expect("the play is not over");
    loop {
        let status = client.call(&GetStatus {}).expect("answered");
        let outbox = &status.outbox;
        let waiting = outbox.pending + outbox.sent + outbox.in_doubt + outbox.acked;
        let behind = followers.iter().find(|follower| follower.fold().last != status.seq);
        if status.status == StatusWord::Synced && waiting == 0 && behind.is_none() {
            return;
        }
        stage.check();
        let who = behind.map(|follower| (follower.name, follower.fold().last));
        assert!(Instant::now() < deadline, "no quiet: {who:?} is behind {}, {waiting} entries wait", status.seq);
        thread::sleep(Duration::from_millis(10));
    }
}

/// Each fold is what the feed says up to where that follower is, and the whole feed says what the records are.
pub(crate) fn check(socket: &Path, followers: &[Follower]) {
    let mut client = Client::connect(socket).expect("the last daemon runs");
    for follower in followers {
        let fold = follower.fold();
        let expected = feed(&mut client, fold.last);
        assert!(fold.connections > 1, "{} has never lost its daemon", follower.name);
        assert!(!expected.is_empty(), "nothing was changed");
        same(follower.name, &fold.records, &expected);
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Of one moment only if nothing happened in between.
        let before = client.call(&GetStatus {}).expect("answered").seq;
        let (folded, listed) = (feed(&mut client, before), records(&mut client));
        if client.call(&GetStatus {}).expect("answered").seq == before {
            return same("the feed against the records", &folded.into_iter().map(plain).collect(), &listed);
        }
        assert!(Instant::now() < deadline, "the feed does not come to rest");
    }
}

/// The feed's changes up to a position, folded.
fn feed(client: &mut Client, end: u64) -> Records {
    let mut fold = Fold::default();
    while fold.last < end {
        let left = u32::try_from(end - fold.last).unwrap_or(u32::MAX).min(1_000);
        let params = Changed { since: fold.last, log: None, limit: Some(left), entity_types: None, wait_ms: None };
        let page = client.call(&params).expect("answered");
        assert!(!page.changes.is_empty(), "the feed ends at {} of {end}", fold.last);
        for change in page.changes {
            fold.take(change).expect("a feed without gaps");
        }
    }
    fold.records
}

fn records(client: &mut Client) -> Records {
    let mut found = Records::new();
    for entity_type in TYPES {
        let mut after = None;
        loop {
            let params = RecordsList { entity_type: entity_type.to_owned(), limit: Some(1_000), after: after.take() };
            let page = client.call(&params).expect("answered");
            found.extend(page.records.into_iter().map(|listed| {
                let id = listed.record["id"].as_str().expect("an id").to_owned();
                plain(((entity_type.to_owned(), id), listed.record))
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    found
}

/// An unchanged row emits nothing (rule R24), so that a fold may have older bookkeeping.
fn plain((place, mut record): ((String, String), Record)) -> ((String, String), Record) {
    record.retain(|field, _| !BOOKKEEPING.contains(&field.as_str()));
    (place, record)
}

fn same(what: &str, left: &Records, right: &Records) {
    if let Some(place) = left.keys().chain(right.keys()).find(|place| left.get(*place) != right.get(*place)) {
        panic!("{what}: {place:?} is {:?} and should be {:?}", left.get(place), right.get(place));
    }
}
