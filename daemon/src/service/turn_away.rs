//! What is said to those who wait at a socket that systemd holds, when there will be no daemon.
//!
//! systemd starts the service for every connection that waits, and gives the socket up when that happens too often. So nobody is left
//! waiting, and a start that fails takes its time.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as Listener;
use std::time::Duration;

use aesync_protocol::{Error, ErrorCode};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// How long it listens: an administrator can wait so long for a failure, and it is far from the twenty starts in two seconds at which systemd
/// gives a socket up.
const LISTENS: Duration = Duration::from_secs(1);
/// How long a client may take to ask.
const ASKS: Duration = Duration::from_millis(500);
/// How many are answered at once; further ones wait.
const AT_ONCE: usize = 64;
/// What is read of a request, in bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// Answers everybody who connects within a second with `why`, and what to do about it. Blocks for so long.
pub fn turn_away(socket: OwnedFd, why: &str) {
    let error = Error::new(ErrorCode::Misconfigured, format!("the daemon does not start: {why}"))
        .hint("correct that and ask again: the daemon starts when somebody asks");
    let answer = format!("{}\n", serde_json::json!({"jsonrpc": "2.0", "id": null, "error": error}));
    let listener = Listener::from(socket);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(listener) = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener)) else { return };
        let mut clients = JoinSet::new();
        let listening = async {
            loop {
                tokio::select! {
                    accepted = listener.accept(), if clients.len() < AT_ONCE => {
                        let Ok((client, _)) = accepted else { return };
                        clients.spawn(tokio::time::timeout(ASKS, tell(client, answer.clone())));
                    }
                    Some(_) = clients.join_next(), if !clients.is_empty() => {}
                }
            }
        };
        // It ends when its time is up.
        let _ = tokio::time::timeout(LISTENS, listening).await;
        while clients.join_next().await.is_some() {}
    });
}

/// Who is told before it has asked finds the connection broken, and not the reason.
async fn tell(client: UnixStream, answer: String) {
    let mut client = BufReader::new(client.take(MAX_REQUEST));
    let mut request = Vec::new();
    if client.read_until(b'\n', &mut request).await.is_ok() {
        // A client that has gone away does not want to know.
        let _ = client.get_mut().get_mut().write_all(answer.as_bytes()).await;
    }
}
