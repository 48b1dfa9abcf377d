//! The logs of a whole test run, at the finest level, gathered in the directory that `AESYNC_TEST_LOGS` names: `search_logs` finds no
//! secret in them.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by test binaries that each use a part of it")]
#![allow(clippy::expect_used, reason = "a test fails by them, its helpers included")]

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::{Mutex, Once};

use aesyncd::config::{LogConfig, LogFormat};
use aesyncd::service::log::Log;

/// Where the logs go; none when they are not gathered.
pub fn dir() -> Option<PathBuf> {
    std::env::var_os("AESYNC_TEST_LOGS").map(PathBuf::from)
}

/// Logs what this process does from here on; the first call counts.
pub fn gather() {
    static GATHERING: Once = Once::new();
    GATHERING.call_once(|| {
        let Some(dir) = dir() else { return };
        let config = LogConfig { filter: "trace".to_owned(), format: LogFormat::Pretty };
        let path = dir.join(format!("{}-{}.log", this_test(), std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(path).expect("a log of its own");
        Log::start_into(&config, Mutex::new(file), false).expect("nobody else started a log");
    });
}

/// Where a process that the test starts is to log, if logs are gathered; `tag` tells it from the others.
pub fn of_process(tag: &str) -> Option<PathBuf> {
    Some(dir()?.join(format!("{}-daemon{tag}.log", this_test())))
}

/// The name of the test binary, without cargo's hash.
fn this_test() -> String {
    let path = std::env::current_exe().expect("a path");
    let stem = path.file_stem().expect("a name").to_string_lossy();
    stem.rsplit_once('-').map_or(&*stem, |(name, _)| name).to_owned()
}
