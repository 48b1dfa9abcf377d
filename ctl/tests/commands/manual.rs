//! `aectl manual`: the pages tell of every command and every option that there is.

use std::collections::BTreeSet;

use crate::support::{aectl, finish};

/// What `--help` says, as people read it.
fn help(command: &[String]) -> String {
    let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    finish(aectl(std::path::Path::new("/nowhere"), &args), "").ok()
}

/// The first word of each line below a heading.
fn listed(help: &str, heading: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    let entries = lines.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    entries.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Every long option that is named.
fn options(help: &str) -> BTreeSet<String> {
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.len() > 2 && word.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_page_with_each_of_its_options() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("UTF-8");
    finish(aectl(std::path::Path::new("/nowhere"), &["manual", path]), "").ok();
    let (mut commands, mut seen) = (vec![Vec::<String>::new()], 0);
    while let Some(command) = commands.pop() {
        let help = help(&command);
        for name in listed(&help, "Commands:").into_iter().filter(|name| name != "help") {
            commands.push(command.iter().cloned().chain([name]).collect());
        }
        let name = std::iter::once("aectl".to_owned()).chain(command).collect::<Vec<_>>().join("-");
        let page = std::fs::read_to_string(dir.path().join(format!("{name}.1"))).expect(&name).replace("\\-", "-");
        for option in options(&help) {
            assert!(page.contains(&option), "{option} of {name} in:\n{page}");
        }
        seen += 1;
    }
    assert!(seen >= 35, "{seen} pages");
}
