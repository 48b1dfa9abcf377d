//! `POST /api/client/sync/pull-pending`.

use serde_json::json;

use crate::support::{Bench, PULL_PENDING, ids, interaction, new_id, user};

#[tokio::test]
async fn the_documented_body_is_refused() {
    let bench = Bench::start();
    let answer = bench.post(PULL_PENDING, &json!({ "entityTypes": ["end_user"] })).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body["error"], "\"value\" must contain at least one of [lastSyncTimestamp, lastSync]");
}

#[tokio::test]
async fn any_timestamp_makes_it_work_and_is_ignored() {
    let bench = Bench::start();
    let (a, b, c) = (new_id(), new_id(), new_id());
    bench.push(json!({ "end_user": [user(&a), user(&b)], "interactions": [interaction(&c)] })).await;
    bench.world.device(&bench.tenant).set_sync_status("end_user", &b, "pending").unwrap();
    for since in ["1970-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"] {
        let body = json!({ "lastSyncTimestamp": since, "entityTypes": ["end_user", "interactions"] });
        let answer = bench.post(PULL_PENDING, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(ids(&answer.body["data"]["end_user"]), [b.as_str()], "only what is pending");
        assert_eq!(ids(&answer.body["data"]["interactions"]), [c.as_str()], "all of them");
    }
}
