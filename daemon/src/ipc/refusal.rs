//! Telling a peer why it can't come in.

use std::time::Duration;

use aesync_protocol::Error;
use aesync_protocol::codec::{self, Id, Incoming, LineBuffer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::later::error_line;

/// How long the peer may take to say what it wants and to read the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of a request is read.
const MAX_REQUEST: usize = 64 * 1024;

/// Answers the peer's first request with the error and closes. The request is read first: a peer whose write fails never reads the reason.
pub(super) async fn refuse<T: AsyncRead + AsyncWrite + Unpin>(mut stream: T, error: Error) {
    // A peer that does not listen is not worth a line in the log.
    let _ = timeout(PATIENCE, async {
        let id = first_id(&mut stream).await;
        stream.write_all(&error_line(Some(&id), &error)).await?;
        stream.shutdown().await?;
        let mut rest = vec![0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    })
    .await;
}

/// The id of the first call; null when there is none that can be read.
async fn first_id<T: AsyncRead + Unpin>(stream: &mut T) -> Id {
    let mut lines = LineBuffer::new(MAX_REQUEST);
    let mut input = vec![0; 4096];
    loop {
        let count = timeout(PATIENCE / 2, stream.read(&mut input)).await.ok().and_then(Result::ok).unwrap_or(0);
        lines.feed(input.get(..count).unwrap_or_default());
        let line = if count == 0 { lines.finish() } else { lines.next_line() };
        match line {
            None if count > 0 => {}
            Some(Ok(line)) => return id_of(line),
            None | Some(Err(_)) => return Id::NULL,
        }
    }
}

fn id_of(line: &str) -> Id {
    match codec::parse(line) {
        Ok(Incoming::Single(call)) => call.id.unwrap_or(Id::NULL),
        Ok(Incoming::Batch(_)) => Id::NULL,
        Err(refused) => refused.id,
    }
}
