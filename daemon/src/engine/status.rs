//! The status, derived from facts and never set (rule R42), and told only when it changed (rule R43).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::ErrorCode;
use aesync_protocol::status::{
    Attention, AuthStatus, DaemonStatus, FeedStatus, LastError, OfflineReason, ServerStatus, Transport, TypeStatus,
};
use aesync_protocol::{Event, Status, StatusWord, Timestamp};

use super::durable::Cursor;
use super::effect::{Effect, LogLevel};
use super::link::{Down, LinkState};
use super::word::Facts;
use super::{Engine, Now};

/// Between two status events that differ in no more than counts.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Between two `sync_status_update`s.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Clone, Debug, Default)]
pub struct Board {
    shown: Option<Arc<Status>>,
    told: Option<Arc<Status>>,
    told_at: Duration,
    since: Option<Timestamp>,
    last_synced_at: Option<Timestamp>,
    announced: Option<StatusWord>,
    announced_at: Option<Duration>,
}

/// Where an error belongs: it is over once that works again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The connection.
    Link,
    /// Signing in.
    Auth,
    /// Pulls.
    Pull,
    /// Pushes.
    Push,
    /// The store.
    Store,
}

/// What goes wrong at present.
#[derive(Clone, Debug, Default)]
pub struct Troubles(BTreeMap<Trouble, LastError>);

impl Troubles {
    /// It went wrong, and how loudly to say so: each attempt of a long outage fails for the reason that was logged when it began.
    pub fn set(&mut self, now: &Now, trouble: Trouble, code: &str, message: impl Into<String>) -> LogLevel {
        let error = LastError { code: code.to_owned(), message: message.into(), at: now.wall };
        let same = |known: LastError| (known.code, known.message) == (error.code.clone(), error.message.clone());
        if self.0.insert(trouble, error.clone()).is_some_and(same) { LogLevel::Debug } else { LogLevel::Warn }
    }

    /// It works again; whether it did not before.
    pub fn clear(&mut self, trouble: Trouble) -> bool {
        self.0.remove(&trouble).is_some()
    }

    fn of(&self, trouble: Trouble) -> Option<&LastError> {
        self.0.get(&trouble)
    }

    fn last(&self) -> Option<LastError> {
        self.0.values().max_by_key(|error| error.at).cloned()
    }
}

impl Engine {
    /// Derives the status; shows and tells it if it changed.
    pub(super) fn report(&mut self, now: &Now, out: &mut Vec<Effect>) {
        let mut status = self.derive(now);
        let word_changed =
            self.board.shown.as_ref().is_none_or(|shown| (shown.status, shown.reason) != (status.status, status.reason));
        if word_changed {
            self.board.since = Some(now.wall);
            if self.board.shown.as_ref().is_some_and(|shown| shown.status == StatusWord::Synced) {
                self.board.last_synced_at = Some(now.wall);
            }
        }
        status.since = self.board.since.unwrap_or(now.wall);
        status.last_synced_at = if status.status == StatusWord::Synced {
            Some(status.since.max(self.last_pulled_at()))
        } else {
            // After a restart: all types had been pulled by then.
            self.board.last_synced_at.or_else(|| self.all_pulled_at())
        };
        if self.board.shown.as_deref() != Some(&status) {
            let status = Arc::new(status);
            self.board.shown = Some(Arc::clone(&status));
            // Before any answer: whoever is told that a change is taken finds a status that knows of it.
            out.insert(0, Effect::Snapshot(status));
        }
        self.tell(now, word_changed, out);
        self.announce(now, out);
    }

    fn tell(&mut self, now: &Now, at_once: bool, out: &mut Vec<Effect>) {
        let Some(shown) = self.board.shown.clone() else { return };
        if self.board.told.as_ref() == Some(&shown) || !(at_once || now.mono >= self.board.told_at + TELL_EVERY) {
            return;
        }
        self.board.told = Some(Arc::clone(&shown));
        self.board.told_at = now.mono;
        out.push(Effect::Publish(Box::new(Event::Status { status: Box::new(Status::clone(&shown)) })));
    }

