//! Signing in: by file, by password, by an application; for whom; and what happens when it fails or ends.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adminengine_dev::{Fault, Route, SocketEnd, TokenSpec};
use aesync_protocol::StatusWord;
use aesync_protocol::request::{AuthLogin, AuthLogout, AuthSetToken, ConfigReload, PushWait, Sync};
use aesync_protocol::response::EntryState;
use aesync_protocol::status::{AuthWord, OfflineReason};
use aesyncd::Daemon;
use serde_json::json;

use crate::support::apps::{call, change, code, outbox, push, records, try_call};
use crate::support::truth::converged;
use crate::support::{Scene, status_where, synced, wait_for};

/// A scene whose daemon has nothing to sign in with.
fn signed_out() -> Scene {
    let mut scene = Scene::hurried();
    scene.config.auth.token_file = None;
    scene
}

/// A scene whose daemon signs in with e-mail and password.
fn with_password(password: &str) -> Scene {
    let mut scene = signed_out();
    let file = scene.dir.path().join("password");
    std::fs::write(&file, format!("{password}\n")).expect("written");
    scene.config.auth.email = Some("ada@example.com".to_owned());
    scene.config.auth.password_file = Some(file);
    scene
}

fn login(password: &str) -> AuthLogin {
    AuthLogin { email: "ada@example.com".to_owned(), password: password.to_owned(), server: None }
}

fn set_token(token: String) -> AuthSetToken {
    AuthSetToken { token, tenant_id: None }
}

fn logins(scene: &Scene) -> usize {
    scene.world.requests().iter().filter(|request| request.route == Route::CustomerLogin).count()
}

fn sync_requests(scene: &Scene) -> usize {
    scene.world.requests().iter().filter(|request| request.route.is_sync()).count()
}

async fn offline(daemon: &Daemon, reason: OfflineReason) -> Arc<aesync_protocol::Status> {
    status_where(daemon, &format!("{reason:?}"), |status| status.reason == Some(reason)).await
}

/// A change is taken, and waits.
async fn queue(daemon: &Daemon, email: &str) -> String {
    let entry = push(daemon, "end_user", json!({ "email": email }), PushWait::Queued).await;
    assert_eq!(entry.state, EntryState::Pending);
    entry.id
}

