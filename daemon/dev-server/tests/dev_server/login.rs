//! Logins, tokens and `/health`.

use adminengine_dev::{Fault, TokenSpec};
use serde_json::{Value, json};

use crate::support::socket::Socket;
use crate::support::{self, Answer, Bench, EMAIL, PASSWORD, PULL, PULL_PENDING, PUSH, read};

const CUSTOMER_LOGIN: &str = "/api/customers/login";
const STAFF_LOGIN: &str = "/api/auth/login";
const REFRESH: &str = "/api/auth/refresh";

async fn post_with(bench: &Bench, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = bench.http.post(bench.server.url() + path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let body = json!({ "lastSyncTimestamp": support::EPOCH, "entityTypes": [] });
    let body = if path == PUSH { json!({ "changes": {} }) } else { body };
    read(request.json(&body).send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_customer_login_gives_a_token_and_the_tenant_id() {
    let bench = Bench::start();
    let answer = bench.post(CUSTOMER_LOGIN, &json!({ "email": EMAIL, "password": PASSWORD })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["success"], true);
    let customer = answer.body["data"]["customer"].as_object().unwrap();
    assert_eq!(customer.keys().collect::<Vec<_>>(), ["id", "name", "email", "companyName", "phone", "subscriptionPlan"]);
    assert_eq!(customer["id"], json!(bench.tenant));
    assert_eq!(answer.body["data"].get("refreshToken"), None);
    let token = answer.body["data"]["token"].as_str().unwrap();
    assert_eq!(post_with(&bench, PULL, Some(&format!("Bearer {token}"))).await.status, 200);
}

#[tokio::test]
async fn a_customer_token_lives_a_day_and_says_who_it_is() {
    let bench = Bench::start();
    let answer = bench.post(CUSTOMER_LOGIN, &json!({ "email": EMAIL, "password": PASSWORD })).await;
    let token = answer.body["data"]["token"].as_str().unwrap();
    let claims = claims(token);
    assert_eq!(claims["customerId"], json!(bench.tenant));
    assert_eq!(claims["email"], EMAIL);
    assert_eq!(claims["type"], "client");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 24 * 3_600);
}

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims
}

#[tokio::test]
async fn customer_logins_that_fail() {
    let bench = Bench::start();
    let refused = json!({ "success": false, "message": "Invalid credentials" });
    for (what, body, status, expected) in [
        ("a wrong password", json!({ "email": EMAIL, "password": "no" }), 401, Some(&refused)),
        ("an unknown email", json!({ "email": "x@example.com", "password": PASSWORD }), 401, Some(&refused)),
        ("no password", json!({ "email": EMAIL }), 500, None),
    ] {
        let answer = bench.post(CUSTOMER_LOGIN, &body).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.body["success"], false, "{what}");
        assert!(answer.body["message"].is_string(), "{what}");
        assert!(expected.is_none_or(|expected| *expected == answer.body), "{what}");
    }
}

#[tokio::test]
async fn a_login_without_email_matches_the_first_customer() {
    let bench = Bench::start();
    bench.world.add_customer("second@example.com", "other");
    let answer = bench.post(CUSTOMER_LOGIN, &json!({ "password": PASSWORD })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["data"]["customer"]["id"], json!(bench.tenant));
}

#[tokio::test]
async fn a_staff_login_gives_a_company_and_a_refresh_token_that_does_not_work() {
    let bench = Bench::start();
    bench.world.add_staff("boss@example.com", "pw", &bench.tenant);
    let answer = bench.post(STAFF_LOGIN, &json!({ "email": "boss@example.com", "password": "pw" })).await;
    assert_eq!(answer.status, 200);
    let answered = &answer.body["data"];
    assert_eq!(answered["company"]["id"], json!(bench.tenant));
    assert!(answered["user"].is_object());
    assert_eq!(claims(answered["token"].as_str().unwrap())["companyId"], json!(bench.tenant));
    let staff = format!("Bearer {}", answered["token"].as_str().unwrap());
    assert_eq!(post_with(&bench, PULL, Some(&staff)).await.status, 200);

    let refresh = json!({ "refreshToken": answered["refreshToken"] });
    let answer = bench.post(REFRESH, &refresh).await;
    assert_eq!((answer.status, &answer.body["error"]), (401, &json!("Invalid refresh token")));

    bench.world.adjust(|settings| settings.refresh_works = true);
    let answer = bench.post(REFRESH, &refresh).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body["data"]["token"].is_string() && answer.body["data"]["refreshToken"].is_string());
}