    fn announce(&mut self, now: &Now, out: &mut Vec<Effect>) {
        let word = self.board.shown.as_ref().map(|shown| shown.status);
        let rested = self.board.announced_at.is_none_or(|at| now.mono >= at + ANNOUNCE_EVERY);
        if let Some(word) = word
            && self.settings.announce
            && self.link.is_online()
            && self.board.announced != Some(word)
            && rested
        {
            self.board.announced = Some(word);
            self.board.announced_at = Some(now.mono);
            out.push(Effect::Announce { status: word.as_str() });
        }
    }

    /// Others have to be told anew: they forget us with the connection.
    pub(super) fn forget_announcement(&mut self) {
        self.board.announced = None;
    }

    /// When there is something to tell that had to wait.
    pub(super) fn report_deadline(&self) -> Option<Duration> {
        let tell = (self.board.told != self.board.shown).then(|| self.board.told_at + TELL_EVERY);
        let word = self.board.shown.as_ref().map(|shown| shown.status);
        let announce = (self.settings.announce && self.link.is_online() && self.board.announced != word)
            .then(|| self.board.announced_at.map_or(Duration::ZERO, |at| at + ANNOUNCE_EVERY));
        tell.into_iter().chain(announce).min()
    }

    fn last_pulled_at(&self) -> Timestamp {
        self.cursors.values().filter_map(|cursor| cursor.last_pulled_at).max().unwrap_or(Timestamp::EPOCH)
    }

    /// When the last type that was not yet pulled was, as far as the cursors tell.
    fn all_pulled_at(&self) -> Option<Timestamp> {
        let pulled = |name: &str| self.cursors.get(name).filter(|cursor| cursor.first_sync_done)?.last_pulled_at;
        self.settings.type_names().map(pulled).min().flatten()
    }

    fn derive(&self, now: &Now) -> Status {
        let types: BTreeMap<String, TypeStatus> =
            self.settings.type_names().map(|name| (name.to_owned(), self.type_status(name))).collect();
        let (word, reason) = self.facts(&types).word();
        Status {
            status: word,
            reason,
            since: now.wall,
            retry_at: self.retry_at(now),
            has_synced: !types.is_empty() && types.values().all(|kind| kind.first_sync_done),
            last_synced_at: None,
            seq: self.ledger.last_seq,
            paused: self.paused,
            server: self.server_status(),
            auth: AuthStatus {
                state: self.auth.word(now),
                expires_at: self.auth.token().and_then(|token| token.expires_at),
                subject: self.auth.token().map(|token| token.user.clone()).filter(|user| !user.is_empty()),
            },
            outbox: self.ledger.outbox,
            types,
            feed: FeedStatus { log: self.ledger.log.clone(), first_seq: self.ledger.first_seq, last_seq: self.ledger.last_seq },
            attention: self.attention(now),
            last_error: self.troubles.last(),
            daemon: DaemonStatus {
                version: self.host.version.clone(),
                pid: self.host.pid,
                started_at: self.host.started_at,
                instance: self.host.instance.clone(),
            },
        }
    }

    fn facts(&self, types: &BTreeMap<String, TypeStatus>) -> Facts {
        let outbox = &self.ledger.outbox;
        Facts {
            offline: self.offline(),
            asking: self.lane.is_busy(),
            first_sync: types.values().any(|kind| !kind.first_sync_done),
            unconfirmed: outbox.pending + outbox.sent + outbox.in_doubt + outbox.acked + outbox.blocked + outbox.quarantined,
            stale: !self.puller.all_fresh(&self.settings) || types.values().any(|kind| kind.dirty || kind.suspicious),
        }
    }

