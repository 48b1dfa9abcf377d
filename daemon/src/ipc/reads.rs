//! Answers that are read from the store or waited for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::codec::{Id, write_error, write_result};
use aesync_protocol::error::{ErrorCode, rpc};
use aesync_protocol::request::{Changed, Goal, Wait};
use aesync_protocol::response::{ChangePage, Position, Waited};
use aesync_protocol::status::LinkWord;
use aesync_protocol::{Error, Status, StatusWord};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::dispatch::Server;
use super::fanout::{Filter, Page};
use super::position::{Bounds, check};
use super::source::{Source, defect};

/// How long a read of the store may take, waiting for its turn included.
const READ: Duration = Duration::from_secs(30);

/// The longest that a client may let the daemon wait.
const MAX_WAIT_MS: u64 = 24 * 60 * 60 * 1000;

/// The most and the usual number of rows on a page.
const MAX_PAGE: u32 = 1000;
const USUAL_PAGE: u32 = 100;

/// Bytes of changes on a page, one change at least.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// Changes on a page for a subscriber that catches up, and their bytes: about as much as a socket takes at once, since what it does not
/// take is read again.
const REPLAY_PAGE: usize = 256;
const REPLAY_BYTES: u64 = 256 * 1024;

/// Reads on a thread that may block, when it is this read's turn.
async fn blocking<T: Send + 'static>(
    server: &Arc<Server>,
    read: impl FnOnce(&dyn Source) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let source = Arc::clone(&server.source);
    let turns = Arc::clone(&server.reads);
    let work = async move {
        let turn = turns.acquire_owned().await.map_err(|closed| defect("the reads of the store were closed", &closed))?;
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = read(source.as_ref());
            drop(turn);
            outcome
        });
        reading.await.map_err(|error| defect("a read of the store broke off", &error))?
    };
    timeout(READ, work).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorCode::Timeout, format!("reading the store took longer than {} s; try again", READ.as_secs())))
    })
}

/// A read and its answer, both made on a thread that may block.
pub(super) async fn answer<T: Serialize + Send + 'static>(
    server: Arc<Server>,
    id: Option<Id>,
    read: impl FnOnce(&dyn Source) -> Result<T, Error> + Send + 'static,
) -> Vec<u8> {
    let Some(id) = id else { return Vec::new() };
    let for_result = id.clone();
    let line = blocking(&server, move |source| Ok(result_line(&for_result, &read(source)?))).await;
    line.unwrap_or_else(|error| {
        let mut out = Vec::new();
        write_error(&mut out, &id, &error);
        out
    })
}

/// The line of a result.
pub(super) fn result_line<T: Serialize>(id: &Id, result: &T) -> Vec<u8> {
    let mut out = Vec::new();
    if let Err(error) = write_result(&mut out, id, result) {
        write_error(&mut out, id, &defect("the result could not be written as JSON", &error));
    }
    out
}

/// A page's size.
///
/// # Errors
/// `-32602` when it is not 1 to 1,000.
pub(super) fn page_size(limit: Option<u32>) -> Result<usize, Error> {
    match limit.unwrap_or(USUAL_PAGE) {
        limit @ 1..=MAX_PAGE => Ok(limit as usize),
        limit => Err(invalid(format!("limit is {limit}; it must be 1 to {MAX_PAGE}"))),
    }
}

/// A time to wait.
///
/// # Errors
/// `-32602` when it is more than a day.
pub(super) fn waiting_time(name: &str, millis: u64) -> Result<Duration, Error> {
    if millis > MAX_WAIT_MS {
        return Err(invalid(format!("{name} is {millis}; it must be at most {MAX_WAIT_MS}, which is a day")));
    }
    Ok(Duration::from_millis(millis))
}

fn invalid(message: String) -> Error {
    Error::protocol(rpc::INVALID_PARAMS, format!("invalid params: {message}"))
}

