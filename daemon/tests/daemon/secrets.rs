//! Nothing that is secret is ever logged (rule R41): every way to sign in, to fail at it and to sync, at the finest level, in every format.
//!
//! The log belongs to a process, so that the scenarios run in a child whose stderr is searched.

use std::path::{Path, PathBuf};
use std::process::Command;

use adminengine_dev::{Fault, TokenSpec};
use aesync_protocol::request::{AuthLogin, AuthLogout, AuthSetToken, ConfigGet, ConfigReload, Metrics, PushWait, Sync};
use aesync_protocol::status::{AuthWord, OfflineReason};
use aesyncd::Daemon;
use aesyncd::config::{LogConfig, LogFormat};
use aesyncd::service::log::Log;
use serde_json::json;

use crate::support::apps::{call, push, try_call};
use crate::support::{Scene, status_where, synced};

/// The file in which a child leaves the secrets that it used, one a line. The variable also tells a child that it is one.
const SECRETS: &str = "LOG_SECRETS_FILE";
const FORMAT: &str = "LOG_SECRETS_FORMAT";

const PASSWORD: &str = "correct horse";
const WRONG: &str = "wr0ng-passw0rd-of-nobody";
/// The password of a row that the server hands out; it is taken out before anything else sees it.
const OF_A_ROW: &str = "row-passw0rd-hash-4711";

struct Used(PathBuf);

impl Used {
    fn note(&self, secret: &str) -> String {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.0).expect("the file of the secrets");
        writeln!(file, "{secret}").expect("written");
        secret.to_owned()
    }
}

fn login(password: String) -> AuthLogin {
    AuthLogin { email: "ada@example.com".to_owned(), password, server: None }
}

async fn set_token(daemon: &Daemon, token: String) -> bool {
    try_call(daemon, AuthSetToken { token, tenant_id: None }).await.is_ok()
}

/// Signs in in every way, and fails at it in every way.
async fn sign_ins(used: &Used) {
    let mut scene = Scene::hurried();
    scene.use_token(&used.note(&scene.world.token(&scene.tenant)));
    let row = json!({"email": "grace@example.com", "name": "Grace", "password": used.note(OF_A_ROW)});
    scene.world.device(&scene.tenant).insert("end_user", &row).expect("inserted");
    let daemon = scene.start().await;
    synced(&daemon).await;
    push(&daemon, "end_user", json!({"email": "own@example.com", "name": "Own"}), PushWait::Confirmed).await;
    call(&daemon, AuthLogout {}).await;
    try_call(&daemon, login(used.note(WRONG))).await.expect_err("a wrong password");
    call(&daemon, login(used.note(PASSWORD))).await;
    synced(&daemon).await;
    used.note(&std::fs::read_to_string(scene.state_dir().join("token")).expect("a token is kept"));
    for refused in ["eyJhbGciOiJub25lIn0.bm90aGluZyB0byBzZWU.c2lnbmF0dXJl", "not-a-t0ken-at-all"] {
        assert!(!set_token(&daemon, used.note(refused)).await, "{refused}");
    }
    let rejected = scene.mint(&TokenSpec::customer(&scene.tenant).wrongly_signed());
    assert!(set_token(&daemon, used.note(&rejected)).await);
    // The server rejects it, and the daemon signs in again with what it remembers.
    status_where(&daemon, "another token", |status| status.server.reconnects >= 2 && status.auth.state == AuthWord::Valid).await;
    synced(&daemon).await;
    call(&daemon, AuthLogout {}).await;
    call(&daemon, ConfigGet {}).await;
    call(&daemon, Metrics {}).await;
    daemon.stop().await;
}