    fn offline(&self) -> Option<OfflineReason> {
        match self.link.state() {
            LinkState::Down(Down::Paused) => Some(OfflineReason::Paused),
            LinkState::Down(Down::SignedOut) => Some(OfflineReason::SignedOut),
            LinkState::Down(Down::AuthRequired) => Some(OfflineReason::AuthRequired),
            LinkState::Down(Down::Misconfigured) => Some(OfflineReason::Misconfigured),
            LinkState::Down(Down::SigningIn) => Some(OfflineReason::Unreachable),
            LinkState::Online { .. } if !self.http.failing => None,
            _ if self.http.up && !self.http.failing => None,
            _ => Some(OfflineReason::Unreachable),
        }
    }

    fn type_status(&self, name: &str) -> TypeStatus {
        let never_pulled = Cursor::default();
        let cursor = self.cursors.get(name).unwrap_or(&never_pulled);
        TypeStatus {
            records: self.ledger.records.get(name).copied().unwrap_or(0),
            high_water: cursor.high_water,
            dirty: self.puller.is_dirty(name),
            first_sync_done: cursor.first_sync_done,
            suspicious: cursor.suspicious || cursor.missing > 0,
            last_pulled_at: cursor.last_pulled_at,
            last_reconciled_at: cursor.last_reconciled_at,
        }
    }

    fn server_status(&self) -> ServerStatus {
        let since = match self.link.state() {
            LinkState::Online { since, .. } => Some(*since),
            _ => None,
        };
        let transport = match since {
            Some(_) => Some(Transport::Websocket),
            None => (self.http.up && self.link.is_wanted()).then_some(Transport::Http),
        };
        ServerStatus {
            url: self.settings.server.clone(),
            tenant_id: self.identity().map(|identity| identity.tenant.clone()).or_else(|| self.settings.tenant.clone()),
            link: self.link.word(self.http.up),
            transport,
            connected_since: since,
            rtt_ms: since.and(self.rtt).map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX)),
            last_pong_at: self.last_pong_at,
            reconnects: self.link.reconnects(),
        }
    }

    /// When the next attempt to connect, to sign in or to send will be made.
    fn retry_at(&self, now: &Now) -> Option<Timestamp> {
        if let Some(at) = self.auth.retry_at() {
            return Some(at);
        }
        if let LinkState::Backoff { until_wall, .. } = self.link.state()
            && !self.http.up
        {
            return Some(*until_wall);
        }
        if !self.link.is_wanted() {
            return None;
        }
        let retries = [self.puller.retry_at(), self.pusher.retry_at().filter(|_| self.ledger.outbox.pending > 0)];
        let next = retries.into_iter().flatten().min()?;
        (next > now.mono).then(|| self.wall_of(next))
    }

    fn attention(&self, now: &Now) -> Vec<Attention> {
        let outbox = &self.ledger.outbox;
        let mut list = Vec::new();
        if let Some(error) = self.troubles.of(Trouble::Store) {
            // In these messages a colon stands before what to do.
            let why = error.message.replace(": ", ", ");
            let then =
                if error.code == ErrorCode::StorageFull.as_str() { "make room, or the disk writable" } else { "check the disk" };
            let message = format!("nothing can be stored ({why}): {then}; the daemon goes on by itself");
            list.push(Attention { code: error.code.clone(), message, count: None });
        }
        let mut say = |code: &str, message: String, count: Option<u64>| {
            list.push(Attention { code: code.to_owned(), message, count });
        };
        let counted = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        if outbox.conflicts > 0 {
            let what = counted(outbox.conflicts, "local change was", "local changes were");
            say("conflicts", format!("{what} overruled by the server: decide with `aectl conflicts`"), Some(outbox.conflicts));
        }
        if outbox.quarantined > 0 {
            let what = counted(outbox.quarantined, "local change is", "local changes are");
            say("quarantined", format!("{what} refused by the server: see `aectl outbox list`"), Some(outbox.quarantined));
        }
        let invisible: u64 = self.invisible.values().sum();
        if invisible > 0 {
            let what = counted(invisible, "change", "changes");
            say("invisible", format!("{what} the server accepted and does not show: see `aectl outbox list`"), Some(invisible));
        }
        let held: u64 = self.cursors.values().map(|cursor| cursor.missing).sum();
        if held > 0 {
            let what = counted(held, "record is", "records are");
            let then = "they go once a second listing agrees, or with `aectl reconcile --accept`";
            say("reconcile_held", format!("{what} missing on the server and kept here: {then}"), Some(held));
        }
        for (entity_type, dropped) in &self.ledger.dropped {
            let what = match (dropped.updates, dropped.deletes) {
                (Some(_), Some(_)) => "updates and deletions",
                (None, Some(_)) => "deletions",
                _ => "updates",
            };
            if dropped.updates.or(dropped.deletes).is_some() {
                say("updates_dropped", format!("the server drops {what} of existing {entity_type} rows and keeps its own"), None);
            }
        }
        if let Some(why) = self.pusher.halted() {
            say("push_stopped", format!("pushing is stopped: {why}; check server.url, then `aectl sync`"), None);
        }
        if let Some(why) = self.misconfigured() {
            say("misconfigured", why.to_owned(), None);
        }
        if let Some(why) = self.auth.refusal() {
            say("login_refused", format!("the sign-in was refused: {why}; `aectl login`"), None);
        } else if matches!(self.link.state(), LinkState::Down(Down::AuthRequired)) {
            say("auth_required", "the token expired or is not accepted by the server: `aectl login`".to_owned(), None);
        }
        if self.auth.word(now) == aesync_protocol::status::AuthWord::Expiring && !self.auth.has_credentials() {
            let at = self.auth.token().and_then(|token| token.expires_at).unwrap_or(now.wall);
            say("auth_expiring", format!("the token expires at {at}: `aectl login` before then"), None);
        }
        if self.parked > 0 {
            let what = counted(self.parked, "local change", "local changes");
            say("parked", format!("{what} of another sign-in wait until that one is back"), Some(self.parked));
        }
        list.extend(self.findings.values().cloned());
        list.extend(self.notices.shown());
        list
    }
}

