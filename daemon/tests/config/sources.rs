//! Where a configuration comes from: defaults, the file, variables, systemd.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aesync_protocol::endpoint::Scope;
use aesyncd::config::{Config, Environment, Installation, Loaded, LogFormat, default_file, make_user_directories};

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn load(text: &str, variables: &[(&str, &str)]) -> Loaded {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("aesyncd.toml");
    std::fs::write(&path, text).expect("writable");
    let mut loaded =
        Config::load(Some(&path), &environment(variables), &Scope::System.into()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.file.take(), Some(path));
    loaded
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    load(text, variables).config
}

#[test]
fn every_key_of_the_contract_has_its_documented_default() {
    let config = config("", &[]);
    assert_eq!(
        config.shown().to_string(),
        concat!(
            r#"{"server":{},"auth":{},"#,
            r#""sync":{"entity_types":["end_user","interactions"],"interval":"5m","overlap":"10s","reconcile_interval":"12h","#,
            r#""announce_status":true,"batch_bytes":"64KiB","batch_count":25},"#,
            r#""replica":{"secret_fields":["password"]},"ipc":{"max_connections":1024,"max_message":"8MiB"},"#,
            r#""access":{"observers":[],"operators":[],"admins":[]},"state":{"cache":"64MiB","feed_retention":"30d","feed_size":"128MiB"},"#,
            r#""log":{"filter":"info","format":"auto"},"#,
            r#""tuning":{"hint_delay":"150ms","pull_gap":"1s","http_interval":"1m","backoff_min":"1s","backoff_max":"1m","#,
            r#""stable_after":"30s","ping_interval":"45s","silence":"1m","request_timeout":"1m","reconcile_agree":"5m","#,
            r#""entity_bytes":"99KiB","outbox_entries":2000000,"outbox_bytes":"2GiB","ring":"16MiB"}}"#,
        )
    );
    assert_eq!(config, Config::default());
}

#[test]
fn the_file_goes_over_the_defaults_and_variables_go_over_the_file() {
    let text = "[sync]\ninterval = '1h'\noverlap = '30s'\n[access]\nadmins = ['root']\nobservers = ['@all']\n";
    let variables = [
        ("AESYNC_SYNC__INTERVAL", "2min"),
        ("AESYNC_ACCESS__ADMINS", "alice, @wheel"),
        ("AESYNC_ACCESS__OBSERVERS", "[]"),
        ("AESYNC_ACCESS__OPERATORS", "['bob']"),
        ("AESYNC_SYNC__ANNOUNCE_STATUS", "false"),
        ("AESYNC_SYNC__BATCH_BYTES", "1000"),
        ("AESYNC_IPC__MAX_MESSAGE", "1MiB"),
        ("AESYNC_LOG__FORMAT", "json"),
        ("AESYNC_SERVER__URL", "https://h"),
    ];
    let config = config(text, &variables);
    assert_eq!(config.sync.interval, Duration::from_secs(120));
    assert_eq!(config.sync.overlap, Duration::from_secs(30));
    assert_eq!(config.sync.reconcile_interval, Duration::from_secs(12 * 3600));
    assert_eq!(config.access.admins, ["alice", "@wheel"]);
    assert_eq!(config.access.operators, ["bob"]);
    assert!(config.access.observers.is_empty() && !config.sync.announce_status);
    assert_eq!((config.sync.batch_bytes, config.ipc.max_message), (1000, 1 << 20));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.server.url.as_deref(), Some("https://h"));
}

#[test]
fn variables_that_are_none_of_the_configuration_are_left_alone() {
    let variables = [("AESYNC_SOCKET", "/s"), ("AESYNC_SERVER__URL", ""), ("AESYNCD_X__Y", "1"), ("OTHER__KEY", "1")];
    assert_eq!(config("", &variables), Config::default());
}

#[test]
fn the_address_and_the_tenant_are_kept_in_one_form() {
    let config = config("[server]\nurl = 'HTTPS://Admin.Example.org:443/'\ntenant = 'AB-Cd'", &[]);
    assert_eq!(config.server.url.as_deref(), Some("https://admin.example.org"));
    assert_eq!(config.server.tenant.as_deref(), Some("ab-cd"));
}

