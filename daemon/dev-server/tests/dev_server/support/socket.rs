//! A socket.io client that shows every frame.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Bench, DEADLINE};

pub struct Socket {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The engine's opening packet.
    pub open: Value,
}

/// What came in.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// An engine.io text packet as it is.
    Text(String),
    /// A websocket close frame.
    Close,
    /// The end of the connection, in good order or not.
    End,
}

impl Socket {
    /// A websocket that has joined no namespace.
    pub async fn raw(bench: &Bench) -> Result<Self, tungstenite::Error> {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", bench.server.addr());
        let (ws, _) = timeout(DEADLINE, connect_async(url)).await.expect("a handshake in time")?;
        let mut socket = Self { ws, open: Value::Null };
        let Frame::Text(open) = socket.frame().await else { panic!("no opening packet") };
        socket.open = serde_json::from_str(&open[1..]).unwrap();
        Ok(socket)
    }

    /// Connected to the namespace `/`, with an auth payload.
    pub async fn connect(bench: &Bench) -> Self {
        let mut socket = Self::raw(bench).await.expect("a websocket");
        socket.send_text(&format!("40{}", json!({ "token": "any" }))).await;
        let Frame::Text(ack) = socket.frame().await else { panic!("no connect packet") };
        assert!(ack.starts_with("40{\"sid\":"), "{ack}");
        socket
    }

    /// In the room of the bench's tenant.
    pub async fn joined(bench: &Bench) -> Self {
        let mut socket = Self::connect(bench).await;
        socket.emit("authenticate", &json!({ "token": bench.token, "tenantId": bench.tenant })).await;
        assert_eq!(socket.event().await, ("authenticated".into(), json!({ "success": true })));
        socket
    }

    pub async fn send_text(&mut self, text: &str) {
        self.ws.send(Message::Text(text.into())).await.expect("a frame is sent");
    }

    pub async fn emit(&mut self, event: &str, argument: &Value) {
        self.send_text(&format!("42{}", json!([event, argument]))).await;
    }

    pub async fn emit_bare(&mut self, event: &str) {
        self.send_text(&format!("42{}", json!([event]))).await;
    }

    /// The next frame; pings of the engine are answered and passed over.
    pub async fn frame(&mut self) -> Frame {
        loop {
            match timeout(DEADLINE, self.ws.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) if text == "2" => self.send_text("3").await,
                Some(Ok(Message::Text(text))) => return Frame::Text(text),
                Some(Ok(Message::Close(_))) => return Frame::Close,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Frame::End,
            }
        }
    }

    /// The next frame as it is, the engine's pings included.
    pub async fn frame_unanswered(&mut self) -> Frame {
        match timeout(DEADLINE, self.ws.next()).await.expect("a frame in time") {
            Some(Ok(Message::Text(text))) => Frame::Text(text),
            Some(Ok(Message::Close(_))) => Frame::Close,
            Some(Ok(other)) => panic!("unexpected {other:?}"),
            Some(Err(_)) | None => Frame::End,
        }
    }

    /// The next event and its only argument.
    pub async fn event(&mut self) -> (String, Value) {
        let frame = self.frame().await;
        let Frame::Text(text) = frame else { panic!("{frame:?} in place of an event") };
        let parts: Vec<Value> = serde_json::from_str(text.strip_prefix("42").expect("an event")).unwrap();
        let [Value::String(name), argument] = parts.as_slice() else { panic!("not one argument: {text}") };
        (name.clone(), argument.clone())
    }

    /// The next `sync_notification`.
    pub async fn notification(&mut self) -> Value {
        let (event, argument) = self.event().await;
        assert_eq!(event, "sync_notification");
        argument
    }

    /// Every event up to the answer to a `ping` sent now; proves that nothing else was on its way.
    pub async fn drain(&mut self) -> Vec<(String, Value)> {
        self.emit_bare("ping").await;
        let mut events = Vec::new();
        loop {
            match self.event().await {
                (name, _) if name == "pong" => return events,
                event => events.push(event),
            }
        }
    }
}
