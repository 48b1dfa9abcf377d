//! A daemon that is told nothing: it starts, and the first sign-in finishes the set-up. And what it remembers of that.

use std::sync::{Arc, Mutex};

use adminengine_dev::{DevServer, Options, Route, World};
use aesync_protocol::request::{AuthLogin, AuthLogout, AuthSetToken, ConfigReload, PushWait};
use aesync_protocol::status::OfflineReason;
use aesync_protocol::{Error, StatusWord};
use aesyncd::Daemon;
use serde_json::json;

use crate::support::apps::{call, code, outbox, push, records, try_call};
use crate::support::{Scene, status_where, synced};

/// A scene whose daemon knows neither a server nor a way to sign in.
fn bare() -> (Scene, String) {
    let mut scene = Scene::hurried();
    scene.config.auth.token_file = None;
    let url = scene.config.server.url.take().expect("a server");
    (scene, url)
}

fn login(server: Option<&str>) -> AuthLogin {
    let (email, password) = ("ada@example.com".to_owned(), "correct horse".to_owned());
    AuthLogin { email, password, server: server.map(str::to_owned) }
}

async fn offline(daemon: &Daemon, reason: OfflineReason) -> Arc<aesync_protocol::Status> {
    status_where(daemon, &format!("{reason:?}"), |status| status.reason == Some(reason)).await
}

async fn refused(daemon: &Daemon, server: Option<&str>) -> Error {
    try_call(daemon, login(server)).await.expect_err("refused")
}

