//! A pull: the body goes through in chunks, to a thread that parses it, and comes out as pages.
//!
//! Every step waits for the next one, so that a slow commit slows the server down through TCP, and the memory stays at a few chunks and
//! pages however large the answer is.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use aesync_protocol::Timestamp;
use bytes::{Buf, Bytes};
use reqwest::Response;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Sink;
use super::exchange::{Call, Exchange};
use crate::engine::input::{Failure, FailureKind, RestEvent};
use crate::server::wire::listing::{self, Page, PageLimits};
use crate::server::wire::secret::SecretFields;

/// Chunks between the network and the parser; the HTTP client makes them at most some 400 KB each.
const CHUNKS: usize = 4;

pub(super) async fn run(
    exchange: &Exchange,
    call: &Call,
    asked: Vec<String>,
    since: Timestamp,
    secrets: Arc<SecretFields>,
    sink: &Sink,
) -> Result<RestEvent, Failure> {
    let timeouts = exchange.timeouts;
    let patience = if since <= Timestamp::EPOCH { timeouts.full_pull_headers } else { timeouts.pull_headers };
    let response = match timeout(patience, exchange.accepted(call)).await {
        Ok(accepted) => accepted?,
        Err(_) => return Err(call.timed_out("no answer came", patience)),
    };

    let (chunk_in, chunks) = mpsc::channel(CHUNKS);
    // The page that is being made is the parser's; none waits in between.
    let (page_in, pages) = mpsc::channel(1);
    let limits =
        PageLimits { rows: exchange.limits.page_rows, bytes: exchange.limits.page_bytes, row_bytes: exchange.limits.row_bytes };
    // The thread ends by itself as soon as either channel is closed, which dropping this future does.
    let parser = tokio::task::spawn_blocking(move || {
        let body = ChunkReader { chunks, current: Bytes::new() };
        listing::read(body, &asked, &secrets, limits, &mut |page| page_in.blocking_send(page).is_ok())
    });
    // A body that broke off is also a listing that was cut short: the network's reason comes first.
    tokio::try_join!(feed(call, response, chunk_in, timeouts.silence), deliver(call, pages, sink, timeouts.page_patience))?;
    let listed = match parser.await {
        Ok(parsed) => parsed.map_err(|error| call.listing(&error))?,
        Err(_) => return Err(call.failure(FailureKind::Broken, "the parser of the answer stopped; report this as a defect")),
    };
    exchange.finished();
    Ok(RestEvent::PullDone { sync_timestamp: listed.sync_timestamp, listed: listed.types })
}

/// From the network to the parser. Waiting for the parser is not the server's silence, so only the network has a deadline here.
async fn feed(call: &Call, mut response: Response, chunks: mpsc::Sender<Bytes>, silence: Duration) -> Result<(), Failure> {
    loop {
        let chunk = tokio::select! {
            chunk = timeout(silence, response.chunk()) => chunk,
            // The parser has seen enough, and says why.
            () = chunks.closed() => return Ok(()),
        };
        match chunk {
            Err(_) => return Err(call.timed_out("nothing more of the answer came", silence)),
            Ok(Err(error)) => return Err(call.client(&error)),
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(chunk))) => {
                if chunks.send(chunk).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// From the parser to the engine, as fast as pages are committed.
async fn deliver(call: &Call, mut pages: mpsc::Receiver<Page>, sink: &Sink, patience: Duration) -> Result<(), Failure> {
    while let Some(Page { entity_type, rows }) = pages.recv().await {
        match timeout(patience, sink.pages.acquire()).await {
            Ok(Ok(permit)) => permit.forget(),
            _ => return Err(call.failure(FailureKind::Broken, "the rows were not stored in time")),
        }
        if !sink.report(RestEvent::Rows { entity_type, rows }).await {
            return Err(call.failure(FailureKind::Broken, "nobody takes the rows"));
        }
    }
    Ok(())
}

/// The chunks as one stream of bytes, for a thread that may block.
struct ChunkReader {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        if let Some(target) = buffer.get_mut(..length) {
            self.current.copy_to_slice(target);
        }
        Ok(length)
    }
}
