//! `POST /api/client/sync/pull`.

use std::time::Duration;

use adminengine_dev::{Fault, Stamp};
use serde_json::{Value, json};

use crate::support::{Bench, EPOCH, PULL, ids, interaction, new_id, user};

#[tokio::test]
async fn a_pull_returns_every_newer_row_newest_first_without_paging() {
    let bench = Bench::start();
    let device = bench.world.device(&bench.tenant).quietly();
    let base = Stamp::parse("2024-01-01").unwrap();
    let mut expected = Vec::new();
    for second in 0..1_500 {
        let id = new_id();
        device.clone().stamped(base.plus(Duration::from_secs(second))).insert("end_user", &user(&id)).unwrap();
        expected.insert(0, id);
    }
    let answer = bench.pull(EPOCH).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["success"], true);
    assert_eq!(ids(&answer.body["data"]["end_user"]), expected);
    assert_eq!(answer.body["data"]["interactions"], json!([]));
    let newest = answer.body["data"]["end_user"][10]["updatedAt"].as_str().unwrap();
    assert_eq!(ids(&bench.pull(newest).await.body["data"]["end_user"]), expected[..10], "strictly newer");
}

#[tokio::test]
async fn a_row_with_microseconds_comes_back_when_its_cut_time_is_the_cursor() {
    let bench = Bench::start();
    let id = new_id();
    let stamp = Stamp::parse("2024-01-01T00:00:00.123456Z").unwrap();
    bench.world.device(&bench.tenant).stamped(stamp).insert("end_user", &user(&id)).unwrap();
    let answer = bench.pull("2024-01-01T00:00:00.123Z").await;
    assert_eq!(ids(&answer.body["data"]["end_user"]), [id]);
    assert_eq!(answer.body["data"]["end_user"][0]["updatedAt"], "2024-01-01T00:00:00.123Z");
    assert_eq!(bench.pull("2024-01-01T00:00:00.124Z").await.body["data"]["end_user"], json!([]));
}

#[tokio::test]
async fn the_setting_microseconds_stamps_pushed_rows_finer_than_json_shows() {
    let bench = Bench::start();
    bench.world.adjust(|settings| settings.microseconds = true);
    let mut returned = 0;
    for _ in 0..8 {
        let answer = bench.push(json!({ "end_user": [user(&new_id())] })).await;
        let cursor = answer.body["data"][0]["updatedAt"].as_str().unwrap().to_owned();
        returned += bench.pull(&cursor).await.body["data"]["end_user"].as_array().unwrap().len();
    }
    assert!(returned > 0, "one stamp in a thousand has no microseconds, not eight in a row");
}

#[tokio::test]
async fn bodies_that_the_validator_refuses() {
    let bench = Bench::start();
    let missing = "\"value\" must contain at least one of [lastSyncTimestamp, lastSync]";
    for (body, error) in [
        (json!({ "lastSyncTimestamp": EPOCH, "entityTypes": [], "limit": 10 }), "\"limit\" is not allowed"),
        (json!({ "entityTypes": ["end_user"] }), missing),
        (json!({}), missing),
        (json!({ "lastSyncTimestamp": "soon", "entityTypes": [] }), "\"lastSyncTimestamp\" must be in ISO 8601 date format"),
        (json!({ "lastSyncTimestamp": EPOCH, "entityTypes": "end_user" }), "\"entityTypes\" must be an array"),
    ] {
        let answer = bench.post(PULL, &body).await;
        assert_eq!((answer.status, &answer.body["error"]), (400, &json!(error)), "{body}");
    }
}

#[tokio::test]
async fn an_unknown_type_is_an_empty_list() {
    let bench = Bench::start();
    let answer = bench.post(PULL, &json!({ "lastSyncTimestamp": EPOCH, "entityTypes": ["batch"] })).await;
    assert_eq!((answer.status, &answer.body["data"]), (200, &json!({ "batch": [] })));
}

