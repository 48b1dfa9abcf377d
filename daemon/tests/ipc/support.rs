//! The local interface over a real socket in a temporary directory, with a source and a driver that the test plays.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared with benchmarks, which use a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use aesync_protocol::codec::EncodedChange;
use aesync_protocol::error::ErrorCode;
use aesync_protocol::event::{ChangeOp, Notification, Origin, Progress};
use aesync_protocol::request::OutboxList;
use aesync_protocol::response::{
    ChangePage, CheckedSlice, Conflicts, Entry, EntryOp, EntryPage, EntryState, ListedRecord, RecordFound, RecordPage, Role,
    StoreFigures,
};
use aesync_protocol::status::{AuthStatus, AuthWord, DaemonStatus, FeedStatus, LinkWord, OutboxStatus, ServerStatus};
use aesync_protocol::{Change, Error, Event, Record, Status, StatusWord, Timestamp};
use aesyncd::ipc::{BindOptions, Call, Fanout, Limits, Source, bind, serve};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("this took too long: {what}"))
}

pub fn record(id: &str, version: u64) -> Record {
    Record::from_iter([("id".to_owned(), json!(id)), ("version".to_owned(), json!(version))])
}

pub fn change(seq: u64, entity_type: &str, id: &str) -> Change {
    Change {
        seq,
        op: ChangeOp::Upsert,
        entity_type: entity_type.to_owned(),
        id: id.to_owned(),
        record: Some(record(id, seq)),
        origin: Origin::Server,
        pending: false,
        at: Timestamp::EPOCH,
    }
}

/// As the feed's writer hands them on.
pub fn encoded(changes: &[Change]) -> Vec<EncodedChange> {
    changes.iter().map(|change| EncodedChange::new(change).expect("JSON")).collect()
}

pub fn notification(entity_type: &str, message: &str) -> Event {
    Event::Notification {
        notification: Notification {
            kind: "data_available".to_owned(),
            entity_type: entity_type.to_owned(),
            entity_id: None,
            message: message.to_owned(),
            timestamp: Timestamp::EPOCH,
        },
    }
}

pub fn progress(done: u64) -> Event {
    Event::Progress(Progress { op: "pull".to_owned(), entity_type: None, done, total: None })
}

pub fn entry(number: u64, entity_type: &str) -> Entry {
    Entry {
        entry: number,
        entity_type: entity_type.to_owned(),
        id: format!("e{number}"),
        op: EntryOp::Create,
        state: EntryState::Pending,
        data: record("e", number),
        bytes: 20,
        enqueued_at: Timestamp::EPOCH,
        attempts: 0,
        sent_at: None,
        verdict: None,
        last_error: None,
        parked: false,
    }
}

pub fn outbox(number: u64, entity_type: &str) -> Event {
    Event::Outbox { entry: Box::new(entry(number, entity_type)) }
}

pub fn status() -> Status {
    Status {
        status: StatusWord::Offline,
        reason: None,
        since: Timestamp::EPOCH,
        retry_at: None,
        has_synced: false,
        last_synced_at: None,
        seq: 0,
        paused: false,
        server: ServerStatus {
            url: "http://127.0.0.1:1".to_owned(),
            tenant_id: None,
            link: LinkWord::SignedOut,
            transport: None,
            connected_since: None,
            rtt_ms: None,
            last_pong_at: None,
            reconnects: 0,
        },
        auth: AuthStatus { state: AuthWord::None, expires_at: None, subject: None },
        outbox: OutboxStatus::default(),
        types: BTreeMap::new(),
        feed: FeedStatus { log: "log".to_owned(), first_seq: 1, last_seq: 0 },
        attention: Vec::new(),
        last_error: None,
        daemon: DaemonStatus {
            version: "1.2.3".to_owned(),
            pid: 1,
            started_at: Timestamp::EPOCH,
            instance: "default".to_owned(),
        },
    }
}

/// What a test has done when a record is read, with its number.
pub type OnRecord = Box<dyn Fn(u64) + Send>;

/// What the driver and the store are in the daemon: a feed in memory, and a status that the test sets.
pub struct FakeDaemon {
    pub status: watch::Sender<Arc<Status>>,
    pub feed: Mutex<Vec<Change>>,
    pub entries: Mutex<Vec<Entry>>,
    pub fanout: Fanout,
    /// How often a page of the durable feed was read.
    pub pages: Mutex<u64>,
    /// How many changes those pages held, all together.
    pub changes_read: Mutex<u64>,
    /// How often a record was asked for.
    pub records_read: Mutex<u64>,
    /// Called with that number each time.
    pub on_record: Mutex<Option<OnRecord>>,
    is_held: Mutex<bool>,
    let_go: Condvar,
}

