//! `POST /api/client/sync/push`.

use adminengine_dev::Fault;
use serde_json::{Value, json};

use crate::support::{Bench, EPOCH, PUSH, ids, interaction, new_id, user};

#[tokio::test]
async fn the_answer_is_flat_and_in_request_order() {
    let bench = Bench::start();
    let (a, b, c) = (new_id(), new_id(), new_id());
    let answer = bench.push(json!({ "interactions": [interaction(&a)], "end_user": [user(&b), user(&c)] })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["success"], true);
    assert_eq!(ids(&answer.body["data"]), [a, b, c]);
    let stamp = answer.body["syncTimestamp"].as_str().unwrap();
    assert!(stamp.len() == 24 && stamp.ends_with('Z'), "{stamp}");
}

#[tokio::test]
async fn only_changes_may_stand_at_the_top_level() {
    let bench = Bench::start();
    for body in [json!({ "changes": {}, "lastSyncTimestamp": EPOCH }), json!({ "changes": {}, "deviceId": "x" }), json!({})] {
        let answer = bench.post(PUSH, &body).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!("\"table\" is required")), "{body}");
    }
    let body = json!({ "changes": { "end_user": {} } });
    assert_eq!(bench.post(PUSH, &body).await.status, 400);
    let body = json!({ "changes": { "end_user": [1] } });
    assert_eq!(bench.post(PUSH, &body).await.status, 400);
}

#[tokio::test]
async fn the_older_single_form_is_accepted_and_its_operation_ignored() {
    let bench = Bench::start();
    let id = new_id();
    let body = json!({ "table": "end_user", "operation": "delete", "data": user(&id), "timestamp": EPOCH });
    let answer = bench.post(PUSH, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(bench.pulled_users().await, [id]);
}

#[tokio::test]
async fn an_unregistered_type_is_refused() {
    let bench = Bench::start();
    let answer = bench.push(json!({ "batch": [{ "id": new_id() }] })).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, json!({ "success": false, "error": "Entity type batch not registered" }));
}

#[tokio::test]
async fn a_repeat_of_a_push_is_harmless() {
    let bench = Bench::start();
    let id = new_id();
    for _ in 0..3 {
        let answer = bench.push(json!({ "end_user": [user(&id)] })).await;
        assert_eq!(ids(&answer.body["data"]), [id.as_str()]);
    }
    assert_eq!(bench.world.rows(&bench.tenant, "end_user").len(), 1);
    let writes = bench.world.writes(&bench.tenant, "end_user", &id);
    assert_eq!((writes.received, writes.inserted, writes.touched), (3, 1, 2));
}

#[tokio::test]
async fn a_row_without_a_uuid_gets_a_new_id_each_time() {
    let bench = Bench::start();
    for id in [Value::Null, json!("17"), json!(17), json!("local-1")] {
        let mut ids_seen = Vec::new();
        for _ in 0..2 {
            let mut row = interaction("");
            row["id"] = id.clone();
            let answer = bench.push(json!({ "interactions": [row] })).await;
            let stored = answer.body["data"][0]["id"].as_str().unwrap().to_owned();
            assert_ne!(json!(stored), id);
            ids_seen.push(stored);
        }
        assert_ne!(ids_seen[0], ids_seen[1], "a repeat makes a second row");
    }
}

#[tokio::test]
async fn an_upper_case_uuid_comes_back_in_lower_case() {
    let bench = Bench::start();
    let id = new_id();
    for _ in 0..2 {
        let mut row = user(&id);
        row["id"] = json!(id.to_uppercase());
        let answer = bench.push(json!({ "end_user": [row] })).await;
        assert_eq!(ids(&answer.body["data"]), [id.as_str()]);
    }
    assert_eq!(bench.world.rows(&bench.tenant, "end_user").len(), 1);
}

#[tokio::test]
async fn the_server_wins_updates_and_deletes_of_existing_rows_are_dropped() {
    let bench = Bench::start();
    let id = new_id();
    let first = bench.push(json!({ "end_user": [user(&id)] })).await.body["data"][0].clone();
    bench.world.adjust(|settings| settings.clock_offset_ms = 5);
    for change in [
        json!({ "id": id, "email": "new@example.com", "name": "New", "is_deleted": 0 }),
        json!({ "id": id, "email": "new@example.com", "is_deleted": 1 }),
    ] {
        let answer = bench.push(json!({ "end_user": [change] })).await;
        assert_eq!(answer.status, 200);
        let mut row = answer.body["data"][0].clone();
        assert!(row["updatedAt"].as_str() > first["updatedAt"].as_str(), "updatedAt is new");
        row["updatedAt"] = first["updatedAt"].clone();
        assert_eq!(row, first, "everything else is the old row");
    }
    assert_eq!(bench.pulled_users().await, [id]);
}

#[tokio::test]
async fn a_delete_of_a_row_that_is_not_there_stores_a_hidden_row() {
    let bench = Bench::start();
    let mut row = user(&new_id());
    row["is_deleted"] = json!(1);
    assert_eq!(bench.push(json!({ "end_user": [row] })).await.body["data"][0]["is_deleted"], 1);
    assert!(bench.pulled_users().await.is_empty());
}

