//! The daemon's status, from one connection to the next.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aesync_protocol::client::{Client, ClientError};
use aesync_protocol::request::Subscribe;
use aesync_protocol::{Channel, Event, Status};

use crate::context;
use crate::text::clean;

/// How long to wait before looking for the daemon again: the first time, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is known of the daemon.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    Status(Box<Status>),
    /// Nobody answers: why.
    Lost(String),
}

/// Tells each status on a thread of its own until `seen` returns false. A daemon that is not there is waited for.
pub(super) fn start(path: PathBuf, patience: Duration, mut seen: impl FnMut(Seen) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let mut pause = PAUSES.0;
        loop {
            let mut answered = false;
            let ended = follow(&path, patience, &mut |status| {
                answered = true;
                seen(Seen::Status(status))
            });
            match ended {
                Ok(()) => return,
                Err(error) => {
                    if !seen(Seen::Lost(clean(&error.to_string()).into_owned())) {
                        return;
                    }
                }
            }
            if answered {
                pause = PAUSES.0;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    });
}

/// Ends without an error when nobody wants to know any more.
fn follow(path: &Path, patience: Duration, seen: &mut dyn FnMut(Box<Status>) -> bool) -> Result<(), ClientError> {
    let params = Subscribe { channels: vec![Channel::Status], ..Subscribe::default() };
    let mut subscription = context::follow(Client::connect_within(path, patience)?, &params)?;
    loop {
        if let Some(Event::Status { status }) = subscription.next_event(None)?
            && !seen(status)
        {
            return Ok(());
        }
    }
}
