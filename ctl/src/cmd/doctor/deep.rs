//! `--deep`: all checksums of the store, slice by slice through the daemon, which goes on serving.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::StoreCheck;
use aesync_protocol::response::{CheckedSlice, DamagedValue, Remedy, Role, StorePart};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{Finding, Told};
use crate::context::{BULK, Context, LOCAL};
use crate::keeper::Keeper;
use crate::text::{bytes, clean, count, number};

/// What the finding is called.
const CHECK: &str = "checksums";
/// Damaged values that are listed at most; all are counted.
const LISTED: usize = 1_000;

/// What one part came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Total {
    values: u64,
    bytes: u64,
    damaged: u64,
}

/// A damaged value, with where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Damaged {
    part: StorePart,
    #[serde(flatten)]
    value: DamagedValue,
}

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    parts: BTreeMap<StorePart, Total>,
    damaged: Vec<Damaged>,
    /// Whether it went to the end.
    complete: bool,
}

impl Totals {
    fn add(&mut self, slice: CheckedSlice) {
        let total = self.parts.entry(slice.part).or_default();
        total.values = total.values.saturating_add(slice.values);
        total.bytes = total.bytes.saturating_add(slice.bytes);
        total.damaged = total.damaged.saturating_add(slice.damaged.len() as u64);
        let room = LISTED.saturating_sub(self.damaged.len());
        self.damaged.extend(slice.damaged.into_iter().take(room).map(|value| Damaged { part: slice.part, value }));
    }

    fn values(&self) -> u64 {
        self.parts.values().map(|total| total.values).fold(0, u64::saturating_add)
    }

    fn found(&self) -> u64 {
        self.parts.values().map(|total| total.damaged).fold(0, u64::saturating_add)
    }

    /// `replica 2,000 (1 MiB), outbox 3 (2 KiB)`
    fn by_part(&self) -> String {
        let part =
            |(part, total): (&StorePart, &Total)| format!("{} {} ({})", part.as_str(), number(total.values), bytes(total.bytes));
        self.parts.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}

/// Checks everything, for no longer than `--timeout` or half an hour.
pub(super) fn check(context: &Context, told: &Told, keeper: &Keeper) -> (Vec<Finding>, Totals) {
    let mut totals = Totals::default();
    if told.status.is_none() {
        return (vec![Finding::skipped(CHECK, "Only a running daemon can check them.", keeper.start())], totals);
    }
    if told.role < Some(Role::Admin) {
        return (vec![Finding::skipped(CHECK, "Only an admin may have them checked.", "run it again with sudo")], totals);
    }
    let patience = context.patience(BULK);
    let outcome = run(context, patience, &mut totals);
    (findings(&totals, outcome, patience, keeper), totals)
}

fn run(context: &Context, patience: Duration, totals: &mut Totals) -> Result<(), ClientError> {
    let path = context.socket_path().map_err(|error| ClientError::Protocol { reason: error.to_string() })?;
    let deadline = Instant::now() + patience;
    let mut client = Client::connect_within(&path, patience.min(LOCAL))?;
    let bar = io::stderr().is_terminal().then(ProgressBar::new_spinner);
    let mut after = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let slice = client.call_within(&StoreCheck { after: after.take() }, left)?;
        let part = slice.part;
        after.clone_from(&slice.next);
        totals.add(slice);
        if let Some(bar) = &bar {
            bar.set_message(format!("{}: {} checked", part.as_str(), count(totals.values(), "value", "values")));
            bar.tick();
        }
        if after.is_none() {
            totals.complete = true;
            break;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(())
}

fn findings(totals: &Totals, outcome: Result<(), ClientError>, patience: Duration, keeper: &Keeper) -> Vec<Finding> {
    let mut findings: Vec<Finding> = totals.damaged.iter().map(damaged).collect();
    let found = totals.found();
    let unlisted = found.saturating_sub(findings.len() as u64);
    if unlisted > 0 {
        findings.push(Finding::broken(
            CHECK,
            format!("{} more are damaged.", number(unlisted)),
            "check the disk; aectl pull --full fetches all records again",
        ));
    }
    let far = if totals.parts.is_empty() { String::new() } else { format!(" So far: {}.", totals.by_part()) };
    let unfinished = || {
        Finding::warning(
            CHECK,
            format!("Not all were checked within {} s.{far}", patience.as_secs()),
            "give it longer: aectl --timeout 2h doctor --deep",
        )
    };
    findings.push(match outcome {
        Ok(()) if totals.complete && found == 0 => Finding::ok(CHECK, format!("Everything reads: {}.", totals.by_part())),
        Ok(()) if totals.complete => Finding::broken(
            CHECK,
            format!("{} damaged. Checked: {}.", count(found, "value is", "values are"), totals.by_part()),
            "check the disk (smartctl, dmesg); what was fetched or restored is whole in the next aectl doctor --deep",
        ),
        // The last slice may be asked for with hardly any time left.
        Err(ClientError::Timeout { .. }) if !totals.parts.is_empty() => unfinished(),
        Ok(()) => unfinished(),
        Err(error) => Finding::broken(
            CHECK,
            format!("The check broke off: {}.{far}", clean(&error.to_string())),
            format!("update aesyncd if it is older than this aectl; else check the disk, then {}", keeper.log()),
        ),
    });
    findings
}

fn damaged(Damaged { part, value }: &Damaged) -> Finding {
    let next = match value.remedy {
        Remedy::Fetched if *part == StorePart::Feed => {
            "nothing: followers that have not read it are told to load the records again"
        }
        Remedy::Fetched => "nothing: the daemon fetches it from the server again",
        Remedy::Restored => "nothing: the daemon puts it back from its journal",
        Remedy::Restart => "restart aesyncd: it repairs what it can at the start, and says so",
    };
    Finding::broken(CHECK, format!("{} in the {}: {}.", value.what, part.as_str(), value.reason), next)
}
