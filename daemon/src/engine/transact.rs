//! Transactions over the durable state: pure functions from a view to what is to be written and told.
//!
//! One thread, the transactor, runs them one after the other against the store, so that each sees what those before it wrote.
//! Each is in the file that owns its rules; this one only names and forwards them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aesync_protocol::response::{EntryError, PushedEntry, TypeReconciled};
use aesync_protocol::{Error, Record, Timestamp};
use serde_json::Value;

use super::draft::{Draft, Written};
use super::durable::{Cursor, Entry, EpochId, Identity, Ledger, Registry};
use super::effect::{CallId, Reply};
use super::notices::{self, Notices};
use super::reconcile::{Compared, Listed, Settling};
use super::retention::Rest;
use super::settings::Settings;
use super::view::{Read, View};
use super::write_set::WriteSet;
use super::{apply, drain, enqueue, identity, reconcile, resolve, retention};

/// A transaction: whose, when, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Txn {
    /// Whose state it changes.
    pub epoch: EpochId,
    /// This machine's time, for what people are shown.
    pub at: Timestamp,
    /// What it does.
    pub step: Step,
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Makes an identity the current one (rule R38); `Txn::epoch` is ignored. `log` is the id of its feed, should it be new.
    Adopt {
        /// The identity.
        identity: Identity,
        /// The id of a new feed.
        log: String,
    },
    /// Stores whether the daemon is paused; `Txn::epoch` is ignored.
    SetPaused(bool),
    /// Keeps what happened until somebody knows of it (rule R44); `Txn::epoch` is ignored.
    Note {
        /// Its code.
        code: String,
        /// One sentence.
        message: String,
    },
    /// Forgets what somebody knows of; `Txn::epoch` is ignored.
    Acknowledge {
        /// The call to answer.
        call: CallId,
        /// Which; everything when absent.
        codes: Option<Vec<String>>,
        /// What was acknowledged beside.
        others: u64,
    },
    /// After a start: what was under way when the daemon stopped is in doubt (rule R9).
    Recover,
    /// Takes a push into the outbox.
    Enqueue {
        /// The call to answer.
        call: CallId,
        /// The entities by type, in the order of the request.
        changes: Vec<(String, Vec<Value>)>,
        /// Makes it idempotent (rule R4).
        request_id: Option<String>,
        /// Where minted ids come from (rule R3).
        seed: super::Now,
    },
    /// Marks the next batch as sent (rules R2, R7).
    Take {
        /// Look only at entries after this one.
        after: u64,
        /// At most this many.
        count: usize,
        /// Not these: they wait for their own retry.
        except: BTreeSet<u64>,
    },
    /// Holds the answer of a push against what was sent (rule R15).
    Judge {
        /// The entries, in the order in which they were sent.
        numbers: Vec<u64>,
        /// The rows that came back.
        rows: Vec<Value>,
    },
    /// The server did not take the batch, for certain: the entries wait again.
    Return {
        /// The entries.
        numbers: Vec<u64>,
        /// Whether the server saw them; if not, they count as never sent.
        seen: bool,
        /// Why.
        error: Option<EntryError>,
    },
    /// Nobody knows whether the server took the batch (rule R9).
    Doubt {
        /// The entries.
        numbers: Vec<u64>,
        /// A permanent failure of an entry that was alone: a strike against it (rule R11).
        strike: bool,
        /// Why.
        error: EntryError,
    },
    /// Stores a page of a pull (rules R23, R24, R26).
    Rows {
        /// The rows' type.
        entity_type: String,
        /// The rows.
        rows: Vec<Arc<Record>>,
    },
    /// Ends a pull: cursors, confirmations, and what was not seen (rules R16, R20, R21).
    Finish {
        /// What each type brought.
        tallies: BTreeMap<String, Tally>,
        /// The server's stamp of the answer.
        sync_timestamp: Timestamp,
    },
    /// Looks for rows that a full listing lacks, one slice at a time (rule R29).
    Sweep {
        /// The type.
        entity_type: String,
        /// The ids in the listing, the same for all slices.
        listed: Arc<Listed>,
        /// Look at rows after this id.
        after: String,
    },
    /// Ends a reconciliation: deletes what may be deleted, one slice at a time (rule R29).
    Settle {
        /// The type.
        entity_type: String,
        /// The ids in the listing, the same for all slices.
        listed: Arc<Listed>,
        /// What the sweeps found.
        compared: Compared,
        /// What the slices before this one did.
        so_far: Option<Settling>,
    },
    /// Sends entries again.
    Retry {
        /// The call to answer.
        call: CallId,
        /// Which; all that can be when absent.
        entries: Option<Vec<u64>>,
    },
    /// Gives entries up.
    Discard {
        /// The call to answer.
        call: CallId,
        /// Which; all that can be when absent.
        entries: Option<Vec<u64>>,
    },
    /// Replaces what a quarantined entry sends.
    Edit {
        /// The call to answer.
        call: CallId,
        /// Which.
        entry: u64,
        /// The whole entity.
        fields: Record,
    },
    /// Decides a conflict.
    Resolve {
        /// The call to answer.
        call: CallId,
        /// Which.
        entry: u64,
        /// Send the local change once more, rather than drop it.
        keep_local: bool,
    },
    /// Removes what is older than its retention, a bounded piece at a time.
    Trim(Rest),
}