#[test]
fn relative_paths_count_from_the_files_directory_and_in_variables_from_the_working_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("aesyncd.toml");
    std::fs::write(&path, "[state]\ndir = 'state'\n[server]\nca_file = '/ca.pem'\n").expect("writable");
    let variables = environment(&[("AESYNC_IPC__SOCKET", "s.sock")]);
    let config = Config::load(Some(&path), &variables, &Scope::User.into()).expect("valid").config;
    assert_eq!(config.state.dir, Some(dir.path().join("state")));
    assert_eq!(config.server.ca_file, Some(PathBuf::from("/ca.pem")));
    assert_eq!(config.ipc.socket, Some(PathBuf::from("s.sock")));
}

#[test]
fn a_users_default_file_is_read_when_it_is_there() {
    let home = tempfile::tempdir().expect("a directory");
    let variables = environment(&[("HOME", home.path().to_str().expect("UTF-8"))]);
    let without = Config::load(None, &variables, &Scope::User.into()).expect("defaults");
    assert_eq!(without, Loaded { config: Config::default(), file: None, warnings: Vec::new(), places: BTreeMap::new() });

    let path = home.path().join(".config/aesyncd/aesyncd.toml");
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
    std::fs::write(&path, "[sync]\ninterval = '1h'").expect("writable");
    let with = Config::load(None, &variables, &Scope::User.into()).expect("valid");
    assert_eq!(with.file, Some(path));
    assert_eq!(with.config.sync.interval, Duration::from_secs(3600));
}

#[test]
fn a_default_file_that_is_there_and_can_not_be_read_is_an_error() {
    let home = tempfile::tempdir().expect("a directory");
    let config_home = home.path().to_str().expect("UTF-8");
    std::fs::create_dir_all(home.path().join("aesyncd/aesyncd.toml")).expect("writable");
    let error =
        Config::load(None, &environment(&[("XDG_CONFIG_HOME", config_home)]), &Scope::User.into()).expect_err("a directory");
    assert!(error.to_string().contains("aesyncd.toml"), "{error}");
}

#[test]
fn the_state_directory_is_the_configured_one_then_systemds_then_the_scopes_own() {
    let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
    let chosen = |configured: Option<&str>, variables: &[(&str, &str)], scope: Scope| {
        let mut config = Config::default();
        config.state.dir = configured.map(PathBuf::from);
        config.state_dir(&environment(variables), &scope.into()).ok()
    };
    for (configured, variables, scope, expected) in [
        (Some("/c"), &all[..], Scope::System, Some("/c")),
        (None, &all[..], Scope::System, Some("/var/lib/a")),
        (None, &all[1..], Scope::System, Some("/var/lib/aesyncd")),
        (None, &all[1..], Scope::User, Some("/x/aesyncd")),
        (None, &all[2..], Scope::User, Some("/h/.local/state/aesyncd")),
        (None, &[("XDG_STATE_HOME", "x"), ("HOME", "h")], Scope::User, None),
    ] {
        assert_eq!(chosen(configured, variables, scope), expected.map(PathBuf::from), "{configured:?} {variables:?} {scope:?}");
    }
}

#[test]
fn the_socket_is_the_options_then_the_variables_then_the_configured_one_then_the_scopes_own() {
    let mut config = Config::default();
    config.ipc.socket = Some(PathBuf::from("/c"));
    let with = environment(&[("AESYNC_SOCKET", "/v"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
    let without = environment(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
    let path = |config: &Config, option: Option<&str>, environment: &Environment, scope: Scope| {
        config.socket_path(option.map(Path::new), environment, &scope.into()).expect("a path")
    };
    assert_eq!(path(&config, Some("/o"), &with, Scope::System), Path::new("/o"));
    assert_eq!(path(&config, None, &with, Scope::System), Path::new("/v"));
    assert_eq!(path(&config, None, &without, Scope::System), Path::new("/c"));
    if cfg!(unix) {
        let config = Config::default();
        assert_eq!(path(&config, None, &without, Scope::System), Path::new("/run/aesyncd/aesyncd.sock"));
        assert_eq!(path(&config, None, &without, Scope::User), Path::new("/run/user/7/aesyncd/aesyncd.sock"));
    }
}

#[test]
fn the_token_that_systemd_hands_over_is_the_configured_one_when_no_other_is_and_nobody_is_warned_of_it() {
    let credentials = tempfile::tempdir().expect("a directory");
    let variables = [("CREDENTIALS_DIRECTORY", credentials.path().to_str().expect("UTF-8"))];
    assert_eq!(load("", &variables).config, Config::default());

    let token = credentials.path().join("aesyncd.token");
    std::fs::write(&token, "a.b.c").expect("writable");
    #[cfg(unix)]
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o440)).expect("mine");
    let loaded = load("", &variables);
    assert_eq!(loaded.config.auth.token_file, Some(token));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);

    let loaded = load("[auth]\ntoken_file = '/t'", &variables);
    assert_eq!(loaded.config.auth.token_file, Some(PathBuf::from("/t")));
    assert!(!loaded.warnings.iter().any(|warning| warning.contains("aesyncd.token")), "{:?}", loaded.warnings);
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_may_read_gives_a_warning_with_the_command_that_helps() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    std::fs::write(&path, "x").expect("writable");
    let name = path.display();
    for text in [format!("[auth]\ntoken_file = '{name}'"), format!("[auth]\nemail = 'a@b.c'\npassword_file = '{name}'")] {
        for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mine");
            let warnings = load(&text, &[]).warnings;
            assert_eq!(!warnings.is_empty(), warned, "{mode:o} {warnings:?}");
            assert!(warnings.iter().all(|warning| warning.contains(&format!("chmod o= {name}"))), "{warnings:?}");
        }
    }
}

