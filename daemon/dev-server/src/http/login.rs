//! Logins. Customers get no refresh token; staff users get one that does not work.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{error, message, ok};
use super::intercept::Call;
use crate::secrets;
use crate::token::TokenSpec;
use crate::world::{Staff, World, lock};

/// A login without `email` finds the first customer: an `undefined` in the query is no condition.
pub(super) async fn customer(Extension(call): Extension<Call>) -> Response {
    note_password(&call);
    let accounts = lock(&call.world.accounts);
    let found = match call.body.get("email") {
        None | Some(Value::Null) => accounts.customers.first(),
        Some(email) => accounts.customers.iter().find(|customer| email.as_str() == Some(&customer.email)),
    };
    let Some(customer) = found else {
        return message(StatusCode::UNAUTHORIZED, "Invalid credentials");
    };
    match call.body.get("password") {
        Some(Value::String(password)) if *password == customer.password => {
            let token = mint(&call.world, &TokenSpec::customer(&customer.id).email(&customer.email));
            ok(&json!({ "success": true, "data": { "token": token, "customer": customer.to_json() } }))
        }
        Some(Value::String(_)) => message(StatusCode::UNAUTHORIZED, "Invalid credentials"),
        _ => message(StatusCode::INTERNAL_SERVER_ERROR, "data and hash arguments required"),
    }
}

/// Every failure is a 401.
pub(super) async fn staff(Extension(call): Extension<Call>) -> Response {
    note_password(&call);
    let text = |name| call.body.get(name).and_then(Value::as_str);
    let mut accounts = lock(&call.world.accounts);
    let found =
        accounts.staff.iter().position(|staff| text("email") == Some(&staff.email) && text("password") == Some(&staff.password));
    let Some((index, staff)) = found.and_then(|index| Some((index, accounts.staff.get(index)?.clone()))) else {
        return error(StatusCode::UNAUTHORIZED, "Invalid credentials");
    };
    let refresh_token = new_refresh_token();
    accounts.refresh_tokens.push((refresh_token.clone(), index));
    ok(&json!({ "success": true, "data": {
        "token": staff_token(&call.world, &staff),
        "refreshToken": refresh_token,
        "user": { "id": staff.id, "email": staff.email, "role": "staff" },
        "company": { "id": staff.company },
    }}))
}

/// Refused in practice; [`Settings::refresh_works`](crate::Settings) makes it work as it was meant to.
pub(super) async fn refresh(Extension(call): Extension<Call>) -> Response {
    let mut accounts = lock(&call.world.accounts);
    let sent = call.body.get("refreshToken").and_then(Value::as_str).filter(|_| call.world.settings().refresh_works);
    let found = accounts.refresh_tokens.iter().position(|(token, _)| sent == Some(token));
    let Some(index) = found else {
        return error(StatusCode::UNAUTHORIZED, "Invalid refresh token");
    };
    let (_, owner) = accounts.refresh_tokens.swap_remove(index);
    let Some(staff) = accounts.staff.get(owner).cloned() else {
        return error(StatusCode::UNAUTHORIZED, "Invalid refresh token");
    };
    let refresh_token = new_refresh_token();
    accounts.refresh_tokens.push((refresh_token.clone(), owner));
    ok(&json!({ "success": true, "data": { "token": staff_token(&call.world, &staff), "refreshToken": refresh_token } }))
}

/// A wrong one is as secret as the right one: it is right elsewhere, or nearly right.
fn note_password(call: &Call) {
    if let Some(password) = call.body.get("password").and_then(Value::as_str) {
        secrets::note(password);
    }
}

fn new_refresh_token() -> String {
    let token = Uuid::new_v4().simple().to_string();
    secrets::note(&token);
    token
}

fn staff_token(world: &World, staff: &Staff) -> String {
    mint(world, &TokenSpec::staff(&staff.company).email(&staff.email))
}

fn mint(world: &World, spec: &TokenSpec) -> String {
    let life = i64::try_from(world.settings().token_life.as_secs()).unwrap_or(i64::MAX);
    world.mint(&spec.clone().expires_in(life))
}
