//! Every method does what the contract says, in one sitting of a daemon.

use std::time::Instant;

use aesync_protocol::OPENRPC;
use serde_json::{Value, json};

use crate::house::{House, PATIENCE, own, own_signed_out, status_where, wait};
use crate::server::PASSWORD;

fn is_timestamp(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == 24 && text.ends_with('Z') && text.parse::<aesync_protocol::Timestamp>().is_ok())
}

#[test]
fn what_anyone_may_ask_is_answered() {
    let house = House::open();
    let mut wire = house.connect();
    let hello = wire.ok("hello", json!({"client": {"name": "suite", "version": "1"}, "protocol": 1}));
    assert_eq!((&hello["server"]["name"], &hello["protocol"], &hello["protocols"]), (&json!("aesyncd"), &json!(1), &json!([1])));
    assert!(is_timestamp(&wire.ok("ping", json!({}))["time"]));
    let late = wire.ok("wait", json!({"for": "seq", "seq": 1_u64 << 50, "timeoutMs": 1}));
    assert_eq!(late["reached"], false, "a time-out is an answer");
    if let House::Own(_) = &house {
        assert_eq!((&hello["role"], &hello["instance"]), (&json!("admin"), &json!("default")));
        let status = wait(&mut wire, "online");
        assert_eq!(status["server"]["link"], "online");
        wait(&mut wire, "synced");
        wait(&mut wire, "outboxEmpty");
        let status = wire.ok("status", json!({}));
        assert_eq!(
            (&status["status"], &status["auth"]["state"], &status["paused"]),
            (&json!("synced"), &json!("valid"), &json!(false))
        );
    }
    let status = wire.ok("status", json!({}));
    let hello = wire.ok("hello", json!({"client": {"name": "suite", "version": "1"}, "protocol": 1}));
    assert!(hello["log"] == status["feed"]["log"], "{hello}");
    assert!(wire.ok("metrics", json!({}))["text"].as_str().expect("text").contains("\n# TYPE "));
    let document: Value = serde_json::from_str(OPENRPC).expect("JSON");
    assert_eq!(wire.ok("rpc.discover", json!({})), document, "the checked-in document");
}

#[test]
fn records_are_pushed_pulled_listed_and_followed() {
    let Some(house) = own(&[]) else { return };
    house.server().edit("insert", None, &json!({"email": "a@example.com", "name": "Ada"}));
    let mut wire = house.connect();
    status_where(&mut wire, "the row", |status| status["types"]["end_user"]["records"] == 1);
    wait(&mut wire, "synced");

    let changes = json!({"end_user": [{"email": "b@example.com"}, {"email": "c@example.com"}]});
    let push = json!({"changes": changes, "requestId": "r1"});
    let queued = wire.ok("push", push.clone());
    assert_eq!(queued["entries"].as_array().map(Vec::len), Some(2), "{queued}");
    let again = wire.ok("push", push);
    assert_eq!(again["entries"][0]["entry"], queued["entries"][0]["entry"], "the same requestId is the same push");
    let params = json!({"changes": {"end_user": [{"email": "d@example.com"}]}, "wait": "confirmed", "timeoutMs": 30_000});
    let confirmed = wire.ok("push", params);
    assert_eq!(
        (&confirmed["entries"][0]["state"], &confirmed["entries"][0]["verdict"]["kind"]),
        (&json!("confirmed"), &json!("accepted"))
    );

    let pulled = wire.ok("pull", json!({"entityTypes": ["end_user"], "full": true}));
    assert_eq!(pulled["types"]["end_user"]["received"], 4, "{pulled}");
    assert!(is_timestamp(&pulled["syncTimestamp"]));
    let pending = wire.ok("pullPending", json!({"entityTypes": ["end_user"]}));
    assert!(pending["data"]["end_user"].is_array(), "{pending}");
    let all = wire.ok("sync", json!({}));
    assert!(all["types"].get("end_user").is_some() && all["types"].get("interactions").is_some(), "{all}");
    let reconciled = wire.ok("reconcile", json!({"entityTypes": ["end_user"]}));
    assert_eq!(reconciled["types"]["end_user"], json!({"listed": 4, "added": 0, "deleted": 0, "held": 0}));
    assert_eq!(wire.ok("attention.acknowledge", json!({"codes": ["nothing"]})), json!({"count": 0}));

    let first = wire.ok("records.list", json!({"entityType": "end_user", "limit": 3}));
    let ids: Vec<&str> =
        first["records"].as_array().expect("rows").iter().filter_map(|row| row["record"]["id"].as_str()).collect();
    assert!(ids.len() == 3 && ids.is_sorted() && first["next"] == *ids[2], "{first}");
    let rest = wire.ok("records.list", json!({"entityType": "end_user", "after": first["next"]}));
    assert_eq!((rest["records"].as_array().map(Vec::len), rest.get("next")), (Some(1), None));
    let found = wire.ok("records.get", json!({"entityType": "end_user", "id": ids[0].to_uppercase()}));
    assert_eq!((&found["record"]["id"], &found["pending"], found.get("base")), (&json!(ids[0]), &json!(false), None));

    let page = wire.ok("changes", json!({"since": 0, "limit": 2}));
    assert_eq!(
        (page["changes"].as_array().map(Vec::len), &page["next"], &page["changes"][0]["seq"]),
        (Some(2), &json!(2), &json!(1))
    );
    let (log, last) = (page["log"].clone(), page["lastSeq"].as_u64().expect("a position"));
    let waiting = json!({"since": last, "log": log, "waitMs": 30_000, "entityTypes": ["end_user"]});
    let mut other = house.connect();
    wire.ask("changes", &waiting);
    other.ok("push", json!({"changes": {"end_user": [{"email": "e@example.com"}]}}));
    let next = wire.ok_of("changes");
    assert_eq!((&next["changes"][0]["origin"], &next["changes"][0]["pending"]), (&json!("local"), &json!(true)), "{next}");
    wait(&mut wire, "outboxEmpty");
}