/// What a pull brought for one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows received.
    pub received: u64,
    /// The newest stamp among them.
    pub newest: Option<Timestamp>,
    /// The id of the row that carries it.
    pub newest_id: Option<String>,
    /// Whether the row at the high water was among them (rule R21); true when none was expected.
    pub canary_seen: bool,
}

/// What a committed transaction came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whose state it changed.
    pub epoch: EpochId,
    /// What it wrote.
    pub written: Written,
    /// What it came to.
    pub done: Done,
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// The identity is the current one.
    Adopted(Box<Adopted>),
    /// Stored.
    PauseStored(bool),
    /// It is kept; everything that is.
    Noted(Notices),
    /// It is forgotten.
    Acknowledged {
        /// The call to answer.
        call: CallId,
        /// How many codes.
        count: u64,
        /// What is left.
        notices: Notices,
    },
    /// A part of what applications see of the outbox was made anew (rule R44): the transaction itself is to be run again.
    Rebuilding,
    /// What was under way is in doubt.
    Recovered,
    /// The push is in the outbox.
    Enqueued {
        /// The call to answer.
        call: CallId,
        /// The answer; to a repeated request id, the first one (rule R4).
        entries: Vec<PushedEntry>,
        /// The same entries as they stand now.
        current: Vec<PushedEntry>,
    },
    /// The call is answered; nothing more came of it, or nothing at all.
    Answered {
        /// The call.
        call: CallId,
        /// The answer.
        reply: Result<Reply, Error>,
    },
    /// The batch to send; empty when there is none.
    Taken {
        /// The entries, types in the order in which they are to be sent.
        entries: Vec<Entry>,
        /// Where to look on next time, when the scan was cut short.
        scanned_to: Option<u64>,
    },
    /// The verdicts stand.
    Judged {
        /// Entries that the server accepted.
        accepted: u64,
        /// Entries that the server overruled.
        overwritten: u64,
        /// Entries whose row did not come back as it should: in doubt.
        unclear: u64,
    },
    /// The entries wait, or are in doubt.
    PutBack,
    /// The page is stored.
    Stored {
        /// Its type.
        entity_type: String,
        /// Records that are new or different.
        changed: u64,
        /// Records that are gone.
        deleted: u64,
    },
    /// The pull is over.
    Finished(BTreeMap<String, TypeEnd>),
    /// A slice was looked through.
    Swept {
        /// The type.
        entity_type: String,
        /// Rows that the listing lacks.
        missing: u64,
        /// The last id that was looked at; absent when there are no more.
        next: Option<String>,
    },
    /// A slice is settled, and there may be more.
    Settling {
        /// The type.
        entity_type: String,
        /// How far it has come.
        so_far: Settling,
    },
    /// The reconciliation is over.
    Reconciled {
        /// The type.
        entity_type: String,
        /// What it brought; `added` is left to the pull's own count.
        result: TypeReconciled,
        /// Whether rows wait for a second listing that agrees.
        await_second: bool,
        /// The cursor afterwards.
        cursor: Cursor,
    },
    /// Old things were removed; more of them are left.
    Trimmed {
        /// Whether more of the change feed has to go.
        more_changes: bool,
        /// What is to be looked at besides.
        rest: Rest,
    },
}

/// The state of an identity that became the current one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adopted {
    /// The store's registry.
    pub registry: Registry,
    /// The counters of the current epoch.
    pub ledger: Ledger,
    /// The cursors of the configured types.
    pub cursors: BTreeMap<String, Cursor>,
    /// Entries of other epochs: kept, never sent (rule R38).
    pub parked: u64,
    /// What happened and nobody has acknowledged.
    pub notices: Notices,
}

