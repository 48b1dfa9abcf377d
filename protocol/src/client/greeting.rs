//! Who an application is to the daemon: `aectl clients` shows it.

use std::path::Path;

use crate::PROTOCOL;
use crate::request::{ClientName, Hello};

/// An application's name and version in the words of the wire.
pub(super) fn greeting(name: &str, version: &str) -> Hello {
    Hello { client: ClientName { name: name.to_owned(), version: version.to_owned() }, protocol: PROTOCOL }
}

/// The name of the program that runs, and the version of this crate: it knows no other.
pub(super) fn of_this_program() -> Hello {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    greeting(&name, concat!("aesync-rust/", env!("CARGO_PKG_VERSION")))
}