#[test]
fn the_outbox_and_its_conflicts_are_put_in_order() {
    let Some(house) = own(&[]) else { return };
    let row = house.server().edit("insert", None, &json!({"email": "taken@example.com", "name": "Server"}));
    let mut wire = house.connect();
    status_where(&mut wire, "the row", |status| status["types"]["end_user"]["records"] == 1);
    wait(&mut wire, "synced");

    let refused = json!({"changes": {"end_user": [{"email": "taken@example.com"}]}, "wait": "acked"});
    let entry = wire.ok("push", refused.clone())["entries"][0].clone();
    assert_eq!(entry["state"], "quarantined", "{entry}");
    let listed = wire.ok("outbox.list", json!({"state": "quarantined", "entityType": "end_user", "limit": 1}));
    assert_eq!((&listed["entries"][0]["entry"], &listed["entries"][0]["op"]), (&entry["entry"], &json!("create")), "{listed}");
    assert_eq!(wire.ok("outbox.retry", json!({"entries": [entry["entry"]]})), json!({"count": 1}));
    status_where(&mut wire, "refused once more", |status| {
        status["outbox"]["quarantined"] == 1 && status["outbox"]["pending"] == 0
    });
    let mut data = listed["entries"][0]["data"].clone();
    data["email"] = json!("free@example.com");
    let edited = wire.ok("outbox.edit", json!({"entry": entry["entry"], "data": data}));
    assert_eq!((&edited["entry"], &edited["data"]["email"]), (&entry["entry"], &json!("free@example.com")), "{edited}");
    wait(&mut wire, "outboxEmpty");
    assert_eq!(wire.ok("push", refused)["entries"][0]["state"], "quarantined");
    assert_eq!(wire.ok("outbox.discard", json!({"all": true})), json!({"count": 1}));

    let away = house.server().fault(&json!({"fault": "too_many_requests", "retry_after": "1", "routes": ["push"]}));
    let change = json!({"id": row["id"], "email": "taken@example.com", "name": "Local"});
    wire.ok("push", json!({"changes": {"end_user": [change]}}));
    house.server().edit("update", row["id"].as_str(), &json!({"name": "Newer"}));
    wire.ok("pull", json!({}));
    let found = wire.ok("records.get", json!({"entityType": "end_user", "id": row["id"]}));
    assert_eq!(
        (&found["record"]["name"], &found["base"]["name"], &found["pending"]),
        (&json!("Local"), &json!("Newer"), &json!(true))
    );
    house.server().mend(&away);
    for keep in ["local", "server"] {
        status_where(&mut wire, "a conflict", |status| status["outbox"]["conflicts"] == 1 && status["outbox"]["pending"] == 0);
        let conflicts = wire.ok("conflicts.list", json!({}))["conflicts"].clone();
        assert_eq!(
            (&conflicts[0]["sent"]["name"], &conflicts[0]["server"]["name"]),
            (&json!("Local"), &json!("Newer")),
            "{conflicts}"
        );
        assert_eq!(wire.ok("conflicts.resolve", json!({"entry": conflicts[0]["entry"], "keep": keep})), json!({}));
    }
    assert_eq!(wire.ok("conflicts.list", json!({})), json!({"conflicts": []}));
}

