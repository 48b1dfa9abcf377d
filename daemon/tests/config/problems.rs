//! What is wrong in a configuration is said with its place, its key, and what is allowed instead.

use aesync_protocol::endpoint::Scope;
use aesyncd::config::{Config, ConfigError, Environment};

/// The message for a file with this text and these variables; the file is called `aesyncd.toml` in it.
fn refused(text: &str, variables: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("aesyncd.toml");
    std::fs::write(&path, text).expect("writable");
    let environment = variables.iter().copied().collect();
    let error = Config::load(Some(&path), &environment, &Scope::System.into()).expect_err(text);
    error.to_string().replace(&path.display().to_string(), "aesyncd.toml")
}

#[test]
fn a_wrong_value_is_named_with_its_line_its_key_what_is_wrong_and_what_is_allowed() {
    for (text, place, wrong, allowed) in [
        ("[server]\nurl = 'ftp://h'", "aesyncd.toml:2: server.url: ", "\"ftp\"", "an http or https URL"),
        ("[server]\nurl = 'admin.example.org'", "aesyncd.toml:2: server.url: ", "no URL", "https://"),
        ("[server]\n\n\nurl = 'http://h/?a=b'", "aesyncd.toml:4: server.url: ", "query", "https://"),
        ("[server]\nurl = 7", "aesyncd.toml:2: server.url: ", "it is an integer", "an http or https URL"),
        ("[server]\ntenant = ' '", "aesyncd.toml:2: server.tenant: ", "empty", "a text in quotes"),
        ("[server]\ntenant = \"a\\nb\"", "aesyncd.toml:2: server.tenant: ", "more than one line", "on one line"),
        ("[server]\nca_file = ''", "aesyncd.toml:2: server.ca_file: ", "empty", "a path"),
        ("[state]\ndir = '~/x'", "aesyncd.toml:2: state.dir: ", "only a shell", "a path"),
        ("[sync]\ninterval = 300", "aesyncd.toml:2: sync.interval: ", "it is an integer", "a duration with its unit"),
        ("[sync]\ninterval = '300'", "aesyncd.toml:2: sync.interval: ", "\"300\" is no duration", "\"1s\" to \"7d\""),
        ("[sync]\ninterval = 'often'", "aesyncd.toml:2: sync.interval: ", "\"often\" is no duration", "\"90s\""),
        ("[sync]\ninterval = '999ms'", "aesyncd.toml:2: sync.interval: ", "too small", "\"1s\" to \"7d\""),
        ("[sync]\ninterval = '1year'", "aesyncd.toml:2: sync.interval: ", "too large", "\"1s\" to \"7d\""),
        ("[sync]\noverlap = '1us'", "aesyncd.toml:2: sync.overlap: ", "finer than a millisecond", "ms"),
        ("[sync]\nbatch_bytes = 100001", "aesyncd.toml:2: sync.batch_bytes: ", "too large", "1B to 100000B"),
        ("[sync]\nbatch_bytes = 'lots'", "aesyncd.toml:2: sync.batch_bytes: ", "no size", "\"64KiB\""),
        ("[sync]\nbatch_bytes = -1", "aesyncd.toml:2: sync.batch_bytes: ", "\"-1\" can't be used", "\"64KiB\""),
        ("[sync]\nbatch_count = 0", "aesyncd.toml:2: sync.batch_count: ", "too small", "from 1 to 1000"),
        ("[sync]\nbatch_count = 2.5", "aesyncd.toml:2: sync.batch_count: ", "it is a fraction", "a whole number"),
        ("[sync]\nbatch_count = '25'", "aesyncd.toml:2: sync.batch_count: ", "it is a text", "a whole number"),
        ("[sync]\nannounce_status = 'yes'", "aesyncd.toml:2: sync.announce_status: ", "it is a text", "true or false"),
        ("[sync]\nentity_types = []", "aesyncd.toml:2: sync.entity_types: ", "empty", "at least one"),
        ("[sync]\nentity_types = ['a', 'b', 'a']", "aesyncd.toml:2: sync.entity_types: ", "\"a\" is there twice", "once"),
        ("[sync]\nentity_types = ['a', '']", "aesyncd.toml:2: sync.entity_types: ", "name 2", "once"),
        ("[sync]\nentity_types = ['a b']", "aesyncd.toml:2: sync.entity_types: ", "white space", "once"),
        ("[sync]\nentity_types = [1]", "aesyncd.toml:2: sync.entity_types: ", "the list holds an integer", "a list"),
        ("[sync]\nentity_types = 'a'", "aesyncd.toml:2: sync.entity_types: ", "it is a text", "a list"),
        ("[ipc]\nmax_message = '1023B'", "aesyncd.toml:2: ipc.max_message: ", "too small", "1KiB to 64MiB"),
        ("[ipc]\nmax_connections = 0", "aesyncd.toml:2: ipc.max_connections: ", "too small", "from 1"),
        ("[access]\nadmins = ['@']", "aesyncd.toml:2: access.admins: ", "empty", "users and @groups"),
        ("[log]\nformat = 'xml'", "aesyncd.toml:2: log.format: ", "\"xml\"", "auto, pretty, json or journal"),
        ("[log]\nfilter = 'a=b=c'", "aesyncd.toml:2: log.filter: ", "no filter", "error, warn"),
        ("[log]\nfilter = 'inof'", "aesyncd.toml:2: log.filter: ", "did you mean info?", "error, warn"),
        ("[log]\nfilter = ''", "aesyncd.toml:2: log.filter: ", "empty", "off"),
        ("[tuning]\nentity_bytes = '1MiB'", "aesyncd.toml:2: tuning.entity_bytes: ", "too large", "1KiB to 102000B"),
        (
            "[tuning]\nbackoff_max = '500ms'",
            "aesyncd.toml:2: tuning.backoff_max: ",
            "backoff_min is longer than backoff_max",
            "at most as long",
        ),
        ("[tuning]\nping_interval = '2m'", "aesyncd.toml:2: tuning.ping_interval: ", "must be longer", "twice as long"),
    ] {
        let message = refused(text, &[]);
        assert!(message.starts_with(place), "{text}: {message}");
        let rest = message.get(place.len()..).expect("more");
        let (before, after) = rest.split_once("allowed: ").unwrap_or_else(|| panic!("{text}: {message}"));
        assert!(before.contains(wrong) && after.contains(allowed), "{text}: {message}");
    }
}

