//! E-mail and password for a token.

use adminengine_dev::{DevServer, Fault, Options, World};
use aesyncd::engine::input::FailureKind;
use aesyncd::server::token::Claims;
use aesyncd::server::{Credentials, Rest, RestOptions, ServerUrl};
use secrecy::{ExposeSecret, SecretString};

use crate::support::{self, FakeServer, JSON, answer, ok};

fn credentials(email: &str, password: &str) -> Credentials {
    Credentials { email: email.into(), password: SecretString::from(password) }
}

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6ImFAYi5jIn0.c2ln";

#[tokio::test]
async fn customers_and_staff_sign_in_and_the_tenant_is_the_tokens() {
    support::logs::gather();
    let world = World::new();
    let tenant = world.add_customer("ada@example.com", "secret");
    world.add_staff("bob@example.com", "hidden", "Firm-1");
    let server = DevServer::start(Options::new(world.clone())).expect("a server");
    let rest = Rest::new(RestOptions::new(ServerUrl::parse(&server.url()).expect("an address"))).expect("a client");

    let customer = rest.sign_in(&credentials(" ada@example.com\n", "secret"), None).await.expect("signed in");
    assert_eq!(customer.tenant.as_deref(), Some(tenant.to_lowercase().as_str()));
    assert!(customer.refresh_token.is_none());
    let claims = Claims::of(&customer.token).expect("claims");
    assert_eq!((claims.tenant, claims.user.as_str()), (customer.tenant, "ada@example.com"));
    assert!(claims.expires_at > claims.issued_at);

    let staff = rest.sign_in(&credentials("bob@example.com", "hidden"), None).await.expect("signed in");
    assert_eq!(staff.tenant.as_deref(), Some("firm-1"));
    // The server of today refuses to refresh: the password it is.
    let again = rest.sign_in(&credentials("bob@example.com", "hidden"), staff.refresh_token.as_ref()).await.expect("signed in");
    assert_eq!(again.tenant, staff.tenant);
    world.adjust(|settings| settings.refresh_works = true);
    let before = world.requests().len();
    rest.sign_in(&credentials("bob@example.com", "hidden"), again.refresh_token.as_ref()).await.expect("renewed");
    assert_eq!(world.requests().len() - before, 1, "no password was needed");

    let wrong = rest.sign_in(&credentials("ada@example.com", "wrong-password"), None).await.expect_err("refused");
    assert_eq!(wrong.kind, FailureKind::Status { status: 401, message: Some("Invalid credentials".into()), retry_after: None });
    assert!(wrong.detail.starts_with("signing in failed: ") && !wrong.detail.contains("wrong-password"), "{}", wrong.detail);

    // Staff logins answer 401 to an outage: the customer login's answer is the one that says something.
    world.faults().set(Fault::LoginOutage);
    let outage = rest.sign_in(&credentials("ada@example.com", "secret"), None).await.expect_err("an outage");
    assert!(matches!(outage.kind, FailureKind::Status { status: 500, .. }), "{outage:?}");
    server.stop();
}

#[tokio::test]
async fn a_login_without_mail_address_or_password_is_never_sent() {
    let server = FakeServer::answering(ok("{}")).await;
    for (email, password) in [("", "secret"), (" \t", "secret"), ("a@b.c", "")] {
        let failure = server.rest().sign_in(&credentials(email, password), None).await.expect_err("refused");
        assert_eq!(failure.kind, FailureKind::NoToken);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_staff_login_is_tried_after_a_401_alone() {
    for (status, routes) in [("401 No", 2), ("500 Oops", 1), ("404 No", 1), ("429 Slow", 1)] {
        let server = FakeServer::answering(answer(status, JSON, r#"{"message":"hunter22 is wrong"}"#)).await;
        let failure = server.rest().sign_in(&credentials("a@b.c", "hunter22"), None).await.expect_err("refused");
        assert!(!format!("{failure:?}").contains("hunter22"), "{failure:?}");
        let paths: Vec<String> = server.seen().iter().map(|seen| seen.path().to_owned()).collect();
        assert_eq!(paths, ["/api/customers/login", "/api/auth/login"][..routes], "{status}");
        assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
        assert_eq!(server.seen()[0].body, r#"{"email":"a@b.c","password":"hunter22"}"#);
    }
}

#[tokio::test]
async fn when_both_logins_are_refused_the_customers_reason_counts() {
    let server = FakeServer::start(|seen| answer("401 No", JSON, &format!(r#"{{"message":"by {}"}}"#, seen.path()))).await;
    let failure = server.rest().sign_in(&credentials("a@b.c", "secret"), None).await.expect_err("refused");
    assert!(failure.detail.contains("by /api/customers/login"), "{}", failure.detail);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn the_answer_names_the_tenant_when_the_token_does_not() {
    for (who, tenant) in [("customer", "abc"), ("company", "abc")] {
        let body = format!(r#"{{"success":true,"data":{{"token":"{TOKEN}","{who}":{{"id":"ABC"}}}}}}"#);
        let server = FakeServer::answering(ok(&body)).await;
        let signed_in = server.rest().sign_in(&credentials("a@b.c", "secret"), None).await.expect("signed in");
        assert_eq!((signed_in.tenant.as_deref(), signed_in.token.expose_secret()), (Some(tenant), TOKEN));
    }
}

#[tokio::test]
async fn an_answer_without_a_readable_token_is_not_ours() {
    for body in ["{}", r#"{"success":true,"data":{}}"#, r#"{"success":true,"data":{"token":"opaque"}}"#, "[1]"] {
        let server = FakeServer::answering(ok(body)).await;
        let failure = server.rest().sign_in(&credentials("a@b.c", "secret"), None).await.expect_err("refused");
        assert_eq!(failure.kind, FailureKind::NotOurs, "{body}: {}", failure.detail);
        assert!(!failure.detail.contains("opaque"), "{}", failure.detail);
    }
}