#[test]
fn whoever_administers_it_signs_in_pauses_reloads_looks_around_and_stops_it() {
    let Some(mut house) = own_signed_out() else { return };
    let mut wire = house.connect();
    let signed_in = wire.ok("auth.login", json!({"email": "ada@example.com", "password": PASSWORD}));
    assert_eq!(signed_in["tenantId"], house.server().tenant, "{signed_in}");
    wait(&mut wire, "synced");
    assert_eq!(wire.ok("auth.logout", json!({})), json!({}));
    status_where(&mut wire, "signed out", |status| status["auth"]["state"] == "none");
    let (token, tenant) = (house.server().token.clone(), house.server().tenant.clone());
    let signed_in = wire.ok("auth.setToken", json!({"token": token, "tenantId": tenant}));
    assert!(is_timestamp(&signed_in["expiresAt"]), "{signed_in}");
    wait(&mut wire, "online");

    assert_eq!(wire.ok("pause", json!({})), json!({}));
    let status = wire.ok("status", json!({}));
    assert_eq!((&status["paused"], &status["reason"]), (&json!(true), &json!("paused")));
    house.stop_daemon();
    house.start_daemon();
    let mut wire = house.connect();
    assert_eq!(wire.ok("status", json!({}))["paused"], true, "paused survives a restart");
    assert_eq!(wire.ok("resume", json!({})), json!({}));
    wait(&mut wire, "online");

    let shown = wire.ok("config.get", json!({}));
    assert_eq!(shown["server"]["url"].as_str(), Some(house.server().url.as_str()));
    house.configure("[access]\nobservers = [\"12345\"]\n[ipc]\nmax_connections = 1025\n");
    let reloaded = wire.ok("config.reload", json!({}));
    assert_eq!(reloaded, json!({"changed": ["access.observers"], "restartNeeded": ["ipc.max_connections"]}));

    let mut other = house.connect();
    other.ok("hello", json!({"client": {"name": "other", "version": "2"}, "protocol": 1}));
    other.ok("subscribe", json!({"channels": ["change"], "entityTypes": ["end_user"]}));
    // The connection that only looked whether the daemon listens is gone once the daemon has seen it go.
    let start = Instant::now();
    let clients = loop {
        let clients = wire.ok("clients", json!({}))["clients"].clone();
        if clients.as_array().map(Vec::len) == Some(2) {
            break clients;
        }
        assert!(start.elapsed() < PATIENCE, "{clients}");
    };
    assert_eq!(clients[0]["pid"], std::process::id());
    assert!(is_timestamp(&clients[1]["connectedAt"]) && clients[0].get("subscription").is_none(), "{clients}");
    assert_eq!(
        (&clients[1]["client"]["name"], &clients[1]["role"], &clients[1]["requests"]),
        (&json!("other"), &json!("admin"), &json!(2))
    );
    assert_eq!((&clients[1]["subscription"]["channels"], &clients[1]["subscription"]["behind"]), (&json!(["change"]), &json!(0)));
    assert_eq!(other.ok("unsubscribe", json!({})), json!({}));

    let figures = wire.ok("store.figures", json!({}));
    assert!(figures["databaseBytes"].as_u64() > Some(0) && figures["journalBytes"].as_u64() > Some(0), "{figures}");
    assert!(is_timestamp(&figures["lastSyncAt"]), "{figures}");
    assert_eq!((&figures["damagedBytes"], &figures["rewriting"]), (&json!(0), &json!(false)));
    let mut parts = Vec::new();
    let mut params = json!({});
    loop {
        let slice = wire.ok("store.check", params);
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
    assert_eq!(wire.err("store.check", json!({"after": "nowhere"})).code, -32602);

    assert_eq!(wire.ok("shutdown", json!({})), json!({}));
    assert_eq!(wire.line(), None, "a stop closes the connections");
    house.wait_for_the_end();
    assert!(!house.socket().exists());
}
