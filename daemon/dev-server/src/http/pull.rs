//! `POST /api/client/sync/pull` and `pull-pending`.

use axum::Extension;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::{RowCount, ok};
use super::intercept::Call;
use super::validate::{self, Asked, Invalid};
use crate::faults::Fault;
use crate::schema::{END_USER, INTERACTIONS};
use crate::world::Row;

/// Every visible row newer than the timestamp.
pub(super) async fn pull(Extension(call): Extension<Call>) -> Response {
    answer(&call, |asked, entity_type, row| row.updated_at > asked.since && known(entity_type)).await
}

/// `end_user` rows whose `sync_status` is `pending`, and all `interactions`; the timestamp must be there and is ignored.
pub(super) async fn pull_pending(Extension(call): Extension<Call>) -> Response {
    answer(&call, |_, entity_type, row| match entity_type {
        END_USER => row.sync_status == "pending",
        INTERACTIONS => true,
        _ => false,
    })
    .await
}

fn known(entity_type: &str) -> bool {
    crate::schema::columns(entity_type).is_some()
}

async fn answer(call: &Call, wanted: impl Fn(&Asked<'_>, &str, &Row) -> bool) -> Response {
    let tenant = match validate::tenant(call) {
        Ok(tenant) => tenant,
        Err(refusal) => return *refusal,
    };
    let asked = match validate::asked(&call.body) {
        Ok(asked) => asked,
        Err(invalid) => return Invalid::answer(&invalid),
    };
    let world = &call.world;
    world.serve_request().await;
    let mut listings = Map::new();
    let mut count = 0;
    for entity_type in &asked.entity_types {
        let rows = world.read(tenant, |table| {
            let rows = table.newest_first(entity_type, |row| row.is_visible() && wanted(&asked, entity_type, row));
            rows.into_iter().map(Row::to_json).collect::<Vec<_>>()
        });
        if let Some(rows) = spoil(&call.faults, entity_type, rows) {
            count += rows.len();
            listings.insert((*entity_type).to_owned(), Value::Array(rows));
        }
        // Commits fall between the queries, and between the last one and the timestamp.
        tokio::task::yield_now().await;
    }
    let body = json!({ "success": true, "data": listings, "syncTimestamp": world.now().to_string() });
    let mut response = ok(&body);
    response.extensions_mut().insert(RowCount(count));
    response
}

/// The rows of one type after the faults; `None`: the type is left out.
fn spoil(faults: &[Fault], entity_type: &str, mut rows: Vec<Value>) -> Option<Vec<Value>> {
    let meant = |chosen: &Option<String>| chosen.as_deref().is_none_or(|chosen| chosen == entity_type);
    for fault in faults {
        match fault {
            Fault::SwallowError { entity_type } if meant(entity_type) => rows.clear(),
            Fault::OmitType { entity_type } if meant(entity_type) => return None,
            Fault::HalfListing { entity_type } if meant(entity_type) => rows = rows.into_iter().step_by(2).collect(),
            _ => {}
        }
    }
    Some(rows)
}
