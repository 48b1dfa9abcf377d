//! Every method does what the contract says, in one sitting of a daemon.

use std::sync::{Arc, Mutex};

use adminengine_dev::{Fault, Route, Rule};
use aesync_protocol::OPENRPC;
use serde_json::{Value, json};

use crate::support::{Scene, status_where, synced};
use crate::wire::Wire;

/// Until the daemon, asked on the wire, has reached a goal.
async fn wait(wire: &mut Wire, goal: &str) -> Value {
    let waited = wire.ok("wait", json!({"for": goal, "timeoutMs": 30_000})).await;
    assert_eq!(waited["reached"], true, "{goal}: {waited}");
    waited["status"].clone()
}

fn is_timestamp(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == 24 && text.ends_with('Z') && text.parse::<aesync_protocol::Timestamp>().is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_anyone_may_ask_is_answered() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    let mut wire = Wire::open(&daemon).await;
    let hello = wire.ok("hello", json!({"client": {"name": "suite", "version": "1"}, "protocol": 1})).await;
    assert_eq!((&hello["server"]["name"], &hello["protocol"], &hello["protocols"]), (&json!("aesyncd"), &json!(1), &json!([1])));
    assert_eq!((&hello["role"], &hello["instance"]), (&json!("admin"), &json!("default")));
    assert!(is_timestamp(&wire.ok("ping", json!({})).await["time"]));
    let status = wait(&mut wire, "online").await;
    assert_eq!(status["server"]["link"], "online");
    wait(&mut wire, "synced").await;
    wait(&mut wire, "outboxEmpty").await;
    let late = wire.ok("wait", json!({"for": "seq", "seq": 1_000_000, "timeoutMs": 1})).await;
    assert_eq!(late["reached"], false, "a time-out is an answer");
    let status = wire.ok("status", json!({})).await;
    assert_eq!(
        (&status["status"], &status["auth"]["state"], &status["paused"]),
        (&json!("synced"), &json!("valid"), &json!(false))
    );
    let hello = wire.ok("hello", json!({"client": {"name": "suite", "version": "1"}, "protocol": 1})).await;
    assert!(hello["log"] == status["feed"]["log"] && hello["log"] != "", "{hello}");
    assert!(wire.ok("metrics", json!({})).await["text"].as_str().expect("text").contains("\n# TYPE "));
    let document: Value = serde_json::from_str(OPENRPC).expect("JSON");
    assert_eq!(wire.ok("rpc.discover", json!({})).await, document, "the checked-in document");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_pushed_pulled_listed_and_followed() {
    let scene = Scene::hurried();
    scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "a@example.com", "name": "Ada"})).expect("inserted");
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;

    let changes = json!({"end_user": [{"email": "b@example.com"}, {"email": "c@example.com"}]});
    let push = json!({"changes": changes, "requestId": "r1"});
    let queued = wire.ok("push", push.clone()).await;
    assert_eq!(queued["entries"].as_array().map(Vec::len), Some(2), "{queued}");
    let again = wire.ok("push", push).await;
    assert_eq!(again["entries"][0]["entry"], queued["entries"][0]["entry"], "the same requestId is the same push");
    let params = json!({"changes": {"end_user": [{"email": "d@example.com"}]}, "wait": "confirmed", "timeoutMs": 30_000});
    let confirmed = wire.ok("push", params).await;
    assert_eq!(
        (&confirmed["entries"][0]["state"], &confirmed["entries"][0]["verdict"]["kind"]),
        (&json!("confirmed"), &json!("accepted"))
    );

    let pulled = wire.ok("pull", json!({"entityTypes": ["end_user"], "full": true})).await;
    assert_eq!(pulled["types"]["end_user"]["received"], 4, "{pulled}");
    assert!(is_timestamp(&pulled["syncTimestamp"]));
    let pending = wire.ok("pullPending", json!({"entityTypes": ["end_user"]})).await;
    assert!(pending["data"]["end_user"].is_array(), "{pending}");
    let all = wire.ok("sync", json!({})).await;
    assert!(all["types"].get("end_user").is_some() && all["types"].get("interactions").is_some(), "{all}");
    let reconciled = wire.ok("reconcile", json!({"entityTypes": ["end_user"]})).await;
    assert_eq!(reconciled["types"]["end_user"], json!({"listed": 4, "added": 0, "deleted": 0, "held": 0}));

    let first = wire.ok("records.list", json!({"entityType": "end_user", "limit": 3})).await;
    let ids: Vec<&str> =
        first["records"].as_array().expect("rows").iter().filter_map(|row| row["record"]["id"].as_str()).collect();
    assert!(ids.len() == 3 && ids.is_sorted() && first["next"] == *ids[2], "{first}");
    let rest = wire.ok("records.list", json!({"entityType": "end_user", "after": first["next"]})).await;
    assert_eq!((rest["records"].as_array().map(Vec::len), rest.get("next")), (Some(1), None));
    let found = wire.ok("records.get", json!({"entityType": "end_user", "id": ids[0].to_uppercase()})).await;
    assert_eq!((&found["record"]["id"], &found["pending"], found.get("base")), (&json!(ids[0]), &json!(false), None));

    let page = wire.ok("changes", json!({"since": 0, "limit": 2})).await;
    assert_eq!(
        (page["changes"].as_array().map(Vec::len), &page["next"], &page["changes"][0]["seq"]),
        (Some(2), &json!(2), &json!(1))
    );
    let (log, last) = (page["log"].clone(), page["lastSeq"].as_u64().expect("a position"));
    let waiting = json!({"since": last, "log": log, "waitMs": 30_000, "entityTypes": ["end_user"]});
    let mut other = Wire::open(&daemon).await;
    let (next, _) = tokio::join!(
        wire.ok("changes", waiting),
        other.ok("push", json!({"changes": {"end_user": [{"email": "e@example.com"}]}}))
    );
    assert_eq!((&next["changes"][0]["origin"], &next["changes"][0]["pending"]), (&json!("local"), &json!(true)), "{next}");
    wait(&mut wire, "outboxEmpty").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbox_and_its_conflicts_are_put_in_order() {
    let scene = Scene::hurried();
    let device = scene.world.device(&scene.tenant);
    let row = device.insert("end_user", &json!({"email": "taken@example.com", "name": "Server"})).expect("inserted");
    let daemon = scene.start().await;
    synced(&daemon).await;
    let mut wire = Wire::open(&daemon).await;

    let refused = json!({"changes": {"end_user": [{"email": "taken@example.com"}]}, "wait": "acked"});
    let entry = wire.ok("push", refused.clone()).await["entries"][0].clone();
    assert_eq!(entry["state"], "quarantined", "{entry}");
    let listed = wire.ok("outbox.list", json!({"state": "quarantined", "entityType": "end_user", "limit": 1})).await;
    assert_eq!((&listed["entries"][0]["entry"], &listed["entries"][0]["op"]), (&entry["entry"], &json!("create")), "{listed}");
    assert_eq!(wire.ok("outbox.retry", json!({"entries": [entry["entry"]]})).await, json!({"count": 1}));
    status_where(&daemon, "refused once more", |status| status.outbox.quarantined == 1 && status.outbox.pending == 0).await;
    let mut data = listed["entries"][0]["data"].clone();
    data["email"] = json!("free@example.com");
    let edited = wire.ok("outbox.edit", json!({"entry": entry["entry"], "data": data})).await;
    assert_eq!((&edited["entry"], &edited["data"]["email"]), (&entry["entry"], &json!("free@example.com")), "{edited}");
    wait(&mut wire, "outboxEmpty").await;
    assert_eq!(wire.ok("push", refused).await["entries"][0]["state"], "quarantined");
    assert_eq!(wire.ok("outbox.discard", json!({"all": true})).await, json!({"count": 1}));

    let away = scene.world.faults().add(Rule::new(Fault::TooManyRequests { retry_after: Some("1".to_owned()) }).on(Route::Push));
    let change = json!({"id": row["id"], "email": "taken@example.com", "name": "Local"});
    wire.ok("push", json!({"changes": {"end_user": [change]}})).await;
    device.update("end_user", row["id"].as_str().expect("an id"), &json!({"name": "Newer"})).expect("there");
    wire.ok("pull", json!({})).await;
    let found = wire.ok("records.get", json!({"entityType": "end_user", "id": row["id"]})).await;
    assert_eq!(
        (&found["record"]["name"], &found["base"]["name"], &found["pending"]),
        (&json!("Local"), &json!("Newer"), &json!(true))
    );
    assert!(scene.world.faults().remove(away));
    for keep in ["local", "server"] {
        status_where(&daemon, "a conflict", |status| status.outbox.conflicts == 1 && status.outbox.pending == 0).await;
        let conflicts = wire.ok("conflicts.list", json!({})).await["conflicts"].clone();
        assert_eq!(
            (&conflicts[0]["sent"]["name"], &conflicts[0]["server"]["name"]),
            (&json!("Local"), &json!("Newer")),
            "{conflicts}"
        );
        assert_eq!(wire.ok("conflicts.resolve", json!({"entry": conflicts[0]["entry"], "keep": keep})).await, json!({}));
    }
    assert_eq!(wire.ok("conflicts.list", json!({})).await, json!({"conflicts": []}));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_administers_it_signs_in_pauses_reloads_looks_around_and_stops_it() {
    let mut scene = Scene::hurried();
    scene.config.auth.token_file = None;
    let config = Arc::new(Mutex::new(scene.config.clone()));
    let mut daemon = scene.start_reloading(&config).await;
    let mut wire = Wire::open(&daemon).await;
    let signed_in = wire.ok("auth.login", json!({"email": "ada@example.com", "password": "correct horse"})).await;
    assert_eq!(signed_in["tenantId"], scene.tenant, "{signed_in}");
    wait(&mut wire, "synced").await;
    assert_eq!(wire.ok("auth.logout", json!({})).await, json!({}));
    status_where(&daemon, "signed out", |status| status.auth.state == aesync_protocol::status::AuthWord::None).await;
    let token = scene.world.token(&scene.tenant);
    let signed_in = wire.ok("auth.setToken", json!({"token": token, "tenantId": scene.tenant})).await;
    assert!(is_timestamp(&signed_in["expiresAt"]), "{signed_in}");
    wait(&mut wire, "online").await;

    assert_eq!(wire.ok("pause", json!({})).await, json!({}));
    let status = wire.ok("status", json!({})).await;
    assert_eq!((&status["paused"], &status["reason"]), (&json!(true), &json!("paused")));
    daemon.stop().await;
    daemon = scene.start_reloading(&config).await;
    let mut wire = Wire::open(&daemon).await;
    assert_eq!(wire.ok("status", json!({})).await["paused"], true, "paused survives a restart");
    assert_eq!(wire.ok("resume", json!({})).await, json!({}));
    wait(&mut wire, "online").await;

    let shown = wire.ok("config.get", json!({})).await;
    assert_eq!(shown["server"]["url"].as_str(), scene.config.server.url.as_deref());
    {
        let mut config = config.lock().expect("the configuration");
        config.access.observers.push("12345".to_owned());
        config.ipc.max_connections += 1;
    }
    let reloaded = wire.ok("config.reload", json!({})).await;
    assert_eq!(reloaded, json!({"changed": ["access.observers"], "restartNeeded": ["ipc.max_connections"]}));

    let mut other = Wire::open(&daemon).await;
    other.ok("hello", json!({"client": {"name": "other", "version": "2"}, "protocol": 1})).await;
    other.ok("subscribe", json!({"channels": ["change"], "entityTypes": ["end_user"]})).await;
    let clients = wire.ok("clients", json!({})).await["clients"].clone();
    assert_eq!(clients.as_array().map(Vec::len), Some(2), "{clients}");
    assert_eq!((&clients[0]["connection"], &clients[0]["pid"]), (&json!(1), &json!(std::process::id())));
    assert!(is_timestamp(&clients[1]["connectedAt"]) && clients[0].get("subscription").is_none(), "{clients}");
    assert_eq!(
        (&clients[1]["client"]["name"], &clients[1]["role"], &clients[1]["requests"]),
        (&json!("other"), &json!("admin"), &json!(2))
    );
    assert_eq!((&clients[1]["subscription"]["channels"], &clients[1]["subscription"]["behind"]), (&json!(["change"]), &json!(0)));
    assert_eq!(other.ok("unsubscribe", json!({})).await, json!({}));

    let figures = wire.ok("store.figures", json!({})).await;
    assert!(figures["databaseBytes"].as_u64() > Some(0) && figures["journalBytes"].as_u64() > Some(0), "{figures}");
    assert!(is_timestamp(&figures["lastSyncAt"]), "{figures}");
    assert_eq!((&figures["damagedBytes"], &figures["rewriting"]), (&json!(0), &json!(false)));
    let mut parts = Vec::new();
    let mut params = json!({});
    loop {
        let slice = wire.ok("store.check", params).await;
        assert_eq!(slice["damaged"], json!([]), "{slice}");
        parts.push((slice["part"].clone(), slice["values"].as_u64() > Some(0)));
        let Some(next) = slice.get("next") else { break };
        params = json!({"after": next});
    }
    parts.dedup();
    for part in ["meta", "journal"] {
        assert!(parts.contains(&(json!(part), true)), "{part}: {parts:?}");
    }
    assert_eq!(parts.last(), Some(&(json!("journal"), true)));
    assert_eq!(wire.err("store.check", json!({"after": "nowhere"})).await.code, -32602);

    assert_eq!(wire.ok("shutdown", json!({})).await, json!({}));
    assert_eq!(wire.line().await, None, "a stop closes the connections");
    daemon.stopped().await.expect("it was asked to");
    daemon.stop().await;
    assert!(!scene.socket().exists());
}
