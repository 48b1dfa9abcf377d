//! The status as Prometheus text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use aesync_protocol::status::OfflineReason;
use aesync_protocol::{Status, StatusWord, Timestamp};

use crate::store::{Figures, Sizes};

/// What may need a person, so that an alert can ask for each; others that the status knows of are printed as well.
const ATTENTION: [&str; 19] = [
    "storage_full",
    "storage_failed",
    "conflicts",
    "quarantined",
    "invisible",
    "reconcile_held",
    "updates_dropped",
    "push_stopped",
    "misconfigured",
    "login_refused",
    "auth_required",
    "auth_expiring",
    "parked",
    "store_damaged",
    "outbox_restored",
    "journal_damaged",
    "store_inconsistent",
    "token_unreadable",
    "token_not_kept",
];

/// The metrics of this moment, with HELP and TYPE.
pub(super) fn text(status: &Status, subscribers: usize, unknown_events: u64, now: Timestamp) -> String {
    let mut out = String::new();
    let printed = "When these figures were printed; old ones are of a daemon that is down.";
    gauge(&mut out, "aesync_metrics_timestamp_seconds", printed, |line| line("", seconds(now)));
    let outbox = &status.outbox;
    gauge(&mut out, "aesync_status", "1 for the present state of the indicator.", |line| {
        for word in [StatusWord::Synced, StatusWord::Syncing, StatusWord::Pending, StatusWord::Offline] {
            line(&format!("{{status=\"{word}\"}}"), u64::from(status.status == word));
        }
    });
    gauge(&mut out, "aesync_offline", "1 for the reason of being offline; 0 for all while online.", |line| {
        for (name, reason) in [
            ("unreachable", OfflineReason::Unreachable),
            ("signed_out", OfflineReason::SignedOut),
            ("auth_required", OfflineReason::AuthRequired),
            ("misconfigured", OfflineReason::Misconfigured),
            ("paused", OfflineReason::Paused),
        ] {
            line(&format!("{{reason=\"{name}\"}}"), u64::from(status.reason == Some(reason)));
        }
    });
    gauge(&mut out, "aesync_outbox_entries", "Local changes in the outbox, by state.", |line| {
        for (state, count) in [
            ("pending", outbox.pending),
            ("sent", outbox.sent),
            ("inDoubt", outbox.in_doubt),
            ("acked", outbox.acked),
            ("quarantined", outbox.quarantined),
            ("blocked", outbox.blocked),
            ("conflict", outbox.conflicts),
        ] {
            line(&format!("{{state=\"{state}\"}}"), count);
        }
    });
    gauge(&mut out, "aesync_outbox_bytes", "Bytes of the outbox's entities as JSON.", |line| line("", outbox.bytes));
    gauge(&mut out, "aesync_records", "Records of the replica, by entity type.", |line| {
        for (name, kind) in &status.types {
            line(&format!("{{type=\"{}\"}}", escaped(name)), kind.records);
        }
    });
    gauge(&mut out, "aesync_feed_last_seq", "The newest position of the change feed.", |line| line("", status.feed.last_seq));
    gauge(&mut out, "aesync_attention", "1 for what needs a person, by code.", |line| {
        let present: BTreeSet<&str> = status.attention.iter().map(|attention| &*attention.code).collect();
        for code in present.iter().copied().chain(ATTENTION).collect::<BTreeSet<_>>() {
            line(&format!("{{code=\"{}\"}}", escaped(code)), u64::from(present.contains(code)));
        }
    });
    gauge(&mut out, "aesync_subscribers", "Connections with a subscription.", |line| line("", subscribers as u64));
    counter(&mut out, "aesync_reconnects_total", "Connections after the first since the start.", status.server.reconnects);
    counter(&mut out, "aesync_unknown_events_total", "Server events of an unknown shape since the start.", unknown_events);
    if let Some(rtt) = status.server.rtt_ms {
        let rtt = Duration::from_millis(rtt);
        decimal(&mut out, "aesync_server_rtt_seconds", "The last measured round trip to the server.", "gauge", rtt);
    }
    for (name, help, at) in [
        ("aesync_last_synced_timestamp_seconds", "When everything was last in step with the server.", status.last_synced_at),
        ("aesync_auth_expiry_timestamp_seconds", "When the token expires, by the server's clock.", status.auth.expires_at),
        ("aesync_start_timestamp_seconds", "When the daemon started.", Some(status.daemon.started_at)),
    ] {
        if let Some(at) = at {
            gauge(&mut out, name, help, |line| line("", seconds(at)));
        }
    }
    gauge(&mut out, "aesync_build_info", "1, with the version of the daemon.", |line| {
        line(&format!("{{version=\"{}\"}}", escaped(&status.daemon.version)), 1);
    });
    out
}

