//! The control surface: what a test in the same program does through [`World`], over HTTP below `/__dev`.
//!
//! | request | body | does |
//! |---|---|---|
//! | `GET state` | | accounts, row counts, sockets, faults, relayed status updates |
//! | `GET rows/{tenant}/{type}` | | every row, visible or not |
//! | `GET requests?since=n` | | the request log after number n |
//! | `POST customers` | `{email, password}` | adds a customer; answers `{tenant, token}` |
//! | `POST tokens` | `{tenant?, staff?, lifetimeSeconds?, wronglySigned?}` | answers `{token}` |
//! | `POST rows` | `{edit: insert\|update\|delete\|erase, tenant, entityType, id?, row?, quietly?, updatedAt?}` | edits as another device |
//! | `POST faults` | a rule: `{fault, ..., routes?, tenant?, full_listings?, skip?, times?}` | answers `{id}` |
//! | `DELETE faults`, `DELETE faults/{id}` | | clears all or one |
//! | `POST settings` | `{realistic?, microseconds?, clockOffsetMs?, refreshWorks?, tokenLifeSeconds?}` | changes what is given |
//! | `POST sockets` | `{end: disconnect\|close_frame\|cut\|malformed\|stall, tenant?}` | answers `{ended}` |
//! | `POST notifications` | `{tenant, event?, argument, times?}` | sends any event |
//! | `POST hang` | `{ms}` | stands still for that long |

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{answer, ok};
use crate::failure::Failure;
use crate::faults::{Rule, RuleId};
use crate::stamp::Stamp;
use crate::token::TokenSpec;
use crate::world::{Latency, SocketEnd, World, lock};

type Shared = State<Arc<World>>;

pub(super) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/rows/{tenant}/{entity_type}", get(rows))
        .route("/rows", post(edit))
        .route("/requests", get(requests))
        .route("/customers", post(add_customer))
        .route("/tokens", post(mint))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/settings", post(settings))
        .route("/sockets", post(end_sockets))
        .route("/notifications", post(notify))
        .route("/hang", post(hang))
        .with_state(world)
}

async fn state(State(world): Shared) -> Response {
    let (customers, staff) = {
        let accounts = lock(&world.accounts);
        (accounts.customers.clone(), accounts.staff.clone())
    };
    let faults: Vec<Value> = world.faults().active().iter().map(|(id, rule)| json!({ "id": id, "rule": rule })).collect();
    ok(&json!({
        "customers": customers,
        "staff": staff,
        "rows": world.row_counts(),
        "sockets": world.sockets(),
        "relayed": world.relayed(),
        "faults": faults,
    }))
}

