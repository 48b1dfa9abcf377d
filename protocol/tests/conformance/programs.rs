//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// aesyncd.
pub(crate) fn daemon() -> PathBuf {
    find("AESYNCD", "aesyncd")
}

/// The development server.
pub(crate) fn server() -> PathBuf {
    find("ADMINENGINE_DEV", "adminengine-dev")
}

fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "{variable} names {}, which is no program", named.display());
        return named;
    }
    // Beside the directory of this test's own program.
    let tests = std::env::current_exe().expect("this test's program");
    let built = tests.parent().and_then(Path::parent).expect("a target directory").join(name);
    if !built.is_file() {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(build);
    }
    assert!(
        built.is_file(),
        "{} is missing: run `cargo build -p aesyncd -p adminengine-dev`, or name programs with AESYNCD and ADMINENGINE_DEV",
        built.display()
    );
    built
}

/// Where only this package is tested.
fn build() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).args(["build", "--quiet", "-p", "aesyncd", "-p", "adminengine-dev", "--bins"]);
    let outcome = cargo.status();
    assert!(
        outcome.as_ref().is_ok_and(std::process::ExitStatus::success),
        "building aesyncd and adminengine-dev failed ({outcome:?}): build them, or name programs with AESYNCD and ADMINENGINE_DEV"
    );
}
