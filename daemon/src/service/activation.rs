//! Socket activation: a listening socket that systemd opened and handed over.

use std::io;

/// The socket that systemd handed over, if any. Call it once, before anything else is opened; children don't inherit it.
///
/// # Errors
/// When what was handed over is no listening Unix stream socket, or more than one.
pub fn inherited_socket() -> io::Result<Option<std::os::fd::OwnedFd>> {
    let mut sockets = listenfd::ListenFd::from_env();
    match sockets.len() {
        0 => Ok(None),
        1 => sockets.take_unix_listener(0).map(|socket| socket.map(Into::into)).map_err(|error| unusable(&error.to_string())),
        number => Err(unusable(&format!("there are {number}"))),
    }
}

fn unusable(reason: &str) -> io::Error {
    io::Error::other(format!(
        "taking over the socket that systemd opened: {reason}; the socket unit must have one ListenStream= with a path"
    ))
}