#[test]
fn what_is_spelt_wrong_or_stands_in_the_wrong_place_is_named_with_what_was_meant() {
    for (text, place, hint) in [
        ("[sync]\nintervall = '5m'", "aesyncd.toml:2: sync.intervall: ", "did you mean interval?"),
        ("sync.overalp = '5s'", "aesyncd.toml:1: sync.overalp: ", "did you mean overlap?"),
        ("[sync]\nurl = 'http://h'", "aesyncd.toml:2: sync.url: ", "it stands in the section [server]"),
        ("[auth]\npassword = 'hunter2'", "aesyncd.toml:2: auth.password: ", "name that file in password_file"),
        ("[auth]\ntoken = 'hunter2'", "aesyncd.toml:2: auth.token: ", "name that file in token_file"),
        ("[sync]\ncolour = 1", "aesyncd.toml:2: sync.colour: ", "allowed in [sync]: entity_types, interval, overlap"),
        ("[sever]\nurl = 'http://h'", "aesyncd.toml:1: ", "did you mean [server]?"),
        ("\n[zzz]", "aesyncd.toml:2: ", "allowed: [server], [auth], [sync]"),
        ("url = 'http://h'", "aesyncd.toml:1: ", "write it below [server]"),
        ("sync = 5", "aesyncd.toml:1: ", "write [sync]"),
        ("[[sync]]\ninterval = '5m'", "aesyncd.toml:1: ", "write [sync]"),
    ] {
        let message = refused(text, &[]);
        assert!(message.starts_with(place) && message.contains(hint), "{text}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn all_problems_of_a_file_are_told_at_once_in_the_order_of_their_lines() {
    let text = "[sync]\ninterval = 1\nbatch_count = 0\n[server]\nurl = ''\n[nowhere]\n";
    let message = refused(text, &[("AESYNC_LOG__FORMAT", "xml")]);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 6, "{message}");
    assert!(lines[0].contains("5 problems"), "{message}");
    for (line, place) in
        lines[1..].iter().zip(["aesyncd.toml:2:", "aesyncd.toml:3:", "aesyncd.toml:5:", "aesyncd.toml:6:", "AESYNC_LOG__FORMAT:"])
    {
        assert!(line.trim_start().starts_with(place), "{message}");
    }
}

#[test]
fn broken_toml_is_named_with_its_line_and_without_its_text() {
    for (text, line) in [
        ("[auth]\ntoken_file = hunter2", 2),
        ("[auth]\n\npassword_file = \"hunter2\n", 3),
        ("[auth\nemail = 'hunter2'", 1),
        ("[log]\nfilter = 'info'\nfilter = 'hunter2'", 3),
    ] {
        let message = refused(text, &[]);
        assert!(message.contains(&format!("aesyncd.toml:{line}: this is no TOML")), "{text}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn credentials_in_the_address_are_refused_and_never_repeated() {
    let message = refused("[server]\nurl = 'http://me:hunter2@h'", &[("AESYNC_SERVER__URL", "http://me:hunter2@h")]);
    assert_eq!(message.matches("user name or a password").count(), 2, "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn two_ways_to_sign_in_or_half_of_one_are_refused() {
    for (text, place, wrong) in [
        ("[auth]\ntoken_file = 't'\nemail = 'a@b.c'\npassword_file = 'p'", "aesyncd.toml:2: auth.token_file: ", "not both"),
        ("[auth]\nemail = 'a@b.c'\ntoken_file = 't'", "aesyncd.toml:3: auth.token_file: ", "not both"),
        ("[auth]\nemail = 'a@b.c'", "aesyncd.toml:2: auth.email: ", "needs auth.password_file"),
        ("[auth]\npassword_file = 'p'", "aesyncd.toml:2: auth.password_file: ", "needs auth.email"),
    ] {
        let message = refused(text, &[]);
        assert!(message.starts_with(place) && message.contains(wrong), "{text}: {message}");
    }
}

#[test]
fn a_wrong_variable_is_named_like_a_wrong_key() {
    for (name, value, place, wrong) in [
        ("AESYNC_SYNC__INTERVAL", "soon", "AESYNC_SYNC__INTERVAL: sync.interval: ", "\"soon\" is no duration"),
        ("AESYNC_SYNC__BATCH_COUNT", "many", "AESYNC_SYNC__BATCH_COUNT: sync.batch_count: ", "\"many\" can't be used"),
        ("AESYNC_SYNC__ANNOUNCE_STATUS", "yes", "AESYNC_SYNC__ANNOUNCE_STATUS: ", "true or false"),
        ("AESYNC_SYNC__ENTITY_TYPES", "a,,b", "AESYNC_SYNC__ENTITY_TYPES: ", "name 2"),
        ("AESYNC_SYNC__ENTITY_TYPES", "[\"a\"", "AESYNC_SYNC__ENTITY_TYPES: ", "no TOML list"),
        ("AESYNC_SYNC__ENTITY_TYPES", "[\"a\"]\nb = 1", "AESYNC_SYNC__ENTITY_TYPES: ", "no TOML list"),
        ("AESYNC_SERVER_URL", "http://h", "AESYNC_SERVER_URL: ", "did you mean AESYNC_SERVER__URL"),
        ("AESYNC_SYNC__INTERVALL", "5m", "AESYNC_SYNC__INTERVALL: ", "did you mean AESYNC_SYNC__INTERVAL?"),
        ("AESYNC_sync__interval", "5m", "AESYNC_sync__interval: ", "did you mean AESYNC_SYNC__INTERVAL?"),
        ("AESYNC_SERVER__URI", "x", "AESYNC_SERVER__URI: ", "did you mean AESYNC_SERVER__URL?"),
        ("AESYNC_X__Y", "x", "AESYNC_X__Y: ", "AESYNC_SECTION__KEY"),
    ] {
        let message = refused("", &[(name, value)]);
        assert!(message.starts_with(place) && message.contains(wrong), "{name}={value}: {message}");
    }
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_utf_8_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = std::ffi::OsString::from_vec(vec![0xff]);
    let environment: Environment = [("AESYNC_SERVER__URL", value)].into_iter().collect();
    let error = Config::load(None, &environment, &Scope::User.into()).expect_err("refused").to_string();
    assert!(error.starts_with("AESYNC_SERVER__URL: server.url: ") && error.contains("UTF-8"), "{error}");
}

#[test]
fn a_file_that_can_not_be_read_is_named_with_the_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("aesyncd.toml");
    let refused = |part: &str| {
        let error = Config::load(Some(&path), &Environment::default(), &Scope::System.into()).expect_err(part);
        assert!(matches!(error, ConfigError::Read { .. } | ConfigError::NoText { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(&path.display().to_string()) && message.contains(part), "{message}");
    };
    refused("No such file");
    std::fs::write(&path, b"[sync]\n# \xff\n").expect("writable");
    refused("line 2 is not valid UTF-8; save it as UTF-8");
    std::fs::write(&path, vec![b'#'; 2 << 20]).expect("writable");
    refused("larger than 1 MiB");
    std::fs::remove_file(&path).expect("removable");
    std::fs::create_dir(&path).expect("writable");
    refused("directory");
}