#[cfg(test)]
mod tests {
    use aesync_protocol::request::PushWait;

    use super::super::effect::CallId;
    use super::super::input::{Call, TokenFacts};
    use super::super::memory::Memory;
    use super::super::settings::Settings;
    use super::super::transact::{Adopted, run};
    use super::super::{Host, Input};
    use super::*;

    #[test]
    fn the_status_knows_of_a_change_before_the_application_is_told_that_it_is_taken() {
        let settings = Settings::new("http://127.0.0.1:1", None, &["end_user"]);
        let now = Now { mono: Duration::from_secs(1), wall: Timestamp::EPOCH, dice: 1 };
        let host = Host { version: String::new(), pid: 1, started_at: now.wall, instance: String::new() };
        let (mut engine, _) = Engine::new(settings.clone(), host, Adopted::default(), &now);
        let mut memory = Memory::default();
        let mut last = Vec::new();
        let token = TokenFacts { server: None, tenant: Some("t".into()), user: "u".into(), expires_at: None, log: "log".into() };
        let changes = vec![("end_user".into(), vec![serde_json::json!({"email": "a@example.com"})])];
        let push = Call::Push { changes, request_id: None, wait: PushWait::Queued, timeout: Duration::ZERO };
        for input in [Input::SignedIn(token), Input::Call(CallId(1), push)] {
            let mut effects = engine.handle(&now, input);
            while let Some(txn) = effects.iter().find_map(|effect| match effect {
                Effect::Transact(txn) => Some(txn.clone()),
                _ => None,
            }) {
                let (writes, outcome) = run(&txn, &settings, &memory).expect("the state can be read");
                memory.apply(&writes);
                effects = engine.handle(&now, Input::Committed(Box::new(outcome)));
                last.clone_from(&effects);
            }
        }
        let told = last.iter().position(|effect| matches!(effect, Effect::Reply(_, Ok(_)))).expect("an answer");
        let shown = last.iter().position(|effect| matches!(effect, Effect::Snapshot(status) if status.outbox.pending == 1));
        assert!(shown.is_some_and(|shown| shown < told), "{last:?}");
    }
}
