//! Killing and restarting: what adminengine-server.md says of a stopped, killed or hung server.

use std::time::{Duration, Instant};

use adminengine_dev::{DevServer, Fault, Latency, Options};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::socket::{Frame, Socket};
use crate::support::{Bench, PUSH, eventually, new_id, user};

#[tokio::test]
async fn a_stopped_server_closes_its_sockets_at_once_and_frees_its_port() {
    let mut bench = Bench::start();
    let addr = bench.server.addr();
    for round in 0..40 {
        let mut socket = Socket::joined(&bench).await;
        assert_eq!(bench.pulled_users().await.len(), round);
        assert_eq!(bench.push(json!({ "end_user": [user(&new_id())] })).await.status, 200);
        let begun = Instant::now();
        bench.server = bench.server.restart().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "a restart took {:?}", begun.elapsed());
        assert_eq!(bench.server.addr(), addr);
        while let Frame::Text(_) = socket.frame().await {}
    }
    assert!(bench.world.sockets().is_empty());
}

#[tokio::test]
async fn a_stopped_server_closes_idle_and_busy_connections() {
    let bench = Bench::start();
    let (addr, world) = (bench.server.addr(), bench.world.clone());
    world.faults().next(1, Fault::NeverAnswer);
    let mut connections = Vec::new();
    for request in
        ["", "GET /health HTTP/1.1\r\nhost: x\r\n\r\n", "POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"]
    {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        connections.push(tcp);
    }
    eventually("the request is in the log", || !world.requests().is_empty()).await;
    bench.server.stop();
    for mut tcp in connections {
        let ended = timeout(Duration::from_secs(1), tcp.read(&mut [0; 1])).await.expect("closed at once");
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_world_serves_one_server_at_a_time() {
    let bench = Bench::start();
    assert!(DevServer::start(Options::new(bench.world.clone())).is_err());
    bench.server.stop();
    DevServer::start(Options::new(bench.world)).unwrap();
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_push_leaves_a_prefix() {
    let bench = Bench::start();
    bench.world.adjust(|settings| settings.latency = Latency { row: Duration::from_millis(20), ..Latency::default() });
    let rows: Vec<_> = (0..50).map(|_| user(&new_id())).collect();
    let body = json!({ "changes": { "end_user": rows } });
    let stored = || bench.world.rows(&bench.tenant, "end_user").len();
    let killed = async {
        eventually("some rows are stored", || stored() >= 3).await;
    };
    tokio::select! {
        answer = bench.try_post(PUSH, &body) => panic!("answered too early: {answer:?}"),
        () = killed => {}
    }
    let world = bench.world.clone();
    bench.server.stop();
    let kept = world.rows(&bench.tenant, "end_user").len();
    assert!((3..50).contains(&kept), "{kept} rows");
    for (index, row) in rows.iter().enumerate() {
        let found = world.row(&bench.tenant, "end_user", row["id"].as_str().unwrap()).is_some();
        assert_eq!(found, index < kept, "row {index}");
    }
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_stop_the_server() {
    let bench = Bench::start();
    bench.world.adjust(|settings| settings.latency = Latency { row: Duration::from_millis(10), ..Latency::default() });
    let rows: Vec<_> = (0..20).map(|_| user(&new_id())).collect();
    let request =
        bench.http.post(bench.server.url() + PUSH).bearer_auth(&bench.token).json(&json!({ "changes": { "end_user": rows } }));
    assert!(request.timeout(Duration::from_millis(60)).send().await.unwrap_err().is_timeout());
    eventually("every row is stored", || bench.world.rows(&bench.tenant, "end_user").len() == 20).await;
}

#[tokio::test]
async fn a_hung_server_accepts_connections_and_says_nothing() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    bench.world.hang();
    let request = bench.http.get(bench.server.url() + "/health").timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    assert!(tokio::net::TcpStream::connect(bench.server.addr()).await.is_ok());
    socket.emit_bare("ping").await;
    bench.world.resume();
    assert_eq!(socket.event().await.0, "pong");
    assert_eq!(bench.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_hung_server_can_be_killed() {
    let bench = Bench::start();
    bench.world.hang();
    bench.server.stop();
}
