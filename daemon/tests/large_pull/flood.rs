//! A server whose answer to a pull is made row by row while it is sent: only what the client has not taken yet is anywhere in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adminengine_dev::Stamp;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::Value;

/// Between the stamps of two rows, in microseconds: the overlap of the next pull takes in few of them.
const APART: i64 = 1_000_000;
/// The stamp of the first row of the first edition.
const FIRST: i64 = 1_700_000_000_000_000;

/// Every row of the table, as of one edition: a new edition changes all of them.
pub(crate) struct Flood {
    /// Rows of the one type.
    pub(crate) rows: u64,
    /// About the size of one row as JSON, in bytes.
    pub(crate) row_bytes: usize,
    edition: AtomicU64,
    sent: AtomicU64,
}

impl Flood {
    pub(crate) fn new(rows: u64, row_bytes: usize) -> Arc<Self> {
        Arc::new(Self { rows, row_bytes, edition: AtomicU64::new(0), sent: AtomicU64::new(0) })
    }

    fn stamp(&self, number: u64, edition: u64) -> Stamp {
        let place = i64::try_from(edition * self.rows + number).expect("few");
        Stamp::from_micros(FIRST + place * APART)
    }

    fn row(&self, number: u64, edition: u64) -> String {
        let (id, name, stamp) = (id(number), name(number, edition), self.stamp(number, edition));
        let address = noise(number ^ (edition << 40), self.row_bytes);
        format!(
            r#"{{"id":"{id}","email":"{number}@example.com","name":"{name}","address":"{address}","is_deleted":0,"createdAt":"{stamp}","updatedAt":"{stamp}"}}"#
        )
    }

    /// Serves on the runtime that it is called on.
    pub(crate) async fn serve(self: &Arc<Self>) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let routes = Router::new().route("/api/client/sync/pull", post(pull)).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        addr
    }

    /// Changes every row.
    #[allow(dead_code, reason = "the benchmark pulls once")]
    pub(crate) fn rewrite(&self) {
        self.edition.fetch_add(1, Ordering::SeqCst);
    }

    /// Bytes of answers handed to the connection since the last call.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.swap(0, Ordering::SeqCst)
    }
}

pub(crate) fn id(number: u64) -> String {
    // Spread as UUIDs are.
    let spread = u128::from(number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    uuid::Builder::from_random_bytes(spread.to_be_bytes()).into_uuid().to_string()
}

/// What a row says of itself.
pub(crate) fn name(number: u64, edition: u64) -> String {
    format!("row {number} of edition {edition}")
}

/// Text without a pattern, so that nothing is saved by compressing it or by keeping one row for all.
fn noise(seed: u64, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend((0..10).map(|letter| char::from(LETTERS[usize::try_from((state >> (letter * 6)) & 63).expect("small")])));
    }
    text
}

/// Newest first, as the server does it.
async fn pull(State(flood): State<Arc<Flood>>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let since = Stamp::parse(asked["lastSyncTimestamp"].as_str().expect("a stamp")).expect("a stamp");
    let edition = flood.edition.load(Ordering::SeqCst);
    let table = Arc::clone(&flood);
    let newer = (0..flood.rows).rev().filter(move |number| table.stamp(*number, edition) > since);
    let table = Arc::clone(&flood);
    let rows = newer.enumerate().map(move |(at, number)| {
        let comma = if at == 0 { "" } else { "," };
        format!("{comma}{}", table.row(number, edition))
    });
    let head = std::iter::once(r#"{"success":true,"data":{"end_user":["#.to_owned());
    let tail = std::iter::once(format!(r#"]}},"syncTimestamp":"{}"}}"#, flood.stamp(flood.rows, edition)));
    let parts = head.chain(rows).chain(tail).map(move |part| {
        flood.sent.fetch_add(part.len() as u64, Ordering::SeqCst);
        Ok::<_, std::convert::Infallible>(part)
    });
    ([("content-type", "application/json")], Body::from_stream(stream::iter(parts))).into_response()
}
