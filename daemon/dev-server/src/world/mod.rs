//! The database, and the tests' window into the server. It outlives every running server.

mod accounts;
mod device;
mod requests;
mod sockets;
mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

pub(crate) use self::accounts::{Accounts, Customer, Staff};
pub use self::device::Device;
pub(crate) use self::requests::RequestLog;
pub use self::requests::RequestRecord;
pub use self::sockets::{RelayedStatus, Seat, SocketEnd};
pub(crate) use self::sockets::{Sockets, room};
pub use self::table::Writes;
pub(crate) use self::table::{Row, Table, sent_id};
use crate::faults::Faults;
use crate::gate::Gate;
use crate::notification::Notification;
use crate::secrets;
use crate::stamp::Stamp;
use crate::token::TokenSpec;

/// How long the server takes. [`Latency::default`] is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Before the work of each sync request; one request at a time in the whole server.
    pub request: Duration,
    /// Besides, before the work of a push.
    pub push: Duration,
    /// Before each pushed row.
    pub row: Duration,
}

impl Latency {
    /// As measured: 50 ms a request and so 20 requests a second, 100 ms a push, 13 ms a row.
    pub const REALISTIC: Self =
        Self { request: Duration::from_millis(50), push: Duration::from_millis(50), row: Duration::from_millis(13) };
}

/// What may be set while the server runs.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long the server takes; default: not at all.
    pub latency: Latency,
    /// `updatedAt` keeps microseconds, which JSON never shows: such a row comes back when its cut time is the cursor. Default: off.
    pub microseconds: bool,
    /// How far the server's clock is ahead of this machine's, in milliseconds; default 0.
    pub clock_offset_ms: i64,
    /// `POST /api/auth/refresh` works as it was meant to. Default: off, as the real server.
    pub refresh_works: bool,
    /// The life of tokens given out by a login; default 24 h.
    pub token_life: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let token_life = Duration::from_secs(24 * 60 * 60);
        Self { latency: Latency::default(), microseconds: false, clock_offset_ms: 0, refresh_works: false, token_life }
    }
}

/// Tenants, accounts, rows, faults, the request log and the sockets of the running server.
pub struct World {
    pub(crate) accounts: Mutex<Accounts>,
    pub(crate) tables: Mutex<BTreeMap<String, Table>>,
    pub(crate) log: RequestLog,
    pub(crate) sockets: Sockets,
    pub(crate) gate: Gate,
    /// Held for [`Latency::request`]: the server serves one request at a time there.
    pub(crate) lane: tokio::sync::Mutex<()>,
    /// Whether a server runs on this world.
    pub(crate) occupied: AtomicBool,
    faults: Faults,
    settings: Mutex<Settings>,
}