#[tokio::test]
async fn rows_pushed_without_is_deleted_never_appear() {
    let bench = Bench::start();
    let (mut a, mut b) = (user(&new_id()), interaction(&new_id()));
    a.as_object_mut().unwrap().remove("is_deleted");
    b.as_object_mut().unwrap().remove("is_deleted");
    let answer = bench.push(json!({ "end_user": [a], "interactions": [b] })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["data"][0]["is_deleted"], Value::Null);
    assert_eq!(bench.pull(EPOCH).await.body["data"], json!({ "end_user": [], "interactions": [] }));
}

#[tokio::test]
async fn deletions_leave_no_tombstone() {
    let bench = Bench::start();
    let device = bench.world.device(&bench.tenant);
    let (a, b) = (new_id(), new_id());
    device.insert("end_user", &user(&a)).unwrap();
    device.insert("interactions", &interaction(&b)).unwrap();
    let seen = bench.pull(EPOCH).await.body;
    assert_eq!(seen["data"]["end_user"].as_array().unwrap().len(), 1);
    device.delete("end_user", &a).unwrap();
    assert!(device.erase("interactions", &b));
    for since in [EPOCH, seen["data"]["end_user"][0]["updatedAt"].as_str().unwrap()] {
        assert_eq!(bench.pull(since).await.body["data"], json!({ "end_user": [], "interactions": [] }));
    }
}

#[tokio::test]
async fn the_own_rows_come_back_in_the_next_pull_with_the_password() {
    let bench = Bench::start();
    let id = new_id();
    let cursor = bench.pull(EPOCH).await.body["syncTimestamp"].as_str().unwrap().to_owned();
    bench.world.adjust(|settings| settings.clock_offset_ms = 5);
    let mut row = user(&id);
    row["password"] = json!("secret");
    bench.push(json!({ "end_user": [row] })).await;
    let pulled = bench.pull(&cursor).await.body;
    assert_eq!(ids(&pulled["data"]["end_user"]), [id]);
    assert_eq!(pulled["data"]["end_user"][0]["password"], "secret");
}

#[tokio::test]
async fn a_swallowed_error_is_200_with_an_empty_list_and_a_fresh_timestamp() {
    let bench = Bench::start();
    bench.push(json!({ "end_user": [user(&new_id())], "interactions": [interaction(&new_id())] })).await;
    bench.world.faults().next(1, Fault::SwallowError { entity_type: Some("end_user".into()) });
    let before = bench.world.now().to_string();
    let answer = bench.pull(EPOCH).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(true)));
    assert_eq!(answer.body["data"]["end_user"], json!([]));
    assert_eq!(answer.body["data"]["interactions"].as_array().unwrap().len(), 1);
    assert!(answer.body["syncTimestamp"].as_str().unwrap() >= before.as_str());
    assert_eq!(bench.pulled_users().await.len(), 1, "only once");
}

#[tokio::test]
async fn a_cursor_equal_to_sync_timestamp_loses_rows_that_commit_slowly() {
    let bench = Bench::start();
    bench.world.faults().set(Fault::SlowCommit { ms: 200 });
    let id = new_id();
    let changes = json!({ "end_user": [user(&id)] });
    let pull = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        bench.pull(EPOCH).await
    };
    let (pushed, pulled) = tokio::join!(bench.push(changes), pull);
    assert_eq!(pushed.status, 200);
    assert_eq!(pulled.body["data"]["end_user"], json!([]), "stamped, not committed");
    let cursor = pulled.body["syncTimestamp"].as_str().unwrap();
    assert_eq!(bench.pull(cursor).await.body["data"]["end_user"], json!([]), "lost");
    let overlapping = Stamp::parse(cursor).unwrap().minus(Duration::from_secs(5)).to_string();
    assert_eq!(ids(&bench.pull(&overlapping).await.body["data"]["end_user"]), [id]);
}

#[tokio::test]
async fn the_push_timestamp_is_no_cursor() {
    let bench = Bench::start();
    let theirs = new_id();
    bench.world.device(&bench.tenant).insert("end_user", &user(&theirs)).unwrap();
    bench.world.adjust(|settings| settings.clock_offset_ms = 5);
    let pushed = bench.push(json!({ "end_user": [user(&new_id())] })).await;
    let missed = bench.pull(pushed.body["syncTimestamp"].as_str().unwrap()).await;
    assert!(!missed.text.contains(&theirs));
}
