//! `SYNC.md` has a row for each rule, and each row names a file and tests that exist and run.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test fails by them, its helpers included")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A link of the table: its text and its target, which counts from the crate's directory.
type Link = (String, String);

#[test]
fn every_rule_has_a_row_whose_file_and_tests_exist() {
    let rows = rows(&text("SYNC.md"));
    let rules: Vec<u32> = rows.keys().copied().collect();
    assert_eq!(rules, (1..=46).collect::<Vec<_>>(), "the rules are R1 to R46, each once");
    let mut problems = Vec::new();
    for (rule, [_, _, done_in, tests]) in &rows {
        for (_, file) in links(done_in) {
            if !Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).is_file() {
                problems.push(format!("R{rule}: there is no file {file}"));
            }
        }
        for (test, file) in links(tests) {
            if let Err(problem) = runs(&test, &file) {
                problems.push(format!("R{rule}: {problem}"));
            }
        }
        if links(done_in).is_empty() || links(tests).is_empty() {
            problems.push(format!("R{rule}: its row names no file or no test"));
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn a_test_that_is_missing_or_ignored_is_found() {
    let file = "tests/process/idle.rs";
    assert!(runs("an_idle_daemon_takes_little_memory_and_seldom_wakes_up", file).is_err(), "it is ignored");
    assert!(runs("no_such_test", file).is_err());
    assert!(runs("any", "tests/no_such_file.rs").is_err());
    assert!(runs("every_rule_has_a_row_whose_file_and_tests_exist", "tests/sync_rules.rs").is_ok());
}

/// The cells of the rows, by the rule's number.
fn rows(table: &str) -> BTreeMap<u32, [String; 4]> {
    let mut rows = BTreeMap::new();
    for line in table.lines() {
        let cells: Vec<String> = line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let Ok(cells) = <[String; 4]>::try_from(cells) else { continue };
        let number = cells[0].trim_end_matches(" ★").strip_prefix('R').and_then(|number| number.parse().ok());
        let Some(number) = number else { continue };
        assert!(rows.insert(number, cells).is_none(), "R{number} has two rows");
    }
    rows
}

fn links(cell: &str) -> Vec<Link> {
    let parts = cell.split("](").collect::<Vec<_>>();
    let pairs = parts.windows(2).filter_map(|pair| {
        let (text, target) = (pair[0].rsplit_once('[')?.1, pair[1].split_once(')')?.0);
        Some((text.to_owned(), target.to_owned()))
    });
    pairs.collect()
}

/// Whether a file has a test of this name, by itself or in a list of a macro, that is not left out.
fn runs(test: &str, file: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let source = fs::read_to_string(path).map_err(|_| format!("there is no file {file}"))?;
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let listed = format!("{test}: ");
    if lines.iter().any(|line| line.starts_with(&listed) && line.ends_with(';')) {
        return Ok(());
    }
    let declared = format!("fn {test}(");
    let at = lines.iter().position(|line| line.contains(&declared)).ok_or_else(|| format!("{file} has no test {test}"))?;
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let attributes: Vec<&&str> = attributes.collect();
    if !attributes.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
        return Err(format!("{test} in {file} is no test"));
    }
    if attributes.iter().any(|line| line.starts_with("#[ignore")) {
        return Err(format!("{test} in {file} is left out"));
    }
    Ok(())
}

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}