/// Another server with the same account on it, and that one's tenant.
fn another_server() -> (DevServer, Arc<World>, String) {
    let world = World::new();
    let server = DevServer::start(Options::new(Arc::clone(&world))).expect("the development server starts");
    let tenant = world.add_customer("ada@example.com", "correct horse");
    (server, world, tenant)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_without_configuration_is_signed_out_until_a_login_names_the_server() {
    let (scene, url) = bare();
    let daemon = scene.start().await;
    let status = offline(&daemon, OfflineReason::SignedOut).await;
    assert_eq!((status.server.url.as_str(), status.attention.len()), ("", 0));

    let nowhere = refused(&daemon, None).await;
    assert_eq!(code(&nowhere), "misconfigured");
    assert!(nowhere.data.expect("details").hint.expect("a hint").contains("aectl login --server URL"));
    let token = AuthSetToken { token: scene.world.token(&scene.tenant), tenant_id: None };
    assert_eq!(code(&try_call(&daemon, token).await.expect_err("a token for which server?")), "misconfigured");

    assert_eq!(call(&daemon, login(Some(&format!("{url}/")))).await.tenant_id, scene.tenant);
    let status = synced(&daemon).await;
    assert_eq!(status.server.url, url);
    let entry = push(&daemon, "end_user", json!({"email": "first@example.com"}), PushWait::Confirmed).await;
    assert_eq!(scene.world.writes(&scene.tenant, "end_user", &entry.id).inserted, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_of_the_login_is_there_after_a_restart_and_after_a_logout() {
    let (scene, url) = bare();
    let daemon = scene.start().await;
    call(&daemon, login(Some(&url))).await;
    synced(&daemon).await;
    daemon.stop().await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = scene.state_dir().join("server").metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    let daemon = scene.start().await;
    assert_eq!(synced(&daemon).await.server.url, url);
    call(&daemon, AuthLogout {}).await;
    offline(&daemon, OfflineReason::SignedOut).await;
    daemon.stop().await;

    let daemon = scene.start().await;
    assert_eq!(offline(&daemon, OfflineReason::SignedOut).await.server.url, url);
    call(&daemon, login(None)).await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_the_server_that_the_login_named() {
    let (mut scene, url) = bare();
    let config = Arc::new(Mutex::new(scene.config.clone()));
    let daemon = scene.start_reloading(&config).await;
    call(&daemon, login(Some(&url))).await;
    synced(&daemon).await;
    scene.config.sync.interval = std::time::Duration::from_secs(7);
    *config.lock().expect("the configuration") = scene.config.clone();
    assert_eq!(call(&daemon, ConfigReload {}).await.changed, ["sync.interval"]);
    assert_eq!(synced(&daemon).await.server.url, url);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_can_not_go_elsewhere_than_to_the_configured_server() {
    let scene = {
        let mut scene = Scene::hurried();
        scene.config.auth.token_file = None;
        scene
    };
    let (elsewhere, world, _) = another_server();
    let daemon = scene.start().await;
    let error = refused(&daemon, Some(&elsewhere.url())).await;
    assert_eq!(code(&error), "misconfigured");
    assert!(error.message.contains(&elsewhere.url()), "{error:?}");
    assert!(world.requests().is_empty(), "the password was sent nowhere");
    let configured = scene.config.server.url.clone().expect("a server");
    call(&daemon, login(Some(&configured.to_uppercase().replace("HTTP", "http")))).await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_none_is_refused_and_nothing_changes() {
    let (scene, url) = bare();
    let daemon = scene.start().await;
    for (server, part) in [("admin.example.org", "no URL"), ("ftp://h", "\"ftp\""), ("http://me:hunter2@h", "password")] {
        let error = refused(&daemon, Some(server)).await;
        assert_eq!(error.code, aesync_protocol::error::rpc::INVALID_PARAMS, "{error:?}");
        assert!(error.message.contains(part) && !error.message.contains("hunter2"), "{error:?}");
    }
    // Nobody listens there.
    assert_eq!(code(&refused(&daemon, Some("http://127.0.0.1:9")).await), "offline");
    let status = offline(&daemon, OfflineReason::SignedOut).await;
    assert_eq!(status.server.url, "");
    assert!(!scene.state_dir().join("server").exists());
    call(&daemon, login(Some(&url))).await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_at_another_server_starts_with_its_own_state_and_sends_nothing_of_the_first() {
    let (mut scene, url) = bare();
    let (elsewhere, world, tenant) = another_server();
    let daemon = scene.start().await;
    call(&daemon, login(Some(&url))).await;
    synced(&daemon).await;
    let kept = push(&daemon, "end_user", json!({"email": "kept@example.com"}), PushWait::Confirmed).await;
    let gone = scene.kill_server();
    offline(&daemon, OfflineReason::Unreachable).await;
    let parked = push(&daemon, "end_user", json!({"email": "parked@example.com"}), PushWait::Queued).await;

    assert_eq!(call(&daemon, login(Some(&elsewhere.url()))).await.tenant_id, tenant);
    let status = synced(&daemon).await;
    assert_eq!(status.server.url, elsewhere.url());
    assert_eq!(records(&daemon, "end_user").await.len(), 0);
    assert!(outbox(&daemon).await.iter().all(|entry| entry.parked));
    assert_eq!(world.rows(&tenant, "end_user").len(), 0);

    scene.revive(gone);
    call(&daemon, login(Some(&url))).await;
    status_where(&daemon, "the parked change is delivered", |status| {
        status.status == StatusWord::Synced && status.server.url == url && status.outbox.pending == 0
    })
    .await;
    for id in [&kept.id, &parked.id] {
        assert_eq!(scene.world.writes(&scene.tenant, "end_user", id).inserted, 1);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_last_login_is_not_sent_to_another_server_that_the_configuration_names_since() {
    let (mut scene, url) = bare();
    let daemon = scene.start().await;
    call(&daemon, login(Some(&url))).await;
    synced(&daemon).await;
    daemon.stop().await;

    let (elsewhere, world, _) = another_server();
    scene.config.server.url = Some(elsewhere.url());
    let daemon = scene.start().await;
    let status = offline(&daemon, OfflineReason::SignedOut).await;
    assert_eq!(status.server.url, elsewhere.url(), "the configuration wins");
    assert!(world.requests().is_empty() && world.sockets().is_empty());
    call(&daemon, login(None)).await;
    synced(&daemon).await;
    assert!(world.requests().iter().any(|request| request.route == Route::Pull));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_to_sign_in_without_a_server_is_a_misconfiguration_that_says_what_to_set() {
    let (mut scene, url) = bare();
    let password = scene.dir.path().join("password");
    std::fs::write(&password, "correct horse").expect("written");
    scene.config.auth.email = Some("ada@example.com".to_owned());
    scene.config.auth.password_file = Some(password);
    let daemon = scene.start().await;
    let status = offline(&daemon, OfflineReason::Misconfigured).await;
    assert!(status.attention.iter().any(|attention| attention.message.contains("set server.url")), "{status:#?}");
    call(&daemon, login(Some(&url))).await;
    synced(&daemon).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remembered_server_that_can_not_be_read_is_asked_for_again() {
    let (scene, url) = bare();
    std::fs::create_dir_all(scene.state_dir()).expect("made");
    std::fs::write(scene.state_dir().join("server"), [0xff, 0xfe]).expect("written");
    let daemon = scene.start().await;
    offline(&daemon, OfflineReason::SignedOut).await;
    call(&daemon, login(Some(&url))).await;
    synced(&daemon).await;
    daemon.stop().await;
    assert_eq!(std::fs::read_to_string(scene.state_dir().join("server")).expect("readable"), url);
}
