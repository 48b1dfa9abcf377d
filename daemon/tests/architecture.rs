//! The sources keep to `ARCHITECTURE.md`: who may name whom.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by them, its helpers included")]

use std::path::{Path, PathBuf};

/// A part of the daemon, and what must not stand in its code.
const RULES: [(&str, &[&str]); 4] = [
    (
        "engine",
        &[
            "crate::config",
            "crate::driver",
            "crate::ipc",
            "crate::server",
            "crate::store",
            "tokio",
            "std::fs",
            "std::net",
            "std::thread",
            "SystemTime",
            "Instant::now",
            "Timestamp::now",
            "Uuid::new_v4",
        ],
    ),
    ("server", &["crate::config", "crate::driver", "crate::ipc", "crate::store", "sled::", "interprocess::"]),
    ("store", &["crate::config", "crate::driver", "crate::ipc", "crate::server", "reqwest", "rust_socketio", "interprocess::"]),
    (
        "ipc",
        &[
            "crate::config",
            "crate::driver",
            "crate::engine",
            "crate::server",
            "crate::store",
            "sled::",
            "reqwest",
            "rust_socketio",
        ],
    ),
];

/// Libraries that are named in one part alone.
const HOMES: [(&str, &str); 4] =
    [("sled::", "store"), ("rust_socketio::", "server"), ("reqwest::", "server"), ("interprocess::", "ipc")];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of code that hold a word, as `file:line`.
fn uses(files: &[PathBuf], word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("a source");
        for (number, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") && line.contains(word) {
                found.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    found
}

fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn no_part_names_what_it_must_not_know() {
    for (part, forbidden) in RULES {
        let files = sources(&source_dir().join(part));
        assert!(!files.is_empty(), "{part}");
        for word in forbidden {
            assert_eq!(uses(&files, word), Vec::<String>::new(), "{part} names {word}");
        }
    }
}

#[test]
fn each_library_stays_where_it_is_at_home() {
    let all = sources(&source_dir());
    for (library, home) in HOMES {
        let home = source_dir().join(home);
        let elsewhere: Vec<PathBuf> = all.iter().filter(|file| !file.starts_with(&home)).cloned().collect();
        assert_eq!(uses(&elsewhere, library), Vec::<String>::new(), "{library} is used outside of its home");
    }
}
