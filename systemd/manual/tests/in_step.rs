//! The pages tell of everything that there is.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by them, its helpers included")]

use aesync_protocol::request::METHODS;
use clap::CommandFactory as _;

/// The text of a page as people read it: without troff's escapes.
fn page(file: &str) -> String {
    let pages = aesync_manual::pages().expect("pages");
    let page = pages.into_iter().find(|page| page.file == file).expect(file);
    page.text.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
}

#[test]
fn the_page_of_the_daemon_has_every_option() {
    let text = page("aesyncd.8");
    for option in aesyncd::args::Args::command().get_arguments() {
        let name = format!("--{}", option.get_long().expect("a long option"));
        assert!(text.contains(&name), "{name} in:\n{text}");
    }
    for part in [".TH aesyncd 8", "SIGHUP", "/var/lib/aesyncd/instances/NAME"] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

/// The variables that the sources of the daemon ask for.
#[test]
fn the_page_of_the_daemon_has_every_variable_that_it_reads() {
    let text = page("aesyncd.8");
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../daemon/src");
    let mut files = vec![sources];
    let mut found = 0;
    while let Some(path) = files.pop() {
        if path.ends_with("store/tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(path.read_dir().expect("readable").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("readable");
        for call in ["var_os(\"", "env::var(\"", ".directory(\"", "environment, \"", "variable(\""] {
            for (at, _) in source.match_indices(call) {
                let name = source.get(at + call.len()..).and_then(|rest| rest.split('"').next()).expect("a name");
                let is_documented = ["AESYNC_TEST_", "HOME", "LOCALAPPDATA"].iter().any(|other| name.starts_with(other));
                assert!(is_documented || text.contains(name), "{name} of {} in:\n{text}", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 6, "{found}");
}

#[test]
fn the_page_of_the_configuration_has_every_key_in_its_section_with_its_default() {
    let text = page("aesyncd.toml.5");
    for name in aesyncd::config::key_names() {
        let (section, key) = name.split_once('.').expect("section.key");
        let from = text.find(&format!(".SH [{section}]")).unwrap_or_else(|| panic!("[{section}] in:\n{text}"));
        let rest = text.get(from + 4..).expect("a section");
        let part = rest.split(".SH ").next().expect("a section");
        assert!(part.contains(&format!(".TP\n{key} = ")), "{name} in:\n{part}");
    }
}

#[test]
fn the_page_of_the_protocol_has_every_method() {
    let text = page("aesync-ipc.7");
    for method in METHODS {
        assert!(text.lines().any(|line| line == format!(".SS {method}")), "{method}");
    }
}

#[test]
fn every_page_has_a_name_that_whatis_can_read() {
    for page in aesync_manual::pages().expect("pages") {
        let name = page.file.rsplit_once('.').expect("a section").0.replace('-', "\\-");
        assert!(page.text.contains(&format!(".SH NAME\n{name} \\- ")), "{}:\n{}", page.file, page.text);
    }
}
