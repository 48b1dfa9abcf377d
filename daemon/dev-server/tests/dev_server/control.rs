//! The control surface and the binary, from outside as a script uses them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::socket::Socket;
use crate::support::{self, Answer, Bench, EPOCH, new_id, read, user};

async fn delete(bench: &Bench, path: &str) -> u16 {
    bench.http.delete(bench.server.url() + path).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn rows_are_edited_as_another_device() {
    let bench = Bench::start();
    let mut socket = Socket::joined(&bench).await;
    let id = new_id();
    let edit = async |edit: &str, more: Value| -> Answer {
        let mut body = json!({ "edit": edit, "tenant": bench.tenant, "entityType": "end_user", "id": id });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.post("/__dev/rows", &body).await
    };
    assert_eq!(edit("insert", json!({ "row": user(&id), "updatedAt": "2024-01-01T00:00:00Z" })).await.status, 200);
    assert_eq!(socket.notification().await["type"], "data_available");
    let row = &bench.pull(EPOCH).await.body["data"]["end_user"][0];
    assert_eq!(row["updatedAt"], "2024-01-01T00:00:00.000Z");
    assert_eq!(edit("insert", json!({ "row": user(&id) })).await.status, 409);
    assert_eq!(edit("update", json!({ "row": { "name": "Eve" }, "quietly": true })).await.body["name"], "Eve");
    assert_eq!(edit("delete", json!({})).await.body["is_deleted"], 1);
    assert_eq!(socket.notification().await["data"]["is_deleted"], 1, "the update was quiet");
    let path = format!("/__dev/rows/{}/end_user", bench.tenant);
    assert_eq!(bench.get(&path).await.body.as_array().unwrap().len(), 1);
    assert_eq!(edit("erase", json!({})).await.body, json!({ "erased": true }));
    assert_eq!(bench.get(&path).await.body, json!([]));
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let bench = Bench::start();
    let rule = json!({ "fault": "fail", "failure": "terminating", "routes": ["pull"], "times": 1 });
    assert_eq!(bench.post("/__dev/faults", &rule).await.status, 200);
    let id = bench.post("/__dev/faults", &json!({ "fault": "swallow_error" })).await.body["id"].clone();
    assert_eq!(bench.get("/__dev/state").await.body["faults"].as_array().unwrap().len(), 2);
    assert_eq!(bench.pull(EPOCH).await.status, 500);
    assert_eq!(delete(&bench, &format!("/__dev/faults/{id}")).await, 204);
    assert!(bench.world.faults().active().is_empty());
    bench.post("/__dev/faults", &json!({ "fault": "captive_portal" })).await;
    assert_eq!(delete(&bench, "/__dev/faults").await, 204, "out of the reach of faults");
    assert_eq!(bench.pull(EPOCH).await.status, 200);
    assert_eq!(bench.post("/__dev/faults", &json!({ "fault": "no_such_fault" })).await.status, 422);
}

#[tokio::test]
async fn customers_tokens_settings_sockets_notifications_and_requests() {
    let bench = Bench::start();
    let added = bench.post("/__dev/customers", &json!({ "email": "b@example.com", "password": "pw" })).await.body;
    let login = json!({ "email": "b@example.com", "password": "pw" });
    assert_eq!(bench.post("/api/customers/login", &login).await.body["data"]["customer"]["id"], added["tenant"]);
    let token =
        bench.post("/__dev/tokens", &json!({ "tenant": bench.tenant, "lifetimeSeconds": -5 })).await.body["token"].clone();
    let request = bench.http.post(bench.server.url() + support::PULL).bearer_auth(token.as_str().unwrap()).json(&json!({}));
    assert_eq!(read(request.send().await.unwrap()).await.unwrap().status, 401);

    let settings = json!({ "clockOffsetMs": 86_400_000, "realistic": true });
    assert_eq!(bench.post("/__dev/settings", &settings).await.status, 204);
    assert_eq!(bench.world.settings().clock_offset_ms, 86_400_000);

    let mut socket = Socket::joined(&bench).await;
    bench.post("/__dev/notifications", &json!({ "tenant": bench.tenant, "argument": { "type": "odd" }, "times": 2 })).await;
    assert_eq!((socket.notification().await, socket.notification().await), (json!({ "type": "odd" }), json!({ "type": "odd" })));
    assert_eq!(bench.get("/__dev/state").await.body["sockets"][0]["tenant"], json!(bench.tenant));
    assert_eq!(bench.post("/__dev/sockets", &json!({ "end": "cut" })).await.body, json!({ "ended": 1 }));

    let log = bench.get("/__dev/requests?since=1").await.body;
    assert_eq!(log.as_array().unwrap().len(), 1);
    assert_eq!((&log[0]["route"], &log[0]["status"]), (&json!("pull"), &json!(401)));
}

#[tokio::test]
async fn a_hang_over_http_ends_by_itself() {
    let bench = Bench::start();
    assert_eq!(bench.post("/__dev/hang", &json!({ "ms": 300 })).await.status, 202);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let begun = std::time::Instant::now();
    assert_eq!(bench.get("/health").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn the_binary_says_where_it_is_and_serves_its_seed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adminengine-dev"));
    command.args(["--listen", "127.0.0.1:0", "--seed", "3", "--email", "me@example.com", "--password", "pw"]);
    command.args(["--fault", r#"{"fault":"bad_gateway","routes":["pull"],"times":1}"#]);
    let mut child = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut said = std::collections::HashMap::new();
    for line in BufReader::new(child.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let (key, value) = line.split_once(": ").unwrap();
        said.insert(key.to_owned(), value.to_owned());
        if key == "ready" {
            break;
        }
    }
    let http = reqwest::Client::new();
    let pull = async || {
        let request = http.post(format!("{}{}", said["url"], support::PULL)).bearer_auth(&said["token"]);
        read(request.json(&json!({ "lastSyncTimestamp": EPOCH })).send().await.unwrap()).await.unwrap()
    };
    assert_eq!(pull().await.status, 502);
    assert_eq!(pull().await.body["data"]["end_user"].as_array().unwrap().len(), 3);
    let login = json!({ "email": "me@example.com", "password": "pw" });
    let answer = http.post(format!("{}/api/customers/login", said["url"])).json(&login).send().await.unwrap();
    assert_eq!(read(answer).await.unwrap().body["data"]["customer"]["id"], json!(said["tenant"]));
}
