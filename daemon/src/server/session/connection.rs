//! The life of one connection, on its own runtime: join, authenticate, then hear and ping until it ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rust_socketio::Payload;
use rust_socketio::asynchronous::Client;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::socket::{self, Inbox, Life};
use super::{SessionOptions, end};
use crate::engine::input::{SessionEnd, SessionEvent, SessionId};
use crate::server::wire::notification::Incoming;
use crate::server::wire::text::{cut, without};

/// Runs a connection from its start to its end.
pub(super) async fn run(
    options: SessionOptions,
    statuses: watch::Receiver<Option<&'static str>>,
    events: mpsc::Sender<(SessionId, SessionEvent)>,
) -> SessionEnd {
    let token = options.token.clone();
    let mut end = match connect(&options).await {
        Ok((client, inbox)) => Connection::new(options, client, inbox, statuses, events).run().await,
        Err(end) => end,
    };
    end.detail = cut(&without(&end.detail, &token));
    end
}

async fn connect(options: &SessionOptions) -> Result<(Client, Inbox), SessionEnd> {
    let (builder, inbox) = socket::prepare(options).map_err(|error| end::of_tls(&error))?;
    let patience = options.timings.connect;
    match timeout(patience, builder.connect()).await {
        Ok(Ok(client)) => Ok((client, inbox)),
        Ok(Err(error)) => Err(end::of_connect(&error)),
        Err(_) => Err(end::no_connection_within(patience)),
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// An emit before the namespace is joined would kill the connection without a sign.
    Joining { until: Instant },
    /// `authenticate` was sent.
    Authenticating { until: Instant },
    /// Authenticated.
    Up {
        next_ping: Instant,
        /// When the ping was sent whose pong is awaited.
        pinged: Option<Instant>,
    },
}

/// What a connection wakes for.
enum Next {
    Life(Option<Life>),
    Deadline,
    Announce,
    Incoming(Option<Incoming>),
    OverflowTold,
    /// Nobody holds the session or takes its events any more.
    Unwanted,
}

struct Connection {
    options: SessionOptions,
    client: Client,
    inbox: Inbox,
    statuses: watch::Receiver<Option<&'static str>>,
    events: mpsc::Sender<(SessionId, SessionEvent)>,
    phase: Phase,
    last_heard: Instant,
    /// Notifications were dropped and nobody was told yet.
    overflowed: bool,
}

impl Connection {
    fn new(
        options: SessionOptions,
        client: Client,
        inbox: Inbox,
        statuses: watch::Receiver<Option<&'static str>>,
        events: mpsc::Sender<(SessionId, SessionEvent)>,
    ) -> Self {
        let now = Instant::now();
        let phase = Phase::Joining { until: now + options.timings.step };
        Self { options, client, inbox, statuses, events, phase, last_heard: now, overflowed: false }
    }

    async fn run(mut self) -> SessionEnd {
        loop {
            let step = match self.next().await {
                Next::Life(life) => self.on_life(life).await,
                Next::Deadline => self.on_deadline().await,
                Next::Announce => self.announce().await,
                Next::Incoming(incoming) => self.on_incoming(incoming).await,
                Next::OverflowTold => {
                    self.overflowed = false;
                    Ok(())
                }
                Next::Unwanted => Err(end::closed()),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn next(&mut self) -> Next {
        let wake_at = self.wake_at();
        let is_up = matches!(self.phase, Phase::Up { .. });
        // In this order, so that a flood of notifications holds up neither the end, nor the deadlines, nor the word that some were lost.
        tokio::select! {
            biased;
            life = self.inbox.life.recv() => Next::Life(life),
            () = sleep_until(wake_at) => Next::Deadline,
            room = self.events.reserve(), if self.overflowed => match room {
                Ok(room) => {
                    room.send((self.options.id, SessionEvent::Overflow));
                    Next::OverflowTold
                }
                Err(_) => Next::Unwanted,
            },
            changed = self.statuses.changed(), if is_up => if changed.is_ok() { Next::Announce } else { Next::Unwanted },
            incoming = self.inbox.incoming.recv() => Next::Incoming(incoming),
        }
    }

    /// The one timer: the deadline of the phase, or the next ping or the end of patience, whichever comes first.
    fn wake_at(&self) -> Instant {
        match self.phase {
            Phase::Joining { until } | Phase::Authenticating { until } => until,
            Phase::Up { next_ping, .. } => next_ping.min(self.last_heard + self.options.timings.dead_after),
        }
    }

    async fn on_life(&mut self, life: Option<Life>) -> Result<(), SessionEnd> {
        match (life, self.phase) {
            (Some(Life::Connected), Phase::Joining { .. }) => {
                self.tell(SessionEvent::Connected).await?;
                let credentials = json!({ "token": self.options.token.expose_secret(), "tenantId": self.options.tenant });
                self.emit("authenticate", credentials.into()).await?;
                self.phase = Phase::Authenticating { until: Instant::now() + self.options.timings.step };
                Ok(())
            }
            (Some(Life::Connected), _) => Ok(()),
            (Some(Life::Closed), _) => Err(end::lost("the server closed it")),
            (Some(Life::Error(text)), _) => Err(end::of_event(&text)),
            (Some(Life::ReaderEnded) | None, _) => Err(end::lost("it ended without a reason")),
        }
    }

    async fn on_deadline(&mut self) -> Result<(), SessionEnd> {
        let within = |patience: Duration| format!("within {} s", patience.as_secs_f64().ceil());
        let timings = self.options.timings;
        let now = Instant::now();
        match &mut self.phase {
            Phase::Joining { .. } => Err(end::lost(&format!("the server did not open the namespace {}", within(timings.step)))),
            Phase::Authenticating { .. } => {
                Err(end::lost(&format!("the server did not answer authenticate {}", within(timings.step))))
            }
            Phase::Up { .. } if now >= self.last_heard + timings.dead_after => {
                Err(end::lost(&format!("nothing was heard {}", within(timings.dead_after))))
            }
            Phase::Up { next_ping, pinged } => {
                *next_ping = now + timings.ping_every;
                // With two on their way the first pong belongs to the first of them.
                pinged.get_or_insert(now);
                self.emit("ping", Payload::Text(Vec::new())).await
            }
        }
    }

    async fn on_incoming(&mut self, incoming: Option<Incoming>) -> Result<(), SessionEnd> {
        self.last_heard = Instant::now();
        self.overflowed |= self.inbox.overflowed.swap(false, Ordering::Relaxed);
        match incoming {
            None => Err(end::lost("it ended without a reason")),
            Some(Incoming::Refused { message }) => Err(end::refused(&message)),
            Some(Incoming::Authenticated) => match self.phase {
                Phase::Authenticating { .. } => {
                    // The first ping goes out at once: it is the first measure of the way.
                    self.phase = Phase::Up { next_ping: self.last_heard, pinged: None };
                    self.tell(SessionEvent::Authenticated).await
                }
                Phase::Joining { .. } | Phase::Up { .. } => Ok(()),
            },
            Some(Incoming::Pong) => match &mut self.phase {
                Phase::Up { pinged, .. } => match pinged.take() {
                    Some(sent) => self.offer(SessionEvent::Pong { rtt: sent.elapsed() }),
                    None => Ok(()),
                },
                Phase::Joining { .. } | Phase::Authenticating { .. } => Ok(()),
            },
            Some(Incoming::Event(event)) => self.offer(event),
        }
    }

    async fn announce(&mut self) -> Result<(), SessionEnd> {
        let status = *self.statuses.borrow_and_update();
        match status {
            Some(status) => self.emit("sync_status_update", json!({ "status": status }).into()).await,
            None => Ok(()),
        }
    }

    /// Every emit has a deadline: with a full send buffer the library waits for ever.
    async fn emit(&self, event: &'static str, payload: Payload) -> Result<(), SessionEnd> {
        match timeout(self.options.timings.step, self.client.emit(event, payload)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(end::of_emit(event, &error)),
            Err(_) => Err(end::lost(&format!("{event} could not be sent in time"))),
        }
    }

    /// For what must not be dropped.
    async fn tell(&self, event: SessionEvent) -> Result<(), SessionEnd> {
        match self.events.send_timeout((self.options.id, event), self.options.timings.step).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(end::closed()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(end::lost("this daemon was too busy to go on with it")),
        }
    }

    /// For what may be dropped, as long as that is said.
    fn offer(&mut self, event: SessionEvent) -> Result<(), SessionEnd> {
        match self.events.try_send((self.options.id, event)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.overflowed = true;
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(end::closed()),
        }
    }
}
