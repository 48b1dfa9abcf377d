//! What a configuration means: for the engine, for those who ask for it, and for a reload.

use aesync_protocol::endpoint::Scope;
use aesyncd::config::{Config, Environment, key_names};
use aesyncd::engine::settings::Settings;

const EXAMPLE: &str = include_str!("../../../systemd/aesyncd.toml");

/// Values that are no defaults, for every key.
const OTHERS: &str = r#"
[server]
url = "https://other.example.org"
tenant = "t"
ca_file = "/ca.pem"
[auth]
email = "a@b.c"
password_file = "/p"
[sync]
entity_types = ["interactions", "end_user"]
interval = "7m"
overlap = "11s"
reconcile_interval = "13h"
announce_status = false
batch_bytes = "63KiB"
batch_count = 24
[replica]
secret_fields = ["password", "pin"]
[ipc]
socket = "/s"
max_connections = 7
max_message = "1MiB"
[access]
observers = ["a"]
operators = ["b"]
admins = ["@c"]
[state]
dir = "/state"
cache = "8MiB"
feed_retention = "31d"
feed_size = "9MiB"
[log]
filter = "debug"
format = "json"
[tuning]
hint_delay = "151ms"
pull_gap = "2s"
http_interval = "61s"
backoff_min = "2s"
backoff_max = "61s"
stable_after = "31s"
ping_interval = "29s"
silence = "61s"
request_timeout = "62s"
reconcile_agree = "6m"
entity_bytes = "98KiB"
outbox_entries = 3
outbox_bytes = "1GiB"
ring = "1MiB"
"#;

fn parsed(text: &str) -> Config {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("aesyncd.toml");
    std::fs::write(&path, text).expect("writable");
    Config::load(Some(&path), &Environment::default(), &Scope::System.into()).unwrap_or_else(|error| panic!("{error}")).config
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

#[test]
fn without_a_file_the_engine_works_by_the_rules_own_numbers() {
    let rules = Settings::new("", None, &["end_user", "interactions"]);
    assert_eq!(Config::default().settings(), rules);
}

#[test]
fn every_number_of_the_file_reaches_the_engine() {
    let settings = parsed(OTHERS).settings();
    let rules = Settings::new("https://other.example.org", Some("t"), &["interactions", "end_user"]);
    let expected = Settings {
        secret_fields: vec!["password".into(), "pin".into()],
        announce: false,
        interval: std::time::Duration::from_secs(420),
        http_interval: std::time::Duration::from_secs(61),
        overlap_ms: 11_000,
        hint_delay: std::time::Duration::from_millis(151),
        pull_gap: std::time::Duration::from_secs(2),
        batch_bytes: 63 * 1024,
        batch_count: 24,
        entity_bytes: 98 * 1024,
        outbox_entries: 3,
        outbox_bytes: 1 << 30,
        backoff_min: std::time::Duration::from_secs(2),
        backoff_max: std::time::Duration::from_secs(61),
        stable_after: std::time::Duration::from_secs(31),
        reconcile_interval: std::time::Duration::from_secs(13 * 3600),
        reconcile_agree_ms: 360_000,
        feed_retention_ms: 31 * 86_400_000,
        feed_bytes: 9 * 1024 * 1024,
        ..rules
    };
    assert_eq!(settings, expected);
}

#[test]
fn the_shown_configuration_is_one_that_can_be_read_again() {
    for config in [Config::default(), parsed(OTHERS)] {
        let text = toml::to_string(&config.shown()).expect("TOML");
        assert_eq!(parsed(&text), config, "{text}");
    }
}

#[test]
fn a_reload_applies_what_it_can_and_names_what_needs_a_restart() {
    let (old, new) = (Config::default(), parsed(OTHERS));
    let changes = old.diff(&new);
    let live = |key: &str| {
        let section = key.split('.').next().unwrap_or_default();
        matches!(section, "auth" | "access") || (section == "sync" && key != "sync.entity_types") || key == "log.filter"
    };
    let is_default = |key: &str| old.shown().pointer(&pointer(key)) == new.shown().pointer(&pointer(key));
    let (expected_live, expected_restart): (Vec<&str>, Vec<&str>) =
        key_names().filter(|key| !is_default(key)).partition(|key| live(key));
    assert_eq!(key_names().filter(|key| is_default(key)).collect::<Vec<_>>(), ["auth.token_file"]);
    assert_eq!(changes.changed, expected_live);
    assert_eq!(changes.restart_needed, expected_restart);
    assert_eq!(old.diff(&old), aesyncd::config::Changes::default());

    let reloaded = old.reloaded(&new);
    assert_eq!(old.diff(&reloaded).changed, expected_live);
    assert!(old.diff(&reloaded).restart_needed.is_empty());
    assert!(reloaded.diff(&new).changed.is_empty());
}

#[test]
fn the_example_file_shows_every_key_with_its_default() {
    let defaults = Config::default().shown();
    let mut section = "";
    let mut shown = Vec::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) =
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).and_then(|l| l.split_once(" = "))
        {
            let key = format!("{section}.{key}");
            let default = defaults.pointer(&pointer(&key));
            let value: toml::Table = format!("value = {value}").parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            let value = serde_json::to_value(value).expect("JSON");
            assert!(default.is_none_or(|default| value.get("value") == Some(default)), "{line}: the default is {default:?}");
            shown.push(key);
        }
    }
    assert_eq!(shown, key_names().collect::<Vec<_>>());
}

#[test]
fn the_example_file_can_be_used_as_it_is_and_with_every_key_uncommented() {
    assert_eq!(parsed(EXAMPLE), Config::default());
    let uncommented: Vec<&str> = EXAMPLE
        .lines()
        .filter(|line| !line.starts_with("#token_file"))
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let config = parsed(&uncommented.join("\n"));
    assert!(config.server.url.is_some() && config.auth.password_file.is_some());
    let (shown, defaults) = (config.shown(), Config::default().shown());
    for key in key_names().filter(|key| defaults.pointer(&pointer(key)).is_some()) {
        assert_eq!(shown.pointer(&pointer(key)), defaults.pointer(&pointer(key)), "{key}");
    }
}