/// The store's own figures; `sizes` are missing when its directory can't be listed.
pub(super) fn store(out: &mut String, figures: &Figures, sizes: Option<Sizes>) {
    if let Some(sizes) = sizes {
        gauge(out, "aesync_store_bytes", "Bytes on disk, by what they are.", |line| {
            for (what, bytes) in [("database", sizes.sled), ("journal", sizes.journal), ("damaged", sizes.damaged)] {
                line(&format!("{{part=\"{what}\"}}"), bytes);
            }
        });
    }
    let live = "Bytes of keys and values in the database, as last counted; 0 before.";
    gauge(out, "aesync_store_live_bytes", live, |line| line("", figures.live_bytes()));
    let outbox = "Bytes of the journal that can not be fetched again.";
    gauge(out, "aesync_store_journal_live_bytes", outbox, |line| line("", figures.journal_live_bytes()));
    counter(out, "aesync_store_syncs_total", "Groups of changes that were made durable.", figures.syncs());
    decimal(out, "aesync_store_sync_seconds_total", "Time that this took.", "counter", figures.sync_time());
    decimal(out, "aesync_store_slowest_sync_seconds", "The longest of them since the start.", "gauge", figures.slowest_sync());
    let last = "When the last was done; 0 when there was none.";
    gauge(out, "aesync_store_last_sync_timestamp_seconds", last, |line| line("", figures.last_sync()));
    let rewriting = "1 while the database is rewritten.";
    gauge(out, "aesync_store_rewriting", rewriting, |line| line("", u64::from(figures.is_rewriting())));
}

/// Each series with the label `daemon`, so that those of two instances on one machine are two. Not `instance`: Prometheus has its own.
pub(super) fn labelled(text: &str, daemon: &str) -> String {
    let label = format!("daemon=\"{}\"", escaped(daemon));
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    for line in text.lines() {
        let split = line.find(['{', ' ']).filter(|_| !line.starts_with('#')).and_then(|at| line.split_at_checked(at));
        // Writing to a String can't fail.
        let _ = match split {
            Some((name, rest)) => match rest.strip_prefix('{') {
                Some(labels) => writeln!(out, "{name}{{{label},{labels}"),
                None => writeln!(out, "{name}{{{label}}}{rest}"),
            },
            None => writeln!(out, "{line}"),
        };
    }
    out
}

/// Since the epoch; 0 for what is before it.
fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.millis_since(Timestamp::EPOCH) / 1000).unwrap_or(0)
}

fn gauge(out: &mut String, name: &str, help: &str, values: impl FnOnce(&mut dyn FnMut(&str, u64))) {
    family(out, name, help, "gauge", values);
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    family(out, name, help, "counter", |line| line("", value));
}

/// A time in seconds, to the microsecond.
fn decimal(out: &mut String, name: &str, help: &str, kind: &str, time: Duration) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {}.{:06}", time.as_secs(), time.subsec_micros());
}

fn family(out: &mut String, name: &str, help: &str, kind: &str, values: impl FnOnce(&mut dyn FnMut(&str, u64))) {
    // Writing to a String can't fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    values(&mut |labels, value| {
        let _ = writeln!(out, "{name}{labels} {value}");
    });
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_says_which_daemon_it_is_of() {
        let text = "# HELP a Of a { b.\n# TYPE a gauge\na{state=\"x y\"} 1\nb 2\n";
        let expected = "# HELP a Of a { b.\n# TYPE a gauge\na{daemon=\"shop\",state=\"x y\"} 1\nb{daemon=\"shop\"} 2\n";
        assert_eq!(labelled(text, "shop"), expected);
    }
}