fn says(status: &aesync_protocol::Status, code: &str) -> bool {
    status.attention.iter().any(|attention| attention.code == code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_a_file_signs_in_for_its_tenant() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    let status = synced(&daemon).await;
    assert_eq!(status.server.tenant_id.as_deref(), Some(scene.tenant.as_str()));
    assert_eq!((status.auth.state, status.auth.subject.as_deref()), (AuthWord::Valid, Some("dev@example.com")));
    assert!(status.auth.expires_at.is_some());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_and_a_password_in_a_file_sign_in() {
    let scene = with_password("correct horse");
    let daemon = scene.start().await;
    let status = synced(&daemon).await;
    assert_eq!(status.server.tenant_id.as_deref(), Some(scene.tenant.as_str()));
    assert_eq!(logins(&scene), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_signs_in_and_out() {
    let scene = signed_out();
    let daemon = scene.start().await;
    offline(&daemon, OfflineReason::SignedOut).await;
    let early = try_call(&daemon, change("end_user", vec![json!({"email": "early@example.com"})], PushWait::Queued)).await;
    assert_eq!(code(&early.expect_err("nobody's")), "auth_required");

    let wrong = try_call(&daemon, login("wrong")).await.expect_err("a wrong password");
    assert!(wrong.message.ends_with("; check the e-mail address and the password"), "{}", wrong.message);
    assert_eq!(code(&wrong), "auth_required");
    assert!(wrong.message.contains("Invalid credentials"), "{wrong:?}");
    assert_eq!(daemon.status().borrow().reason, Some(OfflineReason::SignedOut), "an application's failed attempt is its own");

    let signed_in = call(&daemon, login("correct horse")).await;
    assert_eq!(signed_in.tenant_id, scene.tenant);
    synced(&daemon).await;
    let saved = scene.state_dir().join("token");
    assert!(saved.exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(saved.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }

    call(&daemon, AuthLogout {}).await;
    let status = offline(&daemon, OfflineReason::SignedOut).await;
    assert_eq!(status.auth.state, AuthWord::None);
    assert!(!saved.exists());
    wait_for("the socket is gone", || scene.world.sockets().is_empty()).await;
    let refused = try_call(&daemon, Sync {}).await.expect_err("signed out");
    assert_eq!(code(&refused), "auth_required");
    let id = queue(&daemon, "between@example.com").await;

    call(&daemon, login("correct horse")).await;
    converged(&scene, &daemon).await;
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &id).inserted, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_an_application_set_is_there_after_a_restart() {
    let scene = signed_out();
    let daemon = scene.start().await;
    let signed_in = call(&daemon, set_token(format!("  {}\n", scene.world.token(&scene.tenant)))).await;
    assert_eq!(signed_in.tenant_id, scene.tenant);
    synced(&daemon).await;
    daemon.stop().await;
    let daemon = scene.start().await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_another_tenant_than_the_configured_one_leaves_the_sign_in_alone() {
    let mut scene = Scene::hurried();
    scene.config.server.tenant = Some(scene.tenant.clone());
    let other = scene.world.add_customer("bob@example.com", "battery staple");
    let daemon = scene.start().await;
    synced(&daemon).await;
    let connected = daemon.status().borrow().server.connected_since;

    let error = try_call(&daemon, set_token(scene.world.token(&other))).await.expect_err("another tenant's");
    assert_eq!(code(&error), "misconfigured");
    assert!(error.message.contains(&other) && error.message.contains(&scene.tenant), "{error:?}");
    let bob = AuthLogin { email: "bob@example.com".to_owned(), password: "battery staple".to_owned(), server: None };
    assert_eq!(code(&try_call(&daemon, bob).await.expect_err("another tenant's")), "misconfigured");
    let asked = AuthSetToken { token: scene.world.token(&scene.tenant), tenant_id: Some(other.clone()) };
    assert_eq!(code(&try_call(&daemon, asked).await.expect_err("not what was meant")), "misconfigured");

    let entry = push(&daemon, "end_user", json!({"email": "still@example.com"}), PushWait::Confirmed).await;
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &entry.id).inserted, 1);
    assert_eq!(synced(&daemon).await.server.connected_since, connected, "not even the connection was disturbed");
    assert_eq!(scene.world.rows(&other, "end_user").len(), 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_finds_only_another_tenants_token_says_so_until_the_right_one_comes() {
    let mut scene = Scene::hurried();
    let other = scene.world.add_customer("bob@example.com", "battery staple");
    scene.config.server.tenant = Some(scene.tenant.clone());
    scene.use_token(&scene.world.token(&other));
    let daemon = scene.start().await;
    let status = offline(&daemon, OfflineReason::Misconfigured).await;
    assert!(says(&status, "misconfigured"), "{status:#?}");
    assert_eq!(sync_requests(&scene), 0);
    call(&daemon, set_token(scene.world.token(&scene.tenant))).await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_brings_another_tenants_token_does_not_leave_the_daemon_signing_in_for_ever() {
    let mut scene = Scene::hurried();
    let other = scene.world.add_customer("bob@example.com", "battery staple");
    scene.config.server.tenant = Some(scene.tenant.clone());
    scene.use_token(&scene.world.mint(&TokenSpec::customer(&scene.tenant).expires_in(4)));
    let daemon = scene.start().await;
    synced(&daemon).await;
    scene.use_token(&scene.world.token(&other));
    let status = status_where(&daemon, "no more signing in", |status| status.auth.state == AuthWord::Expired).await;
    assert!(matches!(status.reason, Some(OfflineReason::AuthRequired | OfflineReason::Misconfigured)), "{status:#?}");
    assert!(says(&status, "login_refused") || says(&status, "misconfigured"), "{status:#?}");
    call(&daemon, set_token(scene.world.token(&scene.tenant))).await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_token_or_names_no_tenant_is_refused_with_a_sentence() {
    let scene = Scene::hurried();
    let daemon = scene.start().await;
    synced(&daemon).await;
    let expired = scene.world.mint(&TokenSpec::customer(&scene.tenant).expired());
    for (token, expected) in [
        ("not a token".to_owned(), "misconfigured"),
        ("a.b.c".to_owned(), "misconfigured"),
        (String::new(), "misconfigured"),
        ("x".repeat(100_000), "misconfigured"),
        (scene.world.mint(&TokenSpec::without_tenant()), "misconfigured"),
        (expired, "auth_required"),
    ] {
        let error = try_call(&daemon, set_token(token.clone())).await.expect_err("no good");
        assert_eq!(code(&error), expected, "{error:?}");
        assert!(error.message.len() > 20 && error.message.len() < 500, "{error:?}");
        assert!(error.data.as_ref().is_some_and(|data| data.hint.is_some()), "{error:?}");
        assert!(token.len() < 5 || !error.message.contains(&token), "a token is never repeated: {error:?}");
    }
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_holds_no_token_is_named_and_the_daemon_runs() {
    let mut scene = Scene::hurried();
    scene.use_token("this is no token");
    let daemon = scene.start().await;
    let status = status_where(&daemon, "the file is named", |status| says(status, "token_unreadable")).await;
    let said = status.attention.iter().find(|attention| attention.code == "token_unreadable").expect("said");
    assert!(said.message.contains("the.token"), "{said:?}");
    call(&daemon, set_token(scene.world.token(&scene.tenant))).await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_expired_or_rejected_token_changes_are_taken_and_the_server_is_left_alone() {
    for (spec, word) in [
        (TokenSpec::customer as fn(&str) -> TokenSpec, AuthWord::Rejected),
        (|tenant: &str| TokenSpec::customer(tenant).expired(), AuthWord::Expired),
    ] {
        let mut scene = Scene::hurried();
        let spec = spec(&scene.tenant);
        let spec = if word == AuthWord::Rejected { spec.wrongly_signed() } else { spec };
        scene.use_token(&scene.world.mint(&spec));
        let daemon = scene.start().await;
        let status = status_where(&daemon, "auth required", |status| {
            status.reason == Some(OfflineReason::AuthRequired) && status.auth.state == word
        })
        .await;
        assert!(says(&status, "auth_required"), "{status:#?}");
        let id = queue(&daemon, "kept@example.com").await;
        let asked = sync_requests(&scene);
        // Longer than several backoffs: a loop would show.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(sync_requests(&scene), asked, "asking again is pointless");
        assert!(asked <= 1);
        let error = try_call(&daemon, Sync {}).await.expect_err("no sign-in");
        assert_eq!(code(&error), "auth_required");

        call(&daemon, set_token(scene.world.token(&scene.tenant))).await;
        converged(&scene, &daemon).await;
        assert_eq!(scene.world.writes(&scene.tenant, "end_user", &id).inserted, 1);
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_while_the_daemon_runs_ends_the_sync_and_is_announced_before() {
    let scene = signed_out();
    let daemon = scene.start().await;
    call(&daemon, set_token(scene.world.mint(&TokenSpec::customer(&scene.tenant).expires_in(4)))).await;
    let status = synced(&daemon).await;
    assert_eq!(status.auth.state, AuthWord::Expiring);
    assert!(says(&status, "auth_expiring"), "{status:#?}");
    let status = offline(&daemon, OfflineReason::AuthRequired).await;
    assert_eq!(status.auth.state, AuthWord::Expired);
    queue(&daemon, "after@example.com").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_401_leads_to_a_new_login_when_there_are_credentials() {
    let scene = with_password("correct horse");
    let daemon = scene.start().await;
    synced(&daemon).await;
    scene.world.faults().next(1, Fault::RejectTokens);
    let entry = push(&daemon, "end_user", json!({"email": "again@example.com"}), PushWait::Confirmed).await;
    assert_eq!(entry.state, EntryState::Confirmed);
    assert_eq!(logins(&scene), 2);
    converged(&scene, &daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_rejects_every_fresh_token_is_not_flooded_with_logins() {
    let scene = with_password("correct horse");
    let rejected = scene.world.faults().set(Fault::RejectTokens);
    let daemon = scene.start().await;
    wait_for("three logins", || logins(&scene) >= 3).await;
    let (before, start) = (logins(&scene), std::time::Instant::now());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // A backoff of 300 ms at most, drawn from 25 ms up: some, not hundreds.
    assert!(logins(&scene) - before <= 40, "{} logins in {:?}", logins(&scene) - before, start.elapsed());
    assert!(scene.world.faults().remove(rejected));
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_renewed_before_its_token_expires() {
    let scene = with_password("correct horse");
    scene.world.adjust(|settings| settings.token_life = Duration::from_secs(4));
    let daemon = scene.start().await;
    synced(&daemon).await;
    let words = Arc::new(Mutex::new(BTreeSet::new()));
    let (mut statuses, noted) = (daemon.status(), Arc::clone(&words));
    tokio::spawn(async move {
        while statuses.changed().await.is_ok() {
            let status = statuses.borrow_and_update().clone();
            noted.lock().expect("the words").insert(format!("{:?}", status.auth.state));
        }
    });
    wait_for("two renewals", || logins(&scene) >= 3).await;
    synced(&daemon).await;
    let words = words.lock().expect("the words").clone();
    assert!(!words.contains("Expired") && !words.contains("Rejected"), "{words:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_once_and_a_corrected_one_after_a_reload() {
    let scene = with_password("wrong");
    let config = Arc::new(Mutex::new(scene.config.clone()));
    let daemon = scene.start_reloading(&config).await;
    let status = status_where(&daemon, "refused", |status| says(status, "login_refused")).await;
    assert_eq!((status.status, status.reason), (StatusWord::Offline, Some(OfflineReason::AuthRequired)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(logins(&scene), 1, "more of the same would only lock the account");

    std::fs::write(scene.config.auth.password_file.as_ref().expect("configured"), "correct horse").expect("written");
    call(&daemon, ConfigReload {}).await;
    let status = synced(&daemon).await;
    assert!(!says(&status, "login_refused"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_the_server_can_not_answer_is_tried_again() {
    let scene = with_password("correct horse");
    scene.world.faults().next(3, Fault::LoginOutage);
    let daemon = scene.start().await;
    let status = status_where(&daemon, "a retry is announced", |status| status.retry_at.is_some()).await;
    assert_eq!(status.reason, Some(OfflineReason::Unreachable));
    synced(&daemon).await;
    assert_eq!(daemon.status().borrow().last_error, None);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_changes_of_one_tenant_wait_while_another_is_served_and_are_delivered_when_it_is_back() {
    let mut scene = Scene::hurried();
    let other = scene.world.add_customer("bob@example.com", "battery staple");
    scene.world.device(&scene.tenant).insert("end_user", &json!({"email": "ours@example.com"})).expect("inserted");
    let daemon = scene.start().await;
    synced(&daemon).await;
    let gone = scene.kill_server();
    offline(&daemon, OfflineReason::Unreachable).await;
    let id = queue(&daemon, "parked@example.com").await;

    call(&daemon, set_token(scene.world.token(&other))).await;
    scene.revive(gone);
    let status = status_where(&daemon, "the other tenant is synced", |status| {
        status.status == StatusWord::Synced && status.server.tenant_id.as_deref() == Some(&other)
    })
    .await;
    assert!(says(&status, "parked"), "{status:#?}");
    assert_eq!(records(&daemon, "end_user").await.len(), 0, "nothing of the first tenant is shown to the second");
    let parked = outbox(&daemon).await;
    assert_eq!((parked.len(), parked[0].parked), (1, true));
    let theirs = push(&daemon, "end_user", json!({"email": "theirs@example.com"}), PushWait::Confirmed).await;
    // Whatever makes it push: the parked change is not among it.
    scene.world.end_sockets(SocketEnd::Cut, None);
    call(&daemon, Sync {}).await;
    synced(&daemon).await;
    assert_eq!(scene.world.rows(&other, "end_user").len(), 1);
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &id).received, 0);

    call(&daemon, set_token(scene.world.token(&scene.tenant))).await;
    status_where(&daemon, "the first tenant is served", |status| {
        status.status == StatusWord::Synced && status.server.tenant_id.as_deref() == Some(&scene.tenant)
    })
    .await;
    converged(&scene, &daemon).await;
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &id).inserted, 1);
    assert_eq!(scene.world.writes(&other, "end_user", &id).received, 0);
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &theirs.id).received, 0);
    let foreign = scene.world.requests().iter().filter(|request| request.route == Route::Push).count();
    assert_eq!(foreign, 2, "one push for each tenant");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_was_rotated_is_taken_up_by_a_reload_also_when_it_expires_earlier() {
    let mut scene = Scene::hurried();
    let config = Arc::new(Mutex::new(scene.config.clone()));
    let daemon = scene.start_reloading(&config).await;
    let before = synced(&daemon).await;
    scene.use_token(&scene.world.mint(&TokenSpec::customer(&scene.tenant).expires_in(7_200)));
    call(&daemon, ConfigReload {}).await;
    let status = status_where(&daemon, "the new token", |status| {
        status.auth.expires_at < before.auth.expires_at && status.status == StatusWord::Synced
    })
    .await;
    assert!(status.server.connected_since > before.server.connected_since, "a new token starts a new session");
    daemon.stop().await;
}