/// Password and token files, good and bad, and reloads of them.
async fn files(used: &Used) {
    let mut scene = Scene::hurried();
    scene.config.auth.token_file = None;
    let file = scene.dir.path().join("password");
    std::fs::write(&file, used.note(WRONG)).expect("written");
    scene.config.auth.email = Some("ada@example.com".to_owned());
    scene.config.auth.password_file = Some(file.clone());
    let config = std::sync::Arc::new(std::sync::Mutex::new(scene.config.clone()));
    let daemon = scene.start_reloading(&config).await;
    status_where(&daemon, "the password is refused", |status| status.reason == Some(OfflineReason::AuthRequired)).await;
    std::fs::write(&file, used.note(PASSWORD)).expect("written");
    call(&daemon, ConfigReload {}).await;
    synced(&daemon).await;
    daemon.stop().await;

    scene.config.auth.email = None;
    scene.config.auth.password_file = None;
    scene.use_token(&used.note("a-f1le-with-no-token-in-it"));
    let daemon = scene.start().await;
    status_where(&daemon, "the file holds no token", |status| !status.attention.is_empty()).await;
    daemon.stop().await;
}

/// The server fails in the ways that log the most.
async fn faults(used: &Used) {
    let mut scene = Scene::hurried();
    scene.use_token(&used.note(&scene.world.token(&scene.tenant)));
    let daemon = scene.start().await;
    synced(&daemon).await;
    scene.world.faults().next(3, Fault::DropAnswer);
    let _ = try_call(&daemon, Sync {}).await;
    let gone = scene.kill_server();
    status_where(&daemon, "the server is gone", |status| status.reason == Some(OfflineReason::Unreachable)).await;
    scene.revive(gone);
    synced(&daemon).await;
    daemon.stop().await;
}

fn scenarios(file: &Path, format: LogFormat) {
    Log::start(&LogConfig { filter: "trace".to_owned(), format }).expect("a log");
    let used = Used(file.to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        sign_ins(&used).await;
        files(&used).await;
        faults(&used).await;
    });
}

#[test]
fn at_the_finest_level_no_log_holds_a_token_or_a_password() {
    if let Some(file) = std::env::var_os(SECRETS) {
        let format = match std::env::var(FORMAT).as_deref() {
            Ok("json") => LogFormat::Json,
            Ok("journal") => LogFormat::Journal,
            _ => LogFormat::Pretty,
        };
        return scenarios(Path::new(&file), format);
    }
    for format in ["journal", "json", "pretty"] {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, output) = (dir.path().join("secrets"), dir.path().join("stderr"));
        let status = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", "secrets::at_the_finest_level_no_log_holds_a_token_or_a_password", "--nocapture"])
            .env(SECRETS, &file)
            .env(FORMAT, format)
            // It has a log of its own.
            .env_remove("AESYNC_TEST_LOGS")
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(&output).expect("writable"))
            .status();
        let logged = String::from_utf8_lossy(&std::fs::read(&output).expect("readable")).into_owned();
        let end = logged.char_indices().nth_back(4_000).map_or(0, |(at, _)| at);
        assert!(status.expect("a child").success(), "{}", &logged[end..]);
        // The log was on, at its finest: the crates around the daemon speak at that level only.
        for part in ["signed in", "sled", "TRACE"].iter().take(if format == "journal" { 2 } else { 3 }) {
            assert!(logged.contains(part), "{part} in the {format} log of {} bytes", logged.len());
        }
        // Nor those that the daemon fetched by itself: what any JWT has between its header and its claims.
        assert!(!logged.contains(".eyJ"), "a token is in the {format} log");
        let secrets = std::fs::read_to_string(&file).expect("secrets were used");
        assert!(secrets.lines().count() >= 10, "{secrets}");
        for secret in secrets.lines() {
            // A token's signature alone is as secret as all of it; its beginning is the same for all.
            for part in [secret, secret.rsplit('.').next().unwrap_or(secret)] {
                let found = logged.lines().find(|line| line.contains(part));
                assert!(found.is_none(), "{part:?} is in the {format} log: {found:?}");
            }
        }
    }
}