#[tokio::test]
async fn a_push_is_not_atomic_the_rows_before_the_failing_one_stay() {
    let bench = Bench::start();
    let (a, b, c) = (new_id(), new_id(), new_id());
    let mut bad = user(&b);
    bad["email"] = Value::Null;
    let answer = bench.push(json!({ "end_user": [user(&a), bad, user(&c)] })).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, json!({ "success": false, "error": "Email is required for ClientUser" }));
    assert_eq!(bench.pulled_users().await, [a]);
}

#[tokio::test]
async fn permanent_failures_have_the_documented_texts() {
    let bench = Bench::start();
    let taken = user(&new_id());
    bench.push(json!({ "end_user": [taken] })).await;
    let with = |mut row: Value, key: &str, value: Value| {
        row[key] = value;
        row
    };
    let user = || user(&new_id());
    let interaction = || interaction(&new_id());
    let table = [
        ("end_user", with(user(), "email", json!("")), "Email is required for ClientUser"),
        ("end_user", json!({ "id": new_id() }), "Email is required for ClientUser"),
        ("end_user", with(user(), "email", taken["email"].clone()), "duplicate key value violates unique constraint \"UQ_"),
        ("end_user", with(user(), "name", json!("a\u{0}b")), "invalid byte sequence"),
        ("end_user", with(user(), "is_deleted", json!("yes")), "invalid input syntax for type smallint"),
        ("interactions", with(interaction(), "type", Value::Null), "null value in column \"type\""),
        ("interactions", with(interaction(), "title", Value::Null), "null value in column \"title\""),
        ("interactions", with(interaction(), "description", Value::Null), "null value in column \"description\""),
        ("interactions", with(interaction(), "date", Value::Null), "violates not-null constraint"),
        ("interactions", with(interaction(), "date", json!("tomorrow")), "invalid input syntax for type timestamp"),
        ("interactions", with(interaction(), "clientUser", json!({ "id": new_id() })), "violates foreign key constraint"),
        ("interactions", with(interaction(), "clientUser", json!({ "id": "7" })), "invalid input syntax for type uuid"),
    ];
    for (entity_type, row, text) in table {
        let answer = bench.push(json!({ entity_type: [row] })).await;
        assert_eq!(answer.status, 500, "{row}");
        let error = answer.body["error"].as_str().unwrap();
        assert!(error.contains(text), "{row}: {error}");
    }
}

#[tokio::test]
async fn an_interaction_may_link_to_a_user_and_the_link_is_not_pulled() {
    let bench = Bench::start();
    let (owner, linked) = (new_id(), new_id());
    let mut row = interaction(&linked);
    row["clientUser"] = json!({ "id": owner });
    let answer = bench.push(json!({ "end_user": [user(&owner)], "interactions": [row] })).await;
    assert_eq!(answer.status, 200, "parents before children: {}", answer.text);
    assert_eq!(answer.body["data"][1]["clientUser"], json!({ "id": owner }));
    let pulled = &bench.pull(EPOCH).await.body["data"]["interactions"][0];
    assert_eq!(pulled["id"], json!(linked));
    assert_eq!(pulled.get("clientUser"), None);

    let (owner, linked) = (new_id(), new_id());
    let mut row = interaction(&linked);
    row["clientUser"] = json!({ "id": owner });
    let answer = bench.push(json!({ "interactions": [row], "end_user": [user(&owner)] })).await;
    assert_eq!(answer.status, 500, "children before parents");
}

#[tokio::test]
async fn unknown_columns_are_dropped_and_the_server_sets_its_own() {
    let bench = Bench::start();
    let mut row = user(&new_id());
    row["favouriteColour"] = json!("blue");
    row["sync_status"] = json!("pending");
    row["updatedAt"] = json!("2001-01-01T00:00:00.000Z");
    let answer = bench.push(json!({ "end_user": [row] })).await;
    let stored = &answer.body["data"][0];
    assert_eq!(stored.get("favouriteColour"), None);
    assert_eq!(stored["sync_status"], "synced");
    assert!(stored["updatedAt"].as_str().unwrap() > "2020");
}

#[tokio::test]
async fn parallel_pushes_of_the_same_new_row_collide_on_the_primary_key() {
    let bench = Bench::start();
    bench.world.faults().set(Fault::SlowCommit { ms: 50 });
    let changes = json!({ "end_user": [user(&new_id())] });
    let (one, two) = tokio::join!(bench.push(changes.clone()), bench.push(changes.clone()));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 500]);
    let failed = if one.status == 500 { one } else { two };
    let error = failed.body["error"].as_str().unwrap();
    assert!(error.starts_with("duplicate key value violates unique constraint \"PK_"), "{error}");
    bench.world.faults().clear();
    assert_eq!(bench.push(changes).await.status, 200, "a passing failure");
    assert_eq!(bench.world.peak_parallel_requests(&bench.tenant), 2);
}