#[test]
fn an_instance_has_its_own_configuration_state_and_socket() {
    let home = tempfile::tempdir().expect("a directory");
    let variables = environment(&[
        ("XDG_CONFIG_HOME", home.path().to_str().expect("UTF-8")),
        ("XDG_STATE_HOME", "/x"),
        ("XDG_RUNTIME_DIR", "/run/user/7"),
    ]);
    std::fs::create_dir(home.path().join("aesyncd")).expect("writable");
    for (name, interval) in [("aesyncd", "1h"), ("shop", "2h")] {
        let path = home.path().join("aesyncd").join(format!("{name}.toml"));
        std::fs::write(path, format!("[sync]\ninterval = '{interval}'")).expect("writable");
    }
    for (instance, hours, state, socket) in [
        ("default", 1, "/x/aesyncd", "/run/user/7/aesyncd/aesyncd.sock"),
        ("shop", 2, "/x/aesyncd/instances/shop", "/run/user/7/aesyncd/shop.sock"),
    ] {
        let installation = Installation { scope: Scope::User, instance: instance.to_owned() };
        let config = Config::load(None, &variables, &installation).expect("valid").config;
        assert_eq!(config.sync.interval, Duration::from_secs(hours * 3600));
        assert_eq!(config.state_dir(&variables, &installation), Ok(PathBuf::from(state)));
        if cfg!(unix) {
            assert_eq!(config.socket_path(None, &variables, &installation), Ok(PathBuf::from(socket)));
        }
    }
    let system = Installation { scope: Scope::System, instance: "shop".to_owned() };
    assert_eq!(Config::default().state_dir(&variables, &system), Ok(PathBuf::from("/var/lib/aesyncd/instances/shop")));
    assert_eq!(default_file(&variables, &system), Some(PathBuf::from("/etc/aesyncd/shop.toml")));
}

#[cfg(unix)]
#[test]
fn a_users_own_directories_are_made_for_the_user_alone_and_chosen_ones_are_not_made() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().expect("a directory");
    let at = |path: &str| home.path().join(path);
    let text = |path: &str| at(path).to_str().expect("UTF-8").to_owned();
    let variables: Environment = [("HOME", text("")), ("XDG_RUNTIME_DIR", text("run"))].into_iter().collect();
    let (state, socket) = (at(".local/state/aesyncd/instances/shop"), at("run/aesyncd/shop.sock"));
    make_user_directories(&variables, &state, &socket).expect("made");
    for made in [".local/state/aesyncd/instances", "run/aesyncd"] {
        assert_eq!(at(made).metadata().expect(made).permissions().mode() & 0o777, 0o700, "{made}");
    }
    assert!(!state.exists(), "the store makes its own");
    make_user_directories(&variables, &at("chosen/state"), &at("elsewhere/s.sock")).expect("nothing to do");
    assert!(!at("chosen").exists() && !at("elsewhere").exists());
    std::fs::write(at("file"), "").expect("writable");
    let variables: Environment = [("XDG_STATE_HOME", text("file"))].into_iter().collect();
    let error = make_user_directories(&variables, &at("file/aesyncd"), &socket).expect_err("a file is in the way");
    assert!(error.to_string().contains(&text("file")), "{error}");
}