impl World {
    /// An empty world.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            accounts: Mutex::default(),
            tables: Mutex::default(),
            log: RequestLog::default(),
            sockets: Sockets::default(),
            gate: Gate::new(),
            lane: tokio::sync::Mutex::new(()),
            occupied: AtomicBool::new(false),
            faults: Faults::default(),
            settings: Mutex::default(),
        })
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        *lock(&self.settings)
    }

    /// Changes the settings of the running server.
    pub fn adjust(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.settings));
    }

    /// The server's clock, as precise as its database.
    pub fn now(&self) -> Stamp {
        let settings = self.settings();
        let now = Stamp::from_micros(Stamp::now().micros().saturating_add(settings.clock_offset_ms.saturating_mul(1_000)));
        if settings.microseconds { now } else { now.cut_to_millis() }
    }

    /// Adds a customer and returns its id, which is the tenant id.
    pub fn add_customer(&self, email: &str, password: &str) -> String {
        let id = Uuid::new_v4().to_string();
        self.add_customer_with_id(&id, email, password);
        id
    }

    /// Adds a customer whose tenant id is known.
    pub fn add_customer_with_id(&self, id: &str, email: &str, password: &str) {
        secrets::note(password);
        lock(&self.accounts).customers.push(Customer { id: id.into(), email: email.into(), password: password.into() });
    }

    /// Changes a customer's password; false if nobody has this email.
    pub fn set_password(&self, email: &str, password: &str) -> bool {
        secrets::note(password);
        let mut accounts = lock(&self.accounts);
        let customer = accounts.customers.iter_mut().find(|customer| customer.email == email);
        customer.map(|customer| customer.password = password.into()).is_some()
    }

    /// Adds a staff user of a company; staff tokens reach the rows of the tenant with that id.
    pub fn add_staff(&self, email: &str, password: &str, company: &str) {
        secrets::note(password);
        let id = Uuid::new_v4().to_string();
        let staff = Staff { id, email: email.into(), password: password.into(), company: company.into() };
        lock(&self.accounts).staff.push(staff);
    }

    /// A customer's token, valid for 24 h.
    pub fn token(&self, tenant: &str) -> String {
        self.mint(&TokenSpec::customer(tenant))
    }

    /// Any token.
    pub fn mint(&self, spec: &TokenSpec) -> String {
        let token = spec.mint(self.now());
        secrets::note(&token);
        token
    }

    /// Edits rows as another device of the tenant; each edit notifies the sockets.
    pub fn device(&self, tenant: &str) -> Device<'_> {
        Device::new(self, tenant)
    }

    /// Every row of a type, visible or not, newest first, as a pull would show it.
    pub fn rows(&self, tenant: &str, entity_type: &str) -> Vec<Value> {
        self.read(tenant, |table| table.newest_first(entity_type, |_| true).into_iter().map(Row::to_json).collect())
    }

    /// The rows of a type that pulls return, newest first.
    pub fn visible_rows(&self, tenant: &str, entity_type: &str) -> Vec<Value> {
        self.read(tenant, |table| table.newest_first(entity_type, Row::is_visible).into_iter().map(Row::to_json).collect())
    }

    /// One row, visible or not.
    pub fn row(&self, tenant: &str, entity_type: &str, id: &str) -> Option<Value> {
        self.read(tenant, |table| table.get(entity_type, id).map(Row::to_json))
    }

    /// How often an id was written to by pushes.
    pub fn writes(&self, tenant: &str, entity_type: &str, id: &str) -> Writes {
        self.read(tenant, |table| *table.writes(entity_type, id))
    }

    /// The last 10,000 requests after number `seq` (0: all of them), oldest first.
    pub fn requests_since(&self, seq: u64) -> Vec<RequestRecord> {
        self.log.since(seq)
    }

    /// The last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.requests_since(0)
    }

    /// The most sync requests that this tenant ever had under way at once.
    pub fn peak_parallel_requests(&self, tenant: &str) -> usize {
        self.log.peak(tenant)
    }

    /// The connected sockets.
    pub fn sockets(&self) -> Vec<Seat> {
        self.sockets.seats()
    }

    /// The last 10,000 `sync_status_update`s that came in, oldest first.
    pub fn relayed(&self) -> Vec<RelayedStatus> {
        self.sockets.relayed()
    }

    /// Sends a `sync_notification` to a tenant's sockets.
    pub fn notify(&self, tenant: &str, notification: &Notification) {
        self.sockets.emit(Some(tenant), "sync_notification", &notification.to_json(self.now()));
    }

    /// Sends any event with any argument to a tenant's sockets.
    pub fn broadcast(&self, tenant: &str, event: &str, argument: &Value) {
        self.sockets.emit(Some(tenant), event, argument);
    }

    /// Sends `count` notifications of new rows in a row.
    pub fn storm(&self, tenant: &str, entity_type: &str, count: u32) {
        let notification = Notification::inserted(entity_type, &Uuid::new_v4().to_string());
        (0..count).for_each(|_| self.notify(tenant, &notification));
    }

    /// Ends the sockets of a tenant, or all of them; returns how many there were.
    pub fn end_sockets(&self, how: SocketEnd, tenant: Option<&str>) -> usize {
        self.sockets.end(how, tenant)
    }

    /// Stops the server in its tracks, as SIGSTOP does: connections are accepted, HTTP and sockets are silent. Returns when
    /// it stands still. A server started meanwhile hangs as well.
    pub fn hang(&self) {
        self.gate.set(true);
        if self.occupied.load(Ordering::SeqCst) {
            self.gate.wait_until_still(Duration::from_secs(5));
        }
    }

    /// Ends [`World::hang`].
    pub fn resume(&self) {
        self.gate.set(false);
    }

    /// Rows per tenant and type, visible or not.
    pub fn row_counts(&self) -> BTreeMap<String, BTreeMap<String, usize>> {
        lock(&self.tables).iter().map(|(tenant, table)| (tenant.clone(), table.counts())).collect()
    }

    pub(crate) fn read<T>(&self, tenant: &str, read: impl FnOnce(&mut Table) -> T) -> T {
        let mut tables = lock(&self.tables);
        match tables.get_mut(tenant) {
            Some(table) => read(table),
            None => read(&mut Table::default()),
        }
    }

    pub(crate) fn write<T>(&self, tenant: &str, write: impl FnOnce(&mut Table) -> T) -> T {
        write(lock(&self.tables).entry(tenant.to_owned()).or_default())
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("faults", &self.faults).field("settings", &self.settings()).finish_non_exhaustive()
    }
}

/// A panic elsewhere leaves the world usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