impl FakeDaemon {
    pub fn new(ring: usize) -> Arc<Self> {
        let (status, _) = watch::channel(Arc::new(status()));
        Arc::new(Self {
            status,
            feed: Mutex::default(),
            entries: Mutex::default(),
            fanout: Fanout::new(ring, "log", 0),
            pages: Mutex::default(),
            changes_read: Mutex::default(),
            records_read: Mutex::default(),
            on_record: Mutex::default(),
            is_held: Mutex::default(),
            let_go: Condvar::new(),
        })
    }

    /// From now on reads of the durable feed are held, with what they read, until they are let go.
    pub fn hold_reads(&self) {
        *self.is_held.lock().unwrap() = true;
    }

    /// Lets all reads go.
    pub fn let_reads_go(&self) {
        *self.is_held.lock().unwrap() = false;
        self.let_go.notify_all();
    }

    fn page(&self, since: u64, limit: usize, bytes: u64) -> Result<ChangePage, Error> {
        let feed = self.feed.lock().unwrap();
        let status = self.status.borrow();
        if since + 1 < status.feed.first_seq {
            let gone = Error::new(ErrorCode::Gone, "trimmed").with("reason", "trimmed");
            return Err(gone.with("log", status.feed.log.as_str()).with("firstSeq", status.feed.first_seq));
        }
        let from = feed.partition_point(|change| change.seq <= since);
        let mut left = bytes;
        let fits = |change: &&Change| {
            let size = serde_json::to_string(change).expect("JSON").len() as u64;
            let is_first = left == bytes;
            let fits = is_first || size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let changes: Vec<_> = feed[from..].iter().take(limit).take_while(fits).cloned().collect();
        *self.changes_read.lock().unwrap() += changes.len() as u64;
        let next = changes.last().map_or(since, |change| change.seq);
        let last_seq = feed.last().map_or(0, |change| change.seq).max(since);
        Ok(ChangePage { log: status.feed.log.clone(), changes, next, last_seq })
    }

    fn pass_the_gate(&self) {
        drop(self.let_go.wait_while(self.is_held.lock().unwrap(), |is_held| *is_held).unwrap());
    }

    /// Stores and publishes changes, in the driver's order: durable, status, events.
    pub fn commit(&self, changes: &[Change]) {
        self.feed.lock().unwrap().extend_from_slice(changes);
        let last = changes.last().expect("some changes").seq;
        self.set_status(|status| {
            status.seq = last;
            status.feed.last_seq = last;
        });
        self.fanout.publish_changes(&encoded(changes));
    }

    pub fn set_status(&self, set: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| set(Arc::make_mut(status)));
    }

    pub fn publish_status(&self, set: impl FnOnce(&mut Status)) {
        self.set_status(set);
        let status = (**self.status.borrow()).clone();
        self.fanout.publish(&Event::Status { status: Box::new(status) });
    }

    /// Forgets the changes before `first`.
    pub fn trim(&self, first: u64) {
        self.feed.lock().unwrap().retain(|change| change.seq >= first);
        self.set_status(|status| status.feed.first_seq = first);
    }

    /// Somebody else signs in.
    pub fn switch_log(&self, log: &str) {
        self.feed.lock().unwrap().clear();
        self.set_status(|status| {
            status.feed = FeedStatus { log: log.to_owned(), first_seq: 1, last_seq: 0 };
            status.seq = 0;
        });
        self.fanout.restart_feed(log, 0);
    }
}

impl Source for FakeDaemon {
    fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    fn watch_status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    fn record(&self, entity_type: &str, id: &str) -> Result<RecordFound<Box<RawValue>>, Error> {
        let read = {
            let mut read = self.records_read.lock().unwrap();
            *read += 1;
            *read
        };
        if let Some(on_record) = &*self.on_record.lock().unwrap() {
            on_record(read);
        }
        let feed = self.feed.lock().unwrap();
        let found = feed.iter().rev().find(|change| change.entity_type == entity_type && change.id == id);
        let record = found.and_then(|change| change.record.clone());
        let record = record.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no {entity_type} {id}")))?;
        let record = to_raw_value(&record).expect("a record");
        Ok(RecordFound { record, pending: false, base: None, seq: self.status.borrow().seq })
    }

