//! The blocking subscription that outlives its connections.

use std::path::Path;
use std::time::{Duration, Instant};

use super::follow::{Follow, PATIENCE, Step, Verdict};
use super::greeting::greeting;
use super::transport::Transport;
use super::{ClientError, MAX_ANSWER, Update, dice};
use crate::codec::LineBuffer;
use crate::request::Subscribe;
use crate::response::Position;

/// The least that one look at the socket may take: what has come is taken even when no time is left.
const LOOK: Duration = Duration::from_millis(1);

/// Updates without end: it connects again after 50 ms to 5 s, and goes on behind the last change that it gave out. No change comes
/// twice, and none is left out; an [`Update::Reset`] says when that is impossible.
///
/// It reads from the socket only when it is asked for an update, so that nothing piles up in this process but the line that is being
/// read, at most [`MAX_ANSWER`] bytes. A daemon that says nothing for 30 s is asked for a sign of life, and given up 10 s later.
///
/// ```no_run
/// use aesync_protocol::Channel;
/// use aesync_protocol::client::{Client, Update};
/// use aesync_protocol::request::Subscribe;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let path = aesync_protocol::endpoint::locate(None, None)?;
/// let wanted = Subscribe { channels: vec![Channel::Change], since: Some(0), ..Subscribe::default() };
/// for update in Client::connect(&path)?.subscribe(wanted) {
///     match update? {
///         Update::Change(change) => println!("{} {} {}", change.seq, change.entity_type, change.id),
///         Update::Reset { .. } => println!("list the records again"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Updates {
    follow: Follow,
    connection: Option<(Transport, LineBuffer)>,
}

impl Updates {
    /// Subscribes at the socket `path`; see [`crate::endpoint::locate`]. It connects when it is first asked for an update.
    ///
    /// `wanted.since` and `wanted.log` are where to begin: a saved [`position`](Self::position), or 0 without a `log` for the whole feed.
    /// Without `since` changes begin with the next one.
    #[must_use]
    pub fn new(path: &Path, wanted: Subscribe) -> Self {
        Self { follow: Follow::new(path, wanted), connection: None }
    }

    /// How the application calls itself in `aectl clients`; without this it is the program's name. To be said before the first update.
    #[must_use]
    pub fn named(mut self, name: &str, version: &str) -> Self {
        self.follow.introduce(greeting(name, version));
        self
    }

    /// After the last update that was given out; `None` before the first connection, and without the channel `change`. Save it with
    /// what was made of the changes so far.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.follow.position()
    }

    /// To be said after an [`Update::Reset`], with the `seq` of the listing: changes that are in it already are then not given out.
    pub fn loaded(&mut self, seq: u64) {
        self.follow.loaded(seq);
    }

    /// The next update; `None` when none came within `patience`, and after an error. Without `patience` it waits until there is one. An
    /// attempt to connect that is under way is ended first, within 10 s.
    ///
    /// # Errors
    /// When going on is pointless: the socket or the subscription is not allowed, or what answers does not speak this protocol.
    pub fn next_update(&mut self, patience: Option<Duration>) -> Result<Option<Update>, ClientError> {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            match self.follow.next_step() {
                Step::Yield(update) => return Ok(Some(update)),
                Step::Fail(error) => return Err(error),
                Step::End => return Ok(None),
                Step::Connect { not_before } => {
                    if !wait_until(not_before, deadline) {
                        return Ok(None);
                    }
                    self.connect();
                }
                Step::Send(bytes) => self.send(&bytes),
                Step::Read { until } => {
                    if !self.read(until, deadline) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn connect(&mut self) {
        self.connection = None;
        match Transport::connect(self.follow.path(), Instant::now().checked_add(PATIENCE)) {
            Ok(transport) => {
                self.connection = Some((transport, LineBuffer::new(MAX_ANSWER)));
                self.follow.connected(Instant::now(), dice());
            }
            Err(source) => {
                let error = ClientError::from_connect(self.follow.path(), PATIENCE, source);
                self.follow.lost(error, Instant::now(), dice());
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        // A failure shows when the answer is read: a daemon that turns a client away says why and closes, perhaps without reading.
        if let Some((transport, _)) = &self.connection {
            let _ = transport.send(bytes, Instant::now().checked_add(PATIENCE));
        }
    }

    /// Takes one line, or reads once. False when the deadline has passed.
    fn read(&mut self, until: Instant, deadline: Option<Instant>) -> bool {
        let Some((transport, lines)) = &mut self.connection else {
            self.follow.lost(self.closed(None), Instant::now(), dice());
            return true;
        };
        let verdict = match lines.next_line() {
            Some(Ok(line)) => self.follow.line(line, Instant::now(), dice()),
            Some(Err(error)) => {
                self.give_up(ClientError::Protocol { reason: error.to_string() });
                return true;
            }
            None => {
                let limit = deadline.map_or(until, |deadline| deadline.min(until)).max(Instant::now() + LOOK);
                match transport.receive(lines, Some(limit)) {
                    Ok(1..) => return true,
                    Ok(0) => {
                        self.give_up(self.closed(None));
                        return true;
                    }
                    Err(error) if error.kind() != std::io::ErrorKind::TimedOut => {
                        self.give_up(self.closed(Some(error)));
                        return true;
                    }
                    Err(_) if Instant::now() < until => return deadline.is_none_or(|deadline| Instant::now() < deadline),
                    Err(_) => self.follow.silent(Instant::now(), dice()),
                }
            }
        };
        if verdict == Verdict::Close {
            self.connection = None;
        }
        true
    }

    fn give_up(&mut self, error: ClientError) {
        self.connection = None;
        self.follow.lost(error, Instant::now(), dice());
    }

    fn closed(&self, source: Option<std::io::Error>) -> ClientError {
        ClientError::Closed { path: self.follow.path().to_owned(), source }
    }
}

impl Iterator for Updates {
    type Item = Result<Update, ClientError>;

    /// Waits without end; `None` after an error.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_update(None).transpose()
    }
}

/// Waits for the moment; false when the deadline is earlier.
fn wait_until(moment: Option<Instant>, deadline: Option<Instant>) -> bool {
    let Some(moment) = moment else { return true };
    let until = deadline.map_or(moment, |deadline| deadline.min(moment));
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    Instant::now() >= moment
}