#[tokio::test]
async fn every_failure_of_a_staff_login_is_401_an_outage_included() {
    let bench = Bench::start();
    bench.world.add_staff("boss@example.com", "pw", &bench.tenant);
    for body in [json!({}), json!({ "email": "boss@example.com" }), json!({ "email": "boss@example.com", "password": "no" })] {
        assert_eq!(bench.post(STAFF_LOGIN, &body).await.status, 401, "{body}");
    }
    bench.world.faults().set(Fault::LoginOutage);
    let right = json!({ "email": "boss@example.com", "password": "pw" });
    assert_eq!(bench.post(STAFF_LOGIN, &right).await.status, 401);
    assert_eq!(bench.post(CUSTOMER_LOGIN, &json!({ "email": EMAIL, "password": PASSWORD })).await.status, 500);
}

#[tokio::test]
async fn sync_routes_refuse_tokens_with_the_documented_texts() {
    let bench = Bench::start();
    let bearer = |spec: TokenSpec| Some(format!("Bearer {}", bench.world.mint(&spec)));
    let customer = || TokenSpec::customer(&bench.tenant);
    let table = [
        ("no header", None, Some("No token provided")),
        ("an empty token", Some("Bearer ".to_owned()), Some("No token provided")),
        ("malformed", Some("Bearer nonsense".to_owned()), Some("Unauthorized")),
        ("wrongly signed", bearer(customer().wrongly_signed()), Some("Unauthorized")),
        ("expired", bearer(customer().expired()), Some("Unauthorized")),
        ("without a tenant", bearer(TokenSpec::without_tenant()), Some("Unauthorized - No company/customer ID")),
        ("valid", bearer(customer()), None),
        ("valid for a while", bearer(customer().expires_in(60)), None),
        ("of staff", bearer(TokenSpec::staff(&bench.tenant)), None),
    ];
    for path in [PUSH, PULL, PULL_PENDING] {
        for (what, authorization, refusal) in &table {
            let answer = post_with(&bench, path, authorization.as_deref()).await;
            match refusal {
                None => assert_eq!(answer.status, 200, "{what} on {path}: {}", answer.text),
                Some(text) => {
                    assert_eq!(answer.status, 401, "{what} on {path}");
                    assert_eq!(answer.body, json!({ "success": false, "error": text }), "{what} on {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_expires_by_the_clock_of_the_server() {
    let bench = Bench::start();
    assert_eq!(bench.pull(support::EPOCH).await.status, 200);
    bench.world.adjust(|settings| settings.clock_offset_ms = 25 * 3_600 * 1_000);
    assert_eq!(bench.pull(support::EPOCH).await.status, 401);
}

#[tokio::test]
async fn the_tenant_is_taken_from_the_token_alone() {
    let bench = Bench::start();
    let other = bench.world.add_customer("other@example.com", "pw");
    bench.push(json!({ "end_user": [support::user(&support::new_id())] })).await;
    let token = format!("Bearer {}", bench.world.token(&other));
    let request = bench.http.post(bench.server.url() + PULL).header("authorization", token);
    let body = json!({ "lastSyncTimestamp": support::EPOCH, "entityTypes": ["end_user"] });
    let answer = read(request.json(&body).send().await.unwrap()).await.unwrap();
    assert_eq!(answer.body["data"]["end_user"], json!([]));
}

#[tokio::test]
async fn health_counts_sockets_and_tenants_and_stays_ok_without_a_database() {
    let bench = Bench::start();
    bench.world.faults().set(Fault::DatabaseDown);
    let _idle = Socket::connect(&bench).await;
    let _joined = Socket::joined(&bench).await;
    let answer = bench.get("/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["status"], "ok");
    assert_eq!(answer.body["websocket"], "enabled");
    assert_eq!(answer.body["connectedClients"], 2);
    assert_eq!(answer.body["connectedTenants"], json!([bench.tenant]));
    assert!(answer.body["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(bench.pull(support::EPOCH).await.status, 500);
}

#[tokio::test]
async fn error_bodies_of_unknown_routes_say_message() {
    let bench = Bench::start();
    for answer in [bench.get("/nowhere").await, bench.get(PULL).await] {
        assert_eq!(answer.status, 404);
        assert!(answer.body["message"].is_string() && answer.body.get("error").is_none());
    }
}