    fn records(&self, entity_type: &str, after: Option<&str>, limit: usize) -> Result<RecordPage, Error> {
        let feed = self.feed.lock().unwrap();
        let mut folded: BTreeMap<String, Record> = BTreeMap::new();
        for change in feed.iter().filter(|change| change.entity_type == entity_type) {
            folded.insert(change.id.clone(), change.record.clone().unwrap_or_default());
        }
        let mut rows: Vec<_> = folded.into_iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after)).collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|(id, _)| id.clone());
        let records = rows.into_iter().map(|(_, record)| ListedRecord { record, pending: false }).collect();
        Ok(RecordPage { records, next, seq: self.status.borrow().seq })
    }

    fn changes(&self, since: u64, limit: usize, bytes: u64) -> Result<ChangePage, Error> {
        *self.pages.lock().unwrap() += 1;
        let page = self.page(since, limit, bytes);
        self.pass_the_gate();
        page
    }

    fn entries(&self, filter: &OutboxList, limit: usize) -> Result<EntryPage, Error> {
        let entries = self.entries.lock().unwrap();
        let wanted = entries.iter().filter(|entry| filter.after.is_none_or(|after| entry.entry > after));
        Ok(EntryPage { entries: wanted.take(limit).cloned().collect(), next: None })
    }

    fn store_figures(&self) -> Result<StoreFigures, Error> {
        Err(Error::new(ErrorCode::StorageFailed, "there is no store"))
    }

    fn check_store(&self, _after: Option<&str>) -> Result<CheckedSlice, Error> {
        Err(Error::new(ErrorCode::StorageFailed, "there is no store"))
    }

    fn conflicts(&self) -> Result<Conflicts, Error> {
        Ok(Conflicts { conflicts: Vec::new() })
    }
}

/// A served socket.
pub struct House {
    pub daemon: Arc<FakeDaemon>,
    pub path: PathBuf,
    pub calls: mpsc::Receiver<Call>,
    pub stop: watch::Sender<bool>,
    pub served: JoinHandle<()>,
    _directory: TempDir,
}

/// How a house differs from the usual one.
pub struct Plan {
    pub ring: usize,
    pub limits: Limits,
    pub queue: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { ring: 1 << 20, limits: Limits::default(), queue: 16 }
    }
}

impl House {
    pub async fn open() -> Self {
        Self::build(Plan::default()).await
    }

    pub async fn build(plan: Plan) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("s");
        let daemon = FakeDaemon::new(plan.ring);
        let listener = bind(BindOptions { limits: plan.limits, ..BindOptions::new(&path) }).await.expect("bound");
        let (sender, calls) = mpsc::channel(plan.queue);
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(serve(listener, daemon.clone(), sender, daemon.fanout.clone(), stopped));
        Self { daemon, path, calls, stop, served, _directory: directory }
    }

    pub async fn connect(&self) -> Client {
        Client::new(UnixStream::connect(&self.path).await.expect("connected"))
    }

    /// The next call that reaches the driver.
    pub async fn next_call(&mut self) -> Call {
        in_time("a call for the driver", self.calls.recv()).await.expect("a call")
    }

    /// Waits until so many connections are subscribed.
    pub async fn wait_for_subscribers(&self, count: usize) {
        wait_until("the number of subscribers", || self.daemon.fanout.subscribers() == count).await;
    }
}

pub async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    in_time(what, async {
        while !holds() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

pub struct Client {
    pub stream: BufReader<UnixStream>,
}

impl Client {
    pub fn new(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("a write", self.stream.get_mut().write_all(bytes.as_ref())).await.expect("written");
    }

    pub async fn request(&mut self, id: u64, method: &str, params: Value) {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(format!("{line}\n")).await;
    }

    /// The next line as it came; none at the end.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = in_time("a line", self.stream.read_line(&mut line)).await.expect("readable");
        (count > 0).then_some(line)
    }

    pub async fn json(&mut self) -> Value {
        let line = self.line().await.expect("a line before the end");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// The next event's params.
    pub async fn event(&mut self) -> Value {
        let mut line = self.json().await;
        assert_eq!(line["method"], "event", "{line}");
        line["params"].take()
    }

    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        self.request(1, method, params).await;
        let mut answer = self.json().await;
        assert_eq!(answer["id"], 1, "{answer}");
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    pub async fn fail(&mut self, method: &str, params: Value) -> Value {
        self.request(1, method, params).await;
        let mut answer = self.json().await;
        assert_eq!(answer["id"], 1, "{answer}");
        assert!(answer.get("result").is_none(), "{answer}");
        answer["error"].take()
    }

    pub async fn expect_end(&mut self) {
        assert_eq!(self.line().await, None);
    }

    pub async fn close_writing(&mut self) {
        self.stream.get_mut().shutdown().await.expect("shut down");
    }

    pub async fn read_to_end(&mut self) -> String {
        let mut rest = Vec::new();
        in_time("the end", self.stream.read_to_end(&mut rest)).await.expect("readable");
        String::from_utf8(rest).expect("text")
    }
}

pub fn code(error: &Value) -> &str {
    error["data"]["code"].as_str().unwrap_or_default()
}

/// The role of a test's own connections.
pub const OWN_ROLE: Role = Role::Admin;

impl Client {
    pub async fn call_with_id(&mut self, id: u64, method: &str) -> Value {
        self.request(id, method, json!({})).await;
        let mut answer = self.json().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"].take()
    }

    pub async fn fail_with_id(&mut self, id: u64, method: &str) -> Value {
        self.request(id, method, json!({})).await;
        let mut answer = self.json().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer["error"].take()
    }
}
