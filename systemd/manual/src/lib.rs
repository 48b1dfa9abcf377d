//! The man pages of the package, each made from what it describes, so that it can't tell of another version.
//!
//! | page | made from |
//! |---|---|
//! | `aesyncd(8)` | the command line of aesyncd |
//! | `aesyncd.toml(5)` | the commented configuration of the package |
//! | `aesync-ipc(7)` | the reference of the protocol |
//!
//! `aectl(1)` and its siblings are written by `aectl manual` itself.

mod configuration;
mod daemon;
mod markdown;
mod page;
mod protocol;

/// The version that the pages are for.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The name of its file, such as `aesyncd.8`.
    pub file: &'static str,
    /// Its text, for troff.
    pub text: String,
}

/// All pages.
///
/// # Errors
/// When a page could not be written down; none can't.
pub fn pages() -> std::io::Result<Vec<Page>> {
    Ok(vec![
        Page { file: "aesyncd.8", text: daemon::page()? },
        Page { file: "aesyncd.toml.5", text: configuration::page() },
        Page { file: "aesync-ipc.7", text: protocol::page() },
    ])
}