/// A page of changes for a subscriber that catches up.
pub(super) async fn replay(server: Arc<Server>, since: u64, filter: Filter) -> Result<Page, Error> {
    blocking(&server, move |source| {
        let page = source.changes(since, REPLAY_PAGE, REPLAY_BYTES)?;
        Page::render(&page, &filter).map_err(|error| defect("a change could not be written as JSON", &error))
    })
    .await
}

/// `changes`: a page, or the first one within the waiting time that is not empty.
///
/// # Errors
/// As `changes`.
pub(super) fn changes(
    server: &Arc<Server>,
    params: Changed,
) -> Result<impl Future<Output = Result<ChangePage, Error>> + use<>, Error> {
    let limit = page_size(params.limit)?;
    let wait = waiting_time("waitMs", params.wait_ms.unwrap_or(0))?;
    let server = Arc::clone(server);
    Ok(async move {
        let deadline = Instant::now() + wait;
        let mut status = server.source.watch_status();
        let mut since = params.since;
        let mut log = params.log;
        loop {
            let feed = status.borrow_and_update().feed.clone();
            let (published, seq) = server.fanout.position();
            let published = Position { log: published, seq };
            check(Bounds::of(&feed, &published), since, log.as_deref())?;
            let mut page = blocking(&server, move |source| source.changes(since, limit, PAGE_BYTES)).await?;
            // Whatever is found must belong to the feed that was checked, also when the client named none.
            let first = server.source.status().feed.first_seq;
            check(Bounds { log: &page.log, first, last: page.last_seq.max(since) }, since, Some(&published.log))?;
            if let Some(wanted) = &params.entity_types {
                page.changes.retain(|change| wanted.contains(&change.entity_type));
            }
            // The present end of the feed may be newer than the status that was looked at before.
            let at_end = page.next >= page.last_seq;
            if !page.changes.is_empty() || Instant::now() >= deadline || (!at_end && page.next <= since) {
                return Ok(page);
            }
            since = page.next;
            log = Some(page.log.clone());
            if at_end && !moves_beyond(&mut status, &page, deadline).await {
                return Ok(page);
            }
        }
    })
}

/// Waits until the feed goes on after the page, or becomes another one; false when the time is over or the daemon stops.
async fn moves_beyond(status: &mut watch::Receiver<Arc<Status>>, page: &ChangePage, deadline: Instant) -> bool {
    let moved = status.wait_for(|status| status.feed.last_seq > page.next || status.feed.log != page.log);
    matches!(timeout_at(deadline, moved).await, Ok(Ok(_)))
}

/// `wait`: until the goal is reached or the time is over.
///
/// # Errors
/// `-32602` for a time of more than a day, and for the goal `seq` without one.
pub(super) fn wait(server: &Arc<Server>, params: &Wait) -> Result<impl Future<Output = Waited> + use<>, Error> {
    let time = waiting_time("timeoutMs", params.timeout_ms)?;
    let goal = params.goal;
    let seq = match (goal, params.seq) {
        (Goal::Seq, None) => return Err(invalid("for is seq, which needs a seq to wait for".to_owned())),
        (_, seq) => seq.unwrap_or(0),
    };
    let mut status = server.source.watch_status();
    Ok(async move {
        let reached = timeout(time, status.wait_for(|status| is_reached(goal, seq, status)))
            .await
            .map(|found| found.map(|s| Arc::clone(&s)));
        match reached {
            Ok(Ok(status)) => Waited { reached: true, status: (*status).clone() },
            // The time is over, or the daemon stops and nothing will change any more.
            _ => {
                let status = status.borrow();
                Waited { reached: is_reached(goal, seq, &status), status: (**status).clone() }
            }
        }
    })
}

fn is_reached(goal: Goal, seq: u64, status: &Status) -> bool {
    match goal {
        Goal::Synced => status.status == StatusWord::Synced,
        Goal::Online => status.server.link == LinkWord::Online,
        Goal::OutboxEmpty => {
            let outbox = &status.outbox;
            [outbox.pending, outbox.sent, outbox.in_doubt, outbox.acked].iter().all(|count| *count == 0)
        }
        Goal::Seq => status.seq >= seq,
    }
}
