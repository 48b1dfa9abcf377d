//! What comes back from the store's thread: first to those who follow the feed, then to the engine.

use aesync_protocol::response::Entry;
use aesync_protocol::{Channel, Event};

use super::Driver;
use super::transactor::Report;
use crate::engine::Input;
use crate::engine::transact::Done;
use crate::store::{FindingCode, Mended};

impl Driver {
    pub(super) fn on_report(&mut self, report: Report) {
        // Neither of these ends a transaction.
        let is_aside = match &report {
            Report::Mended(_) => true,
            Report::Committed(outcome) => outcome.done == Done::Rebuilding,
            Report::Failed(..) => false,
        };
        if !is_aside {
            self.under_way = self.under_way.saturating_sub(1);
        }
        match report {
            Report::Mended(mended) => self.on_mended(mended),
            Report::Committed(outcome) => {
                if let Done::Adopted(adopted) = &outcome.done {
                    self.serve(adopted.registry.current);
                    self.fanout.restart_feed(&adopted.ledger.log, adopted.ledger.last_seq);
                }
                if Some(outcome.epoch) == self.engine.epoch() {
                    // First the feed, then the answer: whoever is told finds it there.
                    self.fanout.publish_changes(&outcome.written.changes);
                    if self.fanout.is_wanted(Channel::Outbox) {
                        for entry in &outcome.written.entries {
                            let entry: Entry = entry.shown(&self.engine.settings().secret_fields, false);
                            self.fanout.publish(&Event::Outbox { entry: Box::new(entry) });
                        }
                    }
                }
                self.input(Input::Committed(outcome));
            }
            Report::Failed(txn, failure) => self.input(Input::TxnFailed(txn, failure)),
        }
    }

    fn on_mended(&mut self, mended: Mended) {
        let (values, feed) = (mended.values, !mended.feeds.is_empty());
        let (these, were) = if values == 1 { ("stored value", "was") } else { ("stored values", "were") };
        let then = if feed { ", and followers of the change feed that were behind them load the records again" } else { "" };
        let message = format!("{values} {these} {were} damaged; what was lost is fetched again{then}");
        tracing::warn!(types = ?mended.types, "{message}");
        self.input(Input::Notice { code: FindingCode::StoreInconsistent.as_str().to_owned(), message });
        if !mended.types.is_empty() {
            self.input(Input::Distrust(mended.types.into_iter().collect()));
        }
    }
}