async fn rows(State(world): Shared, Path((tenant, entity_type)): Path<(String, String)>) -> Response {
    ok(&Value::Array(world.rows(&tenant, &entity_type)))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn requests(State(world): Shared, Query(since): Query<Since>) -> Response {
    ok(&world.requests_since(since.since).iter().map(|record| record.to_json()).collect())
}

#[derive(Deserialize)]
struct NewCustomer {
    email: String,
    password: String,
}

async fn add_customer(State(world): Shared, Json(new): Json<NewCustomer>) -> Response {
    let tenant = world.add_customer(&new.email, &new.password);
    ok(&json!({ "token": world.token(&tenant), "tenant": tenant }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewToken {
    tenant: Option<String>,
    #[serde(default)]
    staff: bool,
    lifetime_seconds: Option<i64>,
    #[serde(default)]
    wrongly_signed: bool,
}

async fn mint(State(world): Shared, Json(new): Json<NewToken>) -> Response {
    let mut spec = match &new.tenant {
        Some(company) if new.staff => TokenSpec::staff(company),
        Some(tenant) => TokenSpec::customer(tenant),
        None => TokenSpec::without_tenant(),
    };
    if let Some(seconds) = new.lifetime_seconds {
        spec = spec.expires_in(seconds);
    }
    if new.wrongly_signed {
        spec = spec.wrongly_signed();
    }
    ok(&json!({ "token": world.mint(&spec) }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Edit {
    edit: EditKind,
    tenant: String,
    entity_type: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    row: Value,
    #[serde(default)]
    quietly: bool,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EditKind {
    Insert,
    Update,
    Delete,
    Erase,
}

async fn edit(State(world): Shared, Json(edit): Json<Edit>) -> Response {
    let mut device = world.device(&edit.tenant);
    if edit.quietly {
        device = device.quietly();
    }
    if let Some(text) = &edit.updated_at {
        let Some(stamp) = Stamp::parse(text) else {
            return refused(&Failure::InvalidSyntax("timestamp".into(), text.clone()));
        };
        device = device.stamped(stamp);
    }
    let edited = match edit.edit {
        EditKind::Insert => device.insert(&edit.entity_type, &edit.row),
        EditKind::Update => device.update(&edit.entity_type, &edit.id, &edit.row),
        EditKind::Delete => device.delete(&edit.entity_type, &edit.id),
        EditKind::Erase => Ok(json!({ "erased": device.erase(&edit.entity_type, &edit.id) })),
    };
    edited.map_or_else(|failure| refused(&failure), |row| ok(&row))
}

fn refused(failure: &Failure) -> Response {
    answer(StatusCode::CONFLICT, &json!({ "error": failure.message() }))
}

async fn add_fault(State(world): Shared, Json(rule): Json<Rule>) -> Response {
    ok(&json!({ "id": world.faults().add(rule) }))
}

async fn clear_faults(State(world): Shared) -> StatusCode {
    world.faults().clear();
    StatusCode::NO_CONTENT
}

async fn remove_fault(State(world): Shared, Path(id): Path<RuleId>) -> StatusCode {
    if world.faults().remove(id) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewSettings {
    realistic: Option<bool>,
    microseconds: Option<bool>,
    clock_offset_ms: Option<i64>,
    refresh_works: Option<bool>,
    token_life_seconds: Option<u64>,
}

async fn settings(State(world): Shared, Json(new): Json<NewSettings>) -> StatusCode {
    world.adjust(|settings| {
        if let Some(realistic) = new.realistic {
            settings.latency = if realistic { Latency::REALISTIC } else { Latency::default() };
        }
        settings.microseconds = new.microseconds.unwrap_or(settings.microseconds);
        settings.clock_offset_ms = new.clock_offset_ms.unwrap_or(settings.clock_offset_ms);
        settings.refresh_works = new.refresh_works.unwrap_or(settings.refresh_works);
        settings.token_life = new.token_life_seconds.map_or(settings.token_life, Duration::from_secs);
    });
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct End {
    end: SocketEnd,
    tenant: Option<String>,
}

async fn end_sockets(State(world): Shared, Json(end): Json<End>) -> Response {
    ok(&json!({ "ended": world.end_sockets(end.end, end.tenant.as_deref()) }))
}

#[derive(Deserialize)]
struct Outgoing {
    tenant: String,
    #[serde(default = "sync_notification")]
    event: String,
    #[serde(default)]
    argument: Value,
    #[serde(default = "once")]
    times: u32,
}

fn sync_notification() -> String {
    "sync_notification".into()
}

fn once() -> u32 {
    1
}

async fn notify(State(world): Shared, Json(outgoing): Json<Outgoing>) -> StatusCode {
    for _ in 0..outgoing.times {
        world.broadcast(&outgoing.tenant, &outgoing.event, &outgoing.argument);
    }
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Hang {
    ms: u64,
}

/// The answer gets away before the server stands still; a thread of its own wakes it again.
async fn hang(State(world): Shared, Json(hang): Json<Hang>) -> Response {
    let woken = std::thread::Builder::new().name("adminengine-dev-hang".into()).spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        world.hang();
        std::thread::sleep(Duration::from_millis(hang.ms));
        world.resume();
    });
    match woken {
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": format!("start the waking thread: {error}") })),
    }
}
