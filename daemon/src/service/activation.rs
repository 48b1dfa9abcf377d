//! Socket activation: a listening socket that systemd opened and handed over.

use std::io;

/// The socket that systemd handed over, if any. Call it once, before anything else is opened; children don't inherit it.
///
/// # Errors
/// When what was handed over is no listening Unix stream socket, or more than one.
#[cfg(unix)]
pub fn inherited_socket() -> io::Result<Option<std::os::fd::OwnedFd>> {
    let mut sockets = listenfd::ListenFd::from_env();
    match sockets.len() {
        0 => Ok(None),
        1 => Ok(sockets.take_unix_listener(0)?.map(Into::into)),
        number => Err(io::Error::other(format!(
            "systemd handed {number} sockets over, and one is expected; leave one ListenStream= in the socket unit"
        ))),
    }
}
