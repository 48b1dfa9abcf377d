//! HTTP: one request of the engine, from its bytes to what it reports.

mod exchange;
mod failure;
mod options;
mod pull;
mod sign_in;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::future::FutureExt as _;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use self::exchange::{Call, Exchange};
use super::wire::{self, secret::SecretFields};
use crate::engine::effect::Request;
use crate::engine::input::{Failure, FailureKind, RequestId, RestEvent};

pub(super) use self::exchange::{ReadError, client, read};
pub use self::options::{BuildError, Limits, RestOptions, Timeouts};
pub use self::sign_in::{Credentials, SignedIn};

/// How many pages of a pull are handed out before the first of them must be committed.
const PAGES_AHEAD: usize = 2;

/// The HTTP side of the server. Clones share one pool of connections.
#[derive(Clone)]
pub struct Rest {
    exchange: Arc<Exchange>,
    secrets: Arc<SecretFields>,
}

impl Rest {
    /// Prepares everything that does not need the network.
    ///
    /// # Errors
    /// [`BuildError`], when the CA file is unusable or TLS can't be set up.
    pub fn new(options: RestOptions) -> Result<Self, BuildError> {
        let secrets = Arc::new(SecretFields::new(&options.secret_fields));
        Ok(Self { exchange: Arc::new(Exchange::new(options)?), secrets })
    }

    /// Sends `request` with `token`, and reports to `events` until one of [`RestEvent::PullDone`], [`RestEvent::Pushed`],
    /// [`RestEvent::Pending`] and [`RestEvent::Failed`] ends it. Must be called within a tokio runtime.
    ///
    /// Of a pull at most two pages are reported ahead of [`RequestHandle::next_page`]; a receiver that asks for no more for
    /// [`Timeouts::page_patience`] ends it.
    #[must_use = "the request is given up when its handle is dropped"]
    pub fn send(
        &self,
        id: RequestId,
        request: Request,
        token: SecretString,
        events: mpsc::Sender<(RequestId, RestEvent)>,
    ) -> RequestHandle {
        let pages = Arc::new(Semaphore::new(PAGES_AHEAD));
        let rest = self.clone();
        let sink = Sink { id, events, pages: Arc::clone(&pages) };
        let task = tokio::spawn(async move {
            let last = ended(rest.run(request, token, &sink)).await.unwrap_or_else(RestEvent::Failed);
            sink.report(last).await;
        });
        RequestHandle { task: task.abort_handle(), pages }
    }

    async fn run(&self, request: Request, token: SecretString, sink: &Sink) -> Result<RestEvent, Failure> {
        if token.expose_secret().is_empty() {
            return Err(Failure {
                kind: FailureKind::NoToken,
                detail: "nobody is signed in, so nothing was sent; sign in first".to_owned(),
            });
        }
        match request {
            Request::Push { changes } => {
                let call = Call::with_token("pushing", "api/client/sync/push", wire::request::push(&changes), token)?;
                drop(changes);
                let body = self.exchange.whole(&call, self.exchange.limits.push_answer_bytes).await?;
                let rows = wire::answer::push(&body, &self.secrets).map_err(|what| call.not_ours(&what))?;
                Ok(RestEvent::Pushed { rows })
            }
            Request::Pull { entity_types, since } => {
                let call = Call::with_token("pulling", "api/client/sync/pull", wire::request::pull(&entity_types, since), token)?;
                pull::run(&self.exchange, &call, entity_types, since, Arc::clone(&self.secrets), sink).await
            }
            Request::PullPending { entity_types } => {
                let body = wire::request::pull_pending(&entity_types);
                let call = Call::with_token("pulling what is pending", "api/client/sync/pull-pending", body, token)?;
                let body = self.exchange.whole(&call, self.exchange.limits.pending_answer_bytes).await?;
                let pending = wire::answer::pending(&body, &entity_types, &self.secrets).map_err(|error| call.listing(&error))?;
                Ok(RestEvent::Pending(pending))
            }
        }
    }
}

/// What comes of a request, whatever becomes of it: who waits for one that panics and reports nothing would wait for ever.
async fn ended<T>(request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    AssertUnwindSafe(request).catch_unwind().await.unwrap_or_else(|_| {
        let detail =
            "the request ended before its answer by a defect of aesyncd; the log says where, please report it".to_owned();
        Err(Failure { kind: FailureKind::Broken, detail })
    })
}

/// A request on its way. Dropping it gives the request up: nothing more is reported, and its connection is closed. The server may still act
/// on what it received.
#[derive(Debug)]
pub struct RequestHandle {
    task: AbortHandle,
    pages: Arc<Semaphore>,
}

impl RequestHandle {
    /// Lets a pull report one more page: call it once for each page that was committed. Never blocks.
    pub fn next_page(&self) {
        if self.pages.available_permits() < PAGES_AHEAD {
            self.pages.add_permits(1);
        }
    }
}

impl Drop for RequestHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a request reports to.
struct Sink {
    id: RequestId,
    events: mpsc::Sender<(RequestId, RestEvent)>,
    pages: Arc<Semaphore>,
}

impl Sink {
    /// Waits for room as long as the receiver lives and the handle is held: the bound of the queue is the receiver's. False: it is gone.
    async fn report(&self, event: RestEvent) -> bool {
        self.events.send((self.id, event)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[allow(clippy::panic, reason = "that is what it is about")]
    async fn a_request_that_panics_is_one_that_the_server_may_have_acted_on() {
        let failure = ended::<()>(async { panic!("a test") }).await.expect_err("it ended early");
        assert_eq!(failure.kind, FailureKind::Broken);
        ended(async { Ok(()) }).await.expect("others end as they do");
    }
}