/// How a pull ended for one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeEnd {
    /// The cursor afterwards.
    pub cursor: Cursor,
    /// Whether the answer can be believed: it had rows, and the canary among them.
    pub healthy: bool,
    /// Accepted entries that [`Settings::misses`] healthy pulls did not show.
    pub invisible: u64,
    /// Accepted entries that it did not show, and that are given another chance.
    pub unseen: u64,
    /// Entries in doubt that it did not show: they wait again.
    pub returned: u64,
    /// Entries that struck out.
    pub quarantined: u64,
}

/// Runs a transaction. While the overlays of its epoch have to be made anew, it makes a piece of them in its place and says so with
/// [`Done::Rebuilding`]; whoever runs it then runs it again, and nothing else in between.
///
/// # Errors
/// When the state can't be read; nothing is written then.
pub fn run(txn: &Txn, settings: &Settings, view: &dyn View) -> Read<(WriteSet, Outcome)> {
    if let Step::Adopt { identity, log } = &txn.step {
        return identity::adopt(settings, view, txn.at, identity, log);
    }
    if let Step::SetPaused(paused) = txn.step {
        return identity::set_paused(view, txn.epoch, paused);
    }
    if let Step::Acknowledge { call, codes, others } = &txn.step {
        return notices::acknowledge(view, txn.epoch, *call, codes.as_deref(), *others);
    }
    let mut draft = Draft::new(view, settings, txn.epoch, txn.at)?;
    if let Some(after) = draft.ledger().rebuild {
        drain::rebuild(&mut draft, after)?;
        let (write_set, written) = draft.finish();
        return Ok((write_set, Outcome { epoch: txn.epoch, written, done: Done::Rebuilding }));
    }
    if let Step::Note { code, message } = &txn.step {
        return notices::note(view, txn.epoch, code, message);
    }
    let done = match &txn.step {
        Step::Adopt { .. } | Step::SetPaused(_) | Step::Acknowledge { .. } | Step::Note { .. } | Step::Recover => {
            drain::recover(&mut draft)?
        }
        Step::Enqueue { call, changes, request_id, seed } => {
            match enqueue::enqueue(&mut draft, changes, request_id.as_deref(), seed)? {
                Ok((entries, current)) => Done::Enqueued { call: *call, entries, current },
                Err(error) => return Ok(refused(txn.epoch, *call, error)),
            }
        }
        Step::Take { after, count, except } => drain::take(&mut draft, *after, *count, except)?,
        Step::Judge { numbers, rows } => drain::judge(&mut draft, numbers, rows)?,
        Step::Return { numbers, seen, error } => drain::give_back(&mut draft, numbers, *seen, error.as_ref())?,
        Step::Doubt { numbers, strike, error } => drain::doubt(&mut draft, numbers, *strike, error)?,
        Step::Rows { entity_type, rows } => apply::rows(&mut draft, entity_type, rows)?,
        Step::Finish { tallies, sync_timestamp } => apply::finish(&mut draft, tallies, *sync_timestamp)?,
        Step::Sweep { entity_type, listed, after } => reconcile::sweep(&mut draft, entity_type, listed, after)?,
        Step::Settle { entity_type, listed, compared, so_far } => {
            reconcile::settle(&mut draft, entity_type, listed, compared, so_far.as_ref())?
        }
        Step::Retry { call, entries } => answered(*call, resolve::retry(&mut draft, entries.as_deref())?),
        Step::Discard { call, entries } => answered(*call, resolve::discard(&mut draft, entries.as_deref())?),
        Step::Edit { call, entry, fields } => answered(*call, resolve::edit(&mut draft, *entry, fields)?),
        Step::Resolve { call, entry, keep_local } => answered(*call, resolve::resolve(&mut draft, *entry, *keep_local)?),
        Step::Trim(rest) => retention::trim(&mut draft, rest)?,
    };
    if let Done::Answered { call, reply: Err(error) } = done {
        return Ok(refused(txn.epoch, call, error));
    }
    if matches!(done, Done::Swept { .. } | Done::Settling { .. } | Done::Trimmed { .. }) && draft.is_idle() {
        // The sweep of a million rows is four thousand slices: most of them have nothing for the disk.
        return Ok((WriteSet::default(), Outcome { epoch: txn.epoch, written: Written::default(), done }));
    }
    let (write_set, written) = draft.finish();
    Ok((write_set, Outcome { epoch: txn.epoch, written, done }))
}

fn answered(call: CallId, reply: Result<Reply, Error>) -> Done {
    Done::Answered { call, reply }
}

/// A call that was refused has changed nothing: what was drawn up for it is thrown away.
fn refused(epoch: EpochId, call: CallId, error: Error) -> (WriteSet, Outcome) {
    let done = Done::Answered { call, reply: Err(error) };
    (WriteSet::default(), Outcome { epoch, written: Written::default(), done })
}
